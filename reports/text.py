"""Text that came from a model, a dataset or a file name, made safe to show."""

from __future__ import annotations

import re
import unicodedata

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode categories that act instead of showing: controls, invisible formats (which can reorder a line), halves of
surrogate pairs, line and paragraph separators."""

_ASCII_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


_JOINERS = "\u200c\u200d"
"""Zero-width non-joiner and joiner: part of the spelling of Persian, Hindi and others, and of emoji of several parts."""


def visible(text: str) -> str:
    r"""The text with everything that would steer a terminal or hide in a page shown as an escape: `\x1b`, `\u202e`.

    Joiners stay where they belong to the writing: between letters, marks or symbols that are not ASCII. Elsewhere they
    would only make two names look the same.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        _escape(character) if unicodedata.category(character) in _HIDDEN and not _joins(text, place) else character
        for place, character in enumerate(text)
    )


def _joins(text: str, place: int) -> bool:
    """Whether a character is a joiner with something to join on both sides."""
    if text[place] not in _JOINERS or not 0 < place < len(text) - 1:
        return False
    return all(
        not neighbour.isascii() and unicodedata.category(neighbour).startswith(("L", "M", "So", "Sk"))
        for neighbour in (text[place - 1], text[place + 1])
    )


def visible_lines(text: str) -> str:
    """The same for a text of several lines: line feeds and tabs stay what they are."""
    if text.isascii() and not _ASCII_CONTROL.search(text):
        return text
    return "\n".join("\t".join(map(visible, line.split("\t"))) for line in text.split("\n"))


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
