"""Several runs by one score."""

from __future__ import annotations

from collections.abc import Sequence

from evalkit.comparison import Ranking, Side
from evalkit.errors import UsageError


def rank(
    sides: Sequence[Side], *, tasks: Sequence[str] | None = None, alpha: float = 0.05, allow: Sequence[str] = ()
) -> Ranking:
    """The runs, best first, and which of them the paired tests tell apart."""
    raise UsageError("three or more runs cannot be ranked yet", hint="compare two at a time")
