"""Output under GitHub Actions, whose runner obeys lines of it: no text from a result can give it orders."""

from __future__ import annotations

import os
import re
import sys
from typing import Any, TextIO

_ORDER = re.compile(r"(?:\A|(?<=[\r\n]))[\s\u200b-\u200f\u2060\ufeff]*:(:)|##(\[)")
"""What the runner takes for an order: `::` at the start of a line, white space before it aside, and `##[` anywhere. The
invisible characters beside white space are there for runners that trim more."""
_ESCAPED = {":": "\\u003a", "[": "\\u005b"}
"""Escapes that JSON, the one machine-readable text that is printed and can hold them, reads as the same character."""


def in_github() -> bool:
    """Whether a GitHub Actions runner reads the output."""
    return os.environ.get("GITHUB_ACTIONS") == "true"


def guard_streams() -> None:
    """Under GitHub Actions, makes orders in all that is printed from now on readable as text, and nothing else.

    Names of tasks and models, notes and errors quote result files that anyone may have written. The guard is on the
    streams, not on the texts, because a line that a table or a terminal's width breaks can begin anywhere.
    """
    if not in_github():
        return
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, Guarded):
            setattr(sys, name, Guarded(stream))


def print_order(line: str, stream: TextIO) -> None:
    """Prints a line that the runner is to obey."""
    unguarded = stream.stream if isinstance(stream, Guarded) else stream
    unguarded.write(f"{line}\n")
    unguarded.flush()


class Guarded:
    """A text stream that escapes what the runner would obey.

    Attributes:
        stream: Where the text goes.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self._line = ""

    def __getattr__(self, name: str) -> Any:
        if name in ("buffer", "detach"):  # a way past the guard
            raise AttributeError(name)
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        """Writes text; an order counts as one also where it comes in pieces."""
        known = len(self._line)
        whole = self._line + text
        written, place = [], known
        for found in _ORDER.finditer(whole):
            start = found.start(found.lastindex or 0)
            if start >= known:
                written += [whole[place:start], _ESCAPED[whole[start]]]
                place = start + 1
        self.stream.write("".join([*written, whole[place:]]))
        rest = re.split(r"[\r\n]", whole)[-1]
        # of a line with something in it only its end matters
        self._line = rest if rest.strip() in ("", ":") else f"x{rest[-2:]}"
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Writes several."""
        for line in lines:
            self.write(line)
