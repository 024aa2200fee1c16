"""How the answer is found in what the model wrote. Nothing found is `None`, never an empty answer."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@runtime_checkable
class Extractor(Protocol):
    """Finds the answer in a text."""

    def __call__(self, text: str) -> str | None:
        """The answer, None where there is none."""
        ...


@dataclass(frozen=True, slots=True)
class Pattern:
    """What a regular expression finds.

    Attributes:
        pattern: The expression; its first group that took part is the answer, the whole match where it has none.
        place: Which match: 0 the first, -1 the last.
        ignore_case: Upper and lower case are the same.
    """

    pattern: str
    place: int = 0
    ignore_case: bool = False

    def __call__(self, text: str) -> str | None:
        """The answer, stripped of white space around it."""
        matches = list(re.finditer(self.pattern, text, re.IGNORECASE if self.ignore_case else 0))
        if not matches:
            return None
        match = matches[self.place]
        found = next((group for group in match.groups() if group), None) if match.groups() else match[0]
        return None if found is None else found.strip()


@dataclass(frozen=True, slots=True)
class Whole:
    """The whole text without white space around it; nothing where the model wrote nothing."""

    def __call__(self, text: str) -> str | None:
        """The text."""
        return text.strip() or None
