"""The shapes that training rows come in, and how each becomes a conversation."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

from evalkit.sft.rows import Message, Role, TrainingRow

Row = Mapping[str, Any]

_ROLES: dict[str, Role] = {
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "model", "bot", "chatgpt"), "assistant"),
    **dict.fromkeys(("tool", "function", "observation", "function_call"), "tool"),
}


class InvalidRowError(Exception):
    """A row that cannot be trained on; the first argument is the reason's code, the second says what exactly."""


def shape_of(columns: frozenset[str]) -> str | None:
    """The shape that rows with these columns have; None where none is known. The most telling columns win."""
    for name, needed in (
        ("preference", {"chosen", "rejected"}),
        ("messages", {"messages"}),
        ("sharegpt", {"conversations"}),
        ("prompt-completion", {"prompt", "completion"}),
        ("alpaca", {"instruction", "output"}),
        ("text", {"text"}),
    ):
        if needed <= columns:
            return name
    return None


def conversation(shape: str, row: Row, source: str, index: int) -> TrainingRow:
    """One row, stripped of blanks at the ends of its turns, and checked.

    Raises:
        InvalidRowError: It cannot be trained on.
    """
    made = _SHAPES[shape](row, source, index)
    _check(made)
    return made


def _messages(row: Row, source: str, index: int) -> TrainingRow:
    return TrainingRow(source, index, _turns(row["messages"]))


def _sharegpt(row: Row, source: str, index: int) -> TrainingRow:
    turns = _turns(row["conversations"])
    system = row.get("system")
    if isinstance(system, str) and system.strip():
        turns = (Message("system", system.strip()), *turns)
    return TrainingRow(source, index, turns)


def _prompt_completion(row: Row, source: str, index: int) -> TrainingRow:
    prompt, completion = row["prompt"], row["completion"]
    turns = _turns(prompt) if isinstance(prompt, list) else (Message("user", _text(prompt, "prompt")),)
    if isinstance(row.get("system"), str) and row["system"].strip():
        turns = (Message("system", row["system"].strip()), *turns)
    if isinstance(completion, list):
        return TrainingRow(source, index, (*turns, *_turns(completion)))
    return TrainingRow(source, index, (*turns, Message("assistant", _text(completion, "completion"))))


def _alpaca(row: Row, source: str, index: int) -> TrainingRow:
    turns = []
    if isinstance(row.get("system"), str) and row["system"].strip():
        turns.append(Message("system", row["system"].strip()))
    for pair in row.get("history") or ():
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise InvalidRowError("wrong-type", "history is no list of question and answer")
        turns += [Message("user", _text(pair[0], "history")), Message("assistant", _text(pair[1], "history"))]
    asked = _text(row["instruction"], "instruction")
    more = _text(row.get("input"), "input")
    turns.append(Message("user", f"{asked}\n\n{more}" if more else asked))
    return TrainingRow(source, index, (*turns, Message("assistant", _text(row["output"], "output"))))


def _plain_text(row: Row, source: str, index: int) -> TrainingRow:
    return TrainingRow(source, index, text=_text(row["text"], "text"))


def _preference(row: Row, source: str, index: int) -> TrainingRow:
    chosen, rejected, prompt = row["chosen"], row["rejected"], row.get("prompt")
    if isinstance(chosen, list) != isinstance(rejected, list):
        raise InvalidRowError("wrong-type", "chosen and rejected are not of the same kind")
    before: tuple[Message, ...] = ()
    if prompt is not None:
        before = _turns(prompt) if isinstance(prompt, list) else (Message("user", _text(prompt, "prompt")),)
    if not isinstance(chosen, list):
        if not before:
            raise InvalidRowError("empty-prompt", "chosen and rejected are texts, and there is no prompt")
        better = Message("assistant", _text(chosen, "chosen"))
        return TrainingRow(source, index, (*before, better), _text(rejected, "rejected"))
    one, other = _turns(chosen), _turns(rejected)
    if one[:-1] != other[:-1]:
        raise InvalidRowError("roles", "chosen and rejected differ in more than their last turn")
    shared = one[:-1]
    if before and shared[: len(before)] != before:
        shared = (*before, *shared)
    return TrainingRow(source, index, (*shared, one[-1]), other[-1].content)


_SHAPES: dict[str, Callable[[Row, str, int], TrainingRow]] = {
    "messages": _messages,
    "sharegpt": _sharegpt,
    "prompt-completion": _prompt_completion,
    "alpaca": _alpaca,
    "text": _plain_text,
    "preference": _preference,
}


def _text(value: Any, name: str) -> str:
    """A text without blanks at its ends; numbers, which a CSV file yields, as they are written."""
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise InvalidRowError("wrong-type", f"{name} is {type(value).__name__}, not a text")
    return str(value).strip()


def _turns(value: Any) -> tuple[Message, ...]:
    if not isinstance(value, list) or not value:
        raise InvalidRowError("wrong-type", "there is no list of turns")
    found = []
    for turn in value:
        if not isinstance(turn, Mapping):
            raise InvalidRowError("wrong-type", f"a turn is {type(turn).__name__}")
        name = turn.get("role", turn.get("from"))
        role = _ROLES.get(str(name).lower())
        if role is None:
            raise InvalidRowError("roles", f"a turn is by {name!r}")
        found.append(Message(role, _text(turn.get("content", turn.get("value")), "a turn")))
    return tuple(found)


def _check(row: TrainingRow) -> None:
    if row.text is not None:
        if not row.text:
            raise InvalidRowError("no-answer", "the text is empty")
        return
    if not row.messages or row.messages[-1].role != "assistant":
        raise InvalidRowError("no-answer", "the last turn is not the assistant's")
    if not row.messages[-1].content:
        raise InvalidRowError("no-answer", "the answer is empty")
    _check_roles(row)
    if row.rejected is not None and not row.rejected:
        raise InvalidRowError("no-answer", "the rejected answer is empty")
    if row.rejected == row.answer:
        raise InvalidRowError("same-answers", "chosen and rejected are the same")


def _check_roles(row: TrainingRow) -> None:
    turns = [one for one in row.messages if one.role != "system"]
    if not any(one.role == "user" and one.content for one in turns):
        raise InvalidRowError("empty-prompt", "nothing is asked")
    if any(one.role == "system" for one in row.messages[1:]):
        raise InvalidRowError("roles", "a system instruction stands within the conversation")
    if turns[0].role != "user":
        raise InvalidRowError("roles", f"the first turn is the {turns[0].role}'s")
    for one, other in itertools.pairwise(turns):
        if one.role == other.role and one.role != "tool":
            raise InvalidRowError("roles", f"two turns of the {one.role} follow each other")
