"""What a rater reads first: the question at the end of a prompt, without instructions, examples and template."""

from __future__ import annotations

import re
from collections.abc import Sequence

_USER_TURN = re.compile(
    r"<\|im_start\|>user\n|<\|start_header_id\|>user<\|end_header_id\|>\n*|<start_of_turn>user\n|\[INST\]|<\|user\|>\n?"
    r"|<\|turn>user\n|<｜User｜>|<\|START_OF_TURN_TOKEN\|><\|USER_TOKEN\|>|<user> "
)
"""Where the user's turn begins in common chat templates."""
_END_OF_TURN = re.compile(r"<\|im_end\|>|<\|eot_id\|>|<end_of_turn>|<turn\|>|\[/INST\]|<\|end\|>|<｜Assistant｜>|</s>")
"""Where it ends."""


def last_questions(prompts: Sequence[str], shots: int) -> list[str]:
    """The part of each prompt of a task that is its own.

    Of a chat it is the last user turn. Else lines that all prompts begin or end with are left out (instructions), and with
    few-shot examples all before the last blank line. This is a reading aid, no parser: who wants to be sure looks at the
    whole prompt.

    Args:
        prompts: All prompts of a task.
        shots: Number of few-shot examples in each.
    """
    turns = [_USER_TURN.split(prompt) for prompt in prompts]
    if all(len(parts) > 1 for parts in turns):
        own: Sequence[str] = [_END_OF_TURN.split(parts[-1])[0] for parts in turns]
    else:
        own = _without_common_lines(prompts)
        if shots:
            own = [text.rstrip().rpartition("\n\n")[2] for text in own]
    return [text.strip() or prompt for text, prompt in zip(own, prompts, strict=True)]


def _without_common_lines(texts: Sequence[str]) -> Sequence[str]:
    if len(set(texts)) < 2:
        return texts
    start = _common_start(texts)
    length = start.rfind("\n") + 1
    rest = [text[length:] for text in texts]
    end = _common_start([text[::-1] for text in rest])[::-1]
    tail = len(end) - end.find("\n") if "\n" in end else 0
    return [text[: len(text) - tail] for text in rest]


def _common_start(texts: Sequence[str]) -> str:
    # what the first and the last in alphabetical order have in common, all have
    first, last = min(texts), max(texts)
    length = next((place for place, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    return first[:length]
