"""Which documents of a task are evaluated: all, a seeded sample, a share, or the first ones."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from evalkit.errors import UsageError


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit on the documents of each task.

    Attributes:
        count: Documents a task may have; None for no limit in number.
        share: Share of a task's documents, 0 < share < 1; None for no limit by share.
        first: Take the first ones instead of a seeded sample.
    """

    count: int | None = None
    share: float | None = None
    first: bool = False

    @classmethod
    def parse(cls, text: str | int | float | None) -> Limit:
        """Reads `200`, `0.1` or `first:50`.

        Raises:
            UsageError: It is none of these, or not positive.
        """
        if text is None:
            return cls()
        word = str(text).strip()
        first = word.startswith("first:")
        number = word.removeprefix("first:")
        try:
            if number.isdigit():
                return cls(count=_positive(int(number), word), first=first)
            share = float(number)
        except ValueError:
            share = -1.0
        if not 0 < share < 1:
            raise UsageError(
                f"--limit {word!r} is neither a number of documents, a share between 0 and 1, nor first:N",
                hint="examples: --limit 200, --limit 0.1, --limit first:50",
            )
        return cls(share=share, first=first)

    def choose(self, ids: Sequence[str], seed: int) -> list[int]:
        """Indices of the documents to evaluate, ascending.

        A sample takes the documents whose hash with the seed is smallest: it depends on their content alone, so that it
        is the same for every model, and a larger sample contains a smaller one.

        Args:
            ids: Content hashes of all documents, in the dataset's order.
            seed: Another seed gives another sample.
        """
        count = len(ids) if self.count is None else min(self.count, len(ids))
        if self.share is not None:
            count = max(1, round(self.share * len(ids)))
        if self.first or count == len(ids):
            return list(range(count))
        keys = [hashlib.sha256(f"{seed}:{identity}".encode()).digest() for identity in ids]
        return sorted(heapq.nsmallest(count, range(len(ids)), key=lambda index: (keys[index], index)))

    def __str__(self) -> str:
        number = self.share if self.share is not None else self.count
        return f"first:{number}" if self.first else str(number)


def _positive(count: int, word: str) -> int:
    if count < 1:
        raise UsageError(f"--limit {word} leaves no document to evaluate", hint="give at least 1")
    return count
