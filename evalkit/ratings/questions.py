"""What a rater reads first: the question at the end of a prompt, without instructions, examples and template."""

from __future__ import annotations

import re
from collections.abc import Sequence

_USER_TURN = re.compile(
    r"<\|im_start\|>user\n|<\|start_header_id\|>user<\|end_header_id\|>\n*|<start_of_turn>user\n|\[INST\]|<\|user\|>\n?"
    r"|<\|turn>user\n|<｜User｜>|<\|START_OF_TURN_TOKEN\|><\|USER_TOKEN\|>|<user> "
)
"""Where the user's turn begins in common chat templates."""


def last_questions(prompts: Sequence[str], shots: int) -> list[str]:
    """The part of each prompt of a task that is its own.

    Lines that all prompts begin or end with are left out (instructions, a template), then all before the last user turn;
    with few-shot examples and no such turns, all before the last blank line. This is a reading aid, no parser: who wants
    to be sure looks at the whole prompt.

    Args:
        prompts: All prompts of a task.
        shots: Number of few-shot examples in each.
    """
    if len(set(prompts)) < 2:
        return [_last_turn(prompt, shots) for prompt in prompts]
    start = _common_start(prompts)
    start = start[: start.rfind("\n") + 1]
    rest = [prompt[len(start) :] for prompt in prompts]
    end = _common_start([text[::-1] for text in rest])[::-1]
    end = end[end.find("\n") :] if "\n" in end else ""
    return [
        _last_turn(text[: len(text) - len(end)], shots) or prompt for text, prompt in zip(rest, prompts, strict=True)
    ]


def _last_turn(text: str, shots: int) -> str:
    turns = _USER_TURN.split(text)
    if len(turns) == 1 and shots:
        turns = text.rstrip().split("\n\n")
    return turns[-1].strip()


def _common_start(texts: Sequence[str]) -> str:
    # what the first and the last in alphabetical order have in common, all have
    first, last = min(texts), max(texts)
    length = next((place for place, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    return first[:length]
