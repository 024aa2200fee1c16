"""How the answer is found in what the model wrote. Nothing found is `None`, never an empty answer."""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol, Self, runtime_checkable

from evalkit.documents import OpenQuestion

LETTERS = "letters"
"""Key of `OpenQuestion.details`: the letters under which the question shows its choices, as one text."""


@runtime_checkable
class Extractor(Protocol):
    """Finds the answer in a text."""

    def __call__(self, text: str) -> str | None:
        """The answer, None where there is none."""
        ...


@runtime_checkable
class DocumentExtractor(Extractor, Protocol):
    """Finds the answer in a text with the help of the question."""

    def of(self, document: OpenQuestion) -> Self:
        """The extractor for the answers to this question."""
        ...


def extract(extractor: Extractor, document: OpenQuestion, text: str) -> str | None:
    """What an extractor finds in an answer to a question, None where there is nothing."""
    return (extractor.of(document) if isinstance(extractor, DocumentExtractor) else extractor)(text)


@dataclass(frozen=True, slots=True)
class Pattern:
    """What a regular expression finds; the same as lm-eval's filter `regex`, whose `[invalid]` is None here.

    Attributes:
        pattern: The expression; its first group that took part is the answer, the whole match where it has none.
        place: Which match: 0 the first, -1 the last (lm-eval's `group_select`).
        ignore_case: Upper and lower case are the same.
    """

    pattern: str
    place: int = 0
    ignore_case: bool = False

    def __call__(self, text: str) -> str | None:
        """The answer, stripped of white space around it."""
        matches = list(re.finditer(self.pattern, text, re.IGNORECASE if self.ignore_case else 0))
        if not -len(matches) <= self.place < len(matches):
            return None
        match = matches[self.place]
        found = next((group for group in match.groups() if group), None) if match.re.groups else match[0]
        return (found.strip() or None) if found else None


@dataclass(frozen=True, slots=True)
class Whole:
    """The whole text without white space around it; nothing where the model wrote nothing."""

    def __call__(self, text: str) -> str | None:
        """The text."""
        return text.strip() or None


NUMBER = Pattern(r"(-?[$0-9.,]{2,})|(-?[0-9]+)", place=-1)
"""The last number of a text, with its currency sign and separators (lm-eval's `flexible-extract` of GSM8K)."""


@dataclass(frozen=True, slots=True)
class ChoiceLetter:
    r"""The letter of the choice that a reply settles on, as an upper-case letter.

    Looked for in this order, and of several the last counts: "answer is (B)", "Answer: **B**", "答案是B" and the like,
    which may dress the letter in brackets, bold type or `\boxed{}`; `\boxed{B}` elsewhere; "(B)"; a line that holds
    nothing but the letter, or that begins as the choices do ("B. granite"), where it is the first or the last line.

    Letters that are no choice are passed over: the X of a repeated instruction, the pronoun I.

    Attributes:
        letters: Of the choices, upper case; those of the document where its `details` name them under `LETTERS`.
    """

    letters: str = string.ascii_uppercase

    def of(self, document: OpenQuestion) -> Self:
        """The same with the document's letters."""
        return replace(self, letters=document.details.get(LETTERS, self.letters))

    def __call__(self, text: str) -> str | None:
        """The letter, None where the reply settles on none."""
        for find in (_said, _boxed, _bracketed, _alone):
            if found := [letter for letter in map(str.upper, find(text)) if letter in self.letters]:
                return found[-1]
        return None


# what may stand around a letter: brackets, quotes, bold or italic type, TeX
_DRESS = r"""(?:[\s*_`"'“”‘’「『$]|\\boxed\s*\{|\\text(?:bf|rm)?\s*\{|\\mathrm\s*\{|\{)*"""
_ANNOUNCED = re.compile(
    r"(?:answer|choice|option)(?:\s+(?:would|should|must)\s+be|\s+is|\s*[:：])"
    rf"(?:{_DRESS}(?:[:：]|definitely|likely|probably|most\s+likely|clearly|therefore|option|choice|letter|answer))*"
    rf"{_DRESS}(?:(?P<open>[(\[（])\s*(?P<inside>(?-i:[A-Za-z]))\s*[)\]）]|(?P<bare>(?-i:[A-Za-z])))(?P<after>.{{0,3}})",
    re.IGNORECASE | re.DOTALL,
)
_ANNOUNCED_IN_CHINESE = re.compile(
    rf"(?:答案|选项|选)(?:应该|应|就)?(?:是|为|选)?[:：]?{_DRESS}[(\[（]?\s*(?P<inside>[A-Za-z])(?![A-Za-z])"
)
_BOXED = re.compile(r"\\boxed\s*\{\s*(?:\\text(?:bf|rm)?\s*\{|\\mathrm\s*\{)?\s*\(?\s*([A-Za-z])\s*\)?\s*\}")
_BRACKETED = re.compile(r"[(（]\s*([A-Z])\s*[)）]")
_LINE_OF_ONE = re.compile(r"[\s*_`\"'(\[$]*([A-Za-z])[\s*_`\"')\].:,$]*")
_LINE_AS_CHOICE = re.compile(r"[\s*_`(\[]*([A-Z])[*_`]*[.):\]]+[*_`]*\s+\S.*")


def _said(text: str) -> list[str]:
    """Letters that the text announces as the answer, in order."""
    found = {match.start(): letter for match in _ANNOUNCED.finditer(text) if (letter := _letter(match))}
    found.update((match.start(), match["inside"]) for match in _ANNOUNCED_IN_CHINESE.finditer(text))
    return [found[place] for place in sorted(found)]


def _letter(match: re.Match[str]) -> str | None:
    """The letter of an announcement; "the answer is a triangle" and "the answer is I think" announce none."""
    if match["inside"]:
        return match["inside"]
    letter, after = match["bare"], match["after"]
    if re.match(r"[\w'’]", after):
        return None
    if (letter.islower() or letter == "I") and re.match(r"\s+\w", after):
        return None
    return letter


def _boxed(text: str) -> list[str]:
    return _BOXED.findall(text)


def _bracketed(text: str) -> list[str]:
    return _BRACKETED.findall(text)


def _alone(text: str) -> list[str]:
    return list(_settled_lines(text.strip().splitlines()))


def _settled_lines(lines: list[str]) -> Iterator[str]:
    """Letters that the first and the last line stand for."""
    for line in [lines[0], lines[-1]] if lines else []:
        if match := _LINE_OF_ONE.fullmatch(line) or _LINE_AS_CHOICE.fullmatch(line):
            yield match[1]
