"""What became of a document whose answer was generated."""

from __future__ import annotations

from evalkit.requests import Completion


def outcome_of(completion: Completion, answer: str | None, right: bool | None) -> str:
    """What became of a document, by its first completion.

    A right answer is right however its text ended. Why there is no answer, or a wrong one, is told as exactly as is known: a
    text that ends within a thought was cut before it came to one.

    Args:
        completion: The completion.
        answer: What the task's main extractor or filter found; None where it found nothing.
        right: Whether the task's main metric says so; None where it is no judge.

    Returns:
        `right`, `wrong`, `scored` (no judge), `truncated`, `refused`, `empty` or `unparsed`.
    """
    if not completion.answered:
        return "truncated"
    if right:
        return "right"
    if completion.finish == "refused":
        return "refused"
    if completion.finish == "length":
        return "truncated"
    if not completion.text.strip():
        return "empty"
    if answer is None:
        return "unparsed"
    return "scored" if right is None else "wrong"
