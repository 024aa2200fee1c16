"""Texts as the words that are compared: without case, punctuation and form of characters.

Characters of scripts without spaces between words are words of their own.
"""

from __future__ import annotations

import re
import unicodedata

from evalkit.word_index import UNSPACED

_MARKS = r"\u0300-\u036f\u0591-\u05bd\u064b-\u065f\u0670\u0900-\u0963\u0966-\u0dff"
"""Combining marks, which `\\w` leaves out: without them Hindi words would fall apart at their vowels."""
_WORD = re.compile(rf"[{UNSPACED}]|(?:(?![{UNSPACED}])[\w{_MARKS}])+")
_PLAIN = re.compile(r"[^\W_]+")
_SYMBOL = re.compile(r"[^\W_]+|[+*/=<>^×÷−]")
_CALCULATION = re.compile(r"<<[^<>]*>>")
"""GSM8K's marks for a calculator, which many copies of it leave out."""

_LEADING = re.compile(r"^\s*(?:(?:question|problem|q)\s*[:：]|(?:问题|问|题目)\s*[:：])\s*", re.IGNORECASE)
_TRAILING = re.compile(r"\s*(?:^|\n)\s*(?:(?:answer|a)\s*[:：][^\n]*|答案?[^\n]{0,6}[:：]?\s*)$", re.IGNORECASE)
_OPTION = re.compile(r"^\s*\(?(?P<label>[A-Z]|[0-9]{1,2})\s*[.):：、．]\s*(?P<text>.*)$")


def words(text: str) -> list[str]:
    """The words of a text: NFKC, case-folded, letters and digits only."""
    if "<<" in text:
        text = _CALCULATION.sub(" ", text)
    if text.isascii():
        return _PLAIN.findall(text.lower())
    text = unicodedata.normalize("NFKC", text).casefold()
    found: list[str] = []
    for word in _WORD.findall(text):
        found += word.split("_") if "_" in word else (word,)
    return [word for word in found if word] if "_" in text else found


def symbols(text: str) -> list[str]:
    """The words of a text and the signs of arithmetic: what tells "3 + 5" from "3 * 5"."""
    return _SYMBOL.findall(unicodedata.normalize("NFKC", text).casefold())


def bare(question: str) -> str:
    """A question without `Question:`, `Answer:` and a list of lettered options."""
    return _without_options(_TRAILING.sub("", _LEADING.sub("", question))).strip()


def option(question: str, label: str) -> str | None:
    """The text that a question gives under a label such as `B`; None where it has none."""
    for line in reversed(question.split("\n")):
        found = _OPTION.match(line)
        if found and found["label"] == label.strip().strip("().").upper():
            return found["text"].strip()
    return None


def _without_options(question: str) -> str:
    lines = question.split("\n")
    first = len(lines)
    while first and _OPTION.match(lines[first - 1]):
        first -= 1
    return "\n".join(lines[:first]) if 0 < first <= len(lines) - 2 else question
