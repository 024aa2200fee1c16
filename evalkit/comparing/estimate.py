"""The difference of one metric over paired documents: interval, p, and what they rest on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evalkit.comparison import Attribution
from evalkit.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Limits = tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Estimate:
    """A difference, after - before, with all that a verdict needs.

    Attributes:
        n: Pairs of documents.
        clusters: Groups of documents whose errors go together; `n` where all are independent.
        before: The first run's score on these documents.
        after: The second's.
        stderr: Standard error of the difference; None where unknown.
        limits: Level -> confidence limits of the difference; None where they cannot be known.
        p: Two-sided p of no difference; None without a test.
        test: How limits and p were made, in words.
        fixed: Documents whose value got better.
        broken: Documents whose value got worse.
        same: Every document has the same value in both runs.
        discordance: Share of the documents that exactly one run gets right; None unless all are right or wrong, and
            independent.
        units: Parts of the difference, one an independent unit (document or cluster), which sum to it; None where the
            score is no mean.
        reach: Width of the range of a document's value, which no difference exceeds; None where unknown.
        attribution: The difference split by cause; None where the score is no mean.
        degrees: Degrees of freedom of the standard error of documents in clusters; None where they are clusters - 1.
        why: Why there is no test, as a clause; empty where there is one.
    """

    n: int
    clusters: int
    before: float
    after: float
    stderr: float | None
    limits: Callable[[float], Limits]
    p: float | None
    test: str
    fixed: int
    broken: int
    same: bool = False
    discordance: float | None = None
    units: npt.NDArray[np.float64] | None = None
    reach: float | None = None
    attribution: Attribution | None = None
    degrees: float | None = None
    why: str = ""

    @property
    def difference(self) -> float:
        """After - before."""
        return self.after - self.before


def check_alpha(alpha: float) -> None:
    """Raises UsageError unless the level is between 0 and 0.5, so that there is one for limits at 1 - 2 alpha."""
    if not 0 < alpha < 0.5:
        raise UsageError(f"alpha is {alpha}", hint="give a level between 0 and 0.5, as 0.05")


def untested(n: int, before: float, after: float, why: str, fixed: int = 0, broken: int = 0) -> Estimate:
    """A difference of which nothing more can be said."""
    return Estimate(n, n, before, after, None, lambda level: None, None, "none", fixed, broken, why=why)
