"""Cuts a finished text at its first stop text, for backends that give whole texts."""

from __future__ import annotations

from collections.abc import Sequence


def cut_at_stop(
    text: str, stops: Sequence[str], thinking: tuple[str, str] | None = None, prompt: str = ""
) -> tuple[str, bool]:
    """The text before the first stop text, and whether there was one.

    Args:
        text: What was generated.
        stops: Texts that end the answer.
        thinking: Tags around a thought; stop texts inside one do not count. A closing tag without an opening one ends a
            thought that began in the prompt; a thought that is not closed goes on to the end.
        prompt: What stood before; it may end with the opening tag.
    """
    begun = thinking[0] if thinking and prompt.rstrip().endswith(thinking[0]) else ""
    ends = [place for stop in stops if (place := _first_outside(begun + text, stop, thinking)) >= len(begun)]
    return (text[: min(ends) - len(begun)], True) if ends else (text, False)


def _first_outside(text: str, stop: str, thinking: tuple[str, str] | None) -> int:
    """Where a stop text first stands outside a thought; -1 if nowhere."""
    place = text.find(stop)
    if thinking is None:
        return place
    thoughts = _thoughts(text, *thinking)
    while place >= 0 and any(start <= place < end for start, end in thoughts):
        place = text.find(stop, place + 1)
    return place


def _thoughts(text: str, opening: str, closing: str) -> list[tuple[int, int]]:
    """Start and end of each thought, tags included."""
    found: list[tuple[int, int]] = []
    place = 0
    first_close, first_open = text.find(closing), text.find(opening)
    if first_close >= 0 and not 0 <= first_open < first_close:
        place = first_close + len(closing)
        found.append((0, place))
    while (start := text.find(opening, place)) >= 0:
        close = text.find(closing, start)
        place = len(text) if close < 0 else close + len(closing)
        found.append((start, place))
    return found
