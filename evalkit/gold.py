"""How a data file says which choice is right: an index, a number, a letter, or the choice's text.

The form is a property of the whole file. It is taken from the task's `gold_is`, or from all rows together; where the
rows allow two readings that differ, that is an error and not a guess.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, get_args

from evalkit.errors import TaskDefinitionError

GoldForm = Literal["index", "number", "letter", "text"]
FORMS: tuple[GoldForm, ...] = get_args(GoldForm)

_MEANINGS = {
    "index": "an index counted from 0",
    "number": "a number counted from 1",
    "letter": "a letter from A",
    "text": "the text of a choice",
}


class Answer(NamedTuple):
    """A row's answer as the data has it, and the choices it is about."""

    value: Any
    choices: Sequence[str]


def read_gold(form: GoldForm, answer: Answer) -> int | tuple[int, ...]:
    """The index of the right choice; where the data gives a list, the indices of all right ones.

    Raises:
        ValueError: The answer is not of that form, or names no choice.
    """
    if isinstance(answer.value, list | tuple):
        if not answer.value:
            raise ValueError("the list of right answers is empty")
        return tuple(_read_one(form, value, answer.choices) for value in answer.value)
    return _read_one(form, answer.value, answer.choices)


def infer_form(answers: Sequence[Answer], place: str) -> GoldForm:
    """The one form that fits every row.

    Args:
        answers: Those of all rows.
        place: The task, for messages.

    Raises:
        TaskDefinitionError: No form fits all rows, or several do and differ on some row.
    """
    readings = {form: reading for form in FORMS if (reading := _read_all(form, answers)) is not None}
    if not readings:
        raise _none_fits(answers, place)
    first, *others = readings
    for other in others:
        for row, (one, another) in enumerate(zip(readings[first], readings[other], strict=True)):
            if one != another:
                raise TaskDefinitionError(
                    f"{place}: the answer {answers[row].value!r} of row {row} may be {_MEANINGS[first]} or "
                    f"{_MEANINGS[other]}, and so may all others",
                    hint=f"add `gold_is: {first}` or `gold_is: {other}`",
                )
    return first


def _read_all(form: GoldForm, answers: Sequence[Answer]) -> list[int | tuple[int, ...]] | None:
    try:
        return [read_gold(form, answer) for answer in answers]
    except ValueError:
        return None


def _none_fits(answers: Sequence[Answer], place: str) -> TaskDefinitionError:
    """Names the row that breaks the form which fits the most rows from the start."""

    def length(form: GoldForm) -> int:
        return next((index for index, one in enumerate(answers) if _read_all(form, [one]) is None), len(answers))

    best = max(FORMS, key=length)
    row = length(best)
    rows_before = f" (the rows before it give {_MEANINGS[best]})" if row else ""
    count = len(answers[row].choices)
    return TaskDefinitionError(
        f"{place}: the answer {answers[row].value!r} of row {row} names none of its {count} choices{rows_before}",
        hint="an answer is an index from 0, a number from 1, a letter from A, or the exact text of a choice",
    )


def _read_one(form: GoldForm, value: Any, choices: Sequence[str]) -> int:
    if form == "text":
        matches = [index for index, choice in enumerate(choices) if choice == _as_text(value)]
        if len(matches) != 1:
            raise ValueError(
                f"the answer {value!r} is {'several' if matches else 'none'} of the choices {list(choices)}"
            )
        return matches[0]
    if form == "letter":
        text = _as_text(value).strip()
        position = ord(text.upper()) - ord("A") if len(text) == 1 and text.isascii() and text.isalpha() else -1
    else:
        position = _as_int(value) - (form == "number")
    if not 0 <= position < len(choices):
        raise ValueError(f"the answer {value!r} is not {_MEANINGS[form]} for {len(choices)} choices")
    return position


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else "" if isinstance(value, bool) else str(value)


def _as_int(value: Any) -> int:
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit():
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError(f"the answer {value!r} is not a whole number")
