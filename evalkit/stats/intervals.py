"""Confidence intervals for one proportion or one mean of independent items."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evalkit.stats.special import beta_quantile, normal_quantile, t_quantile


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval.

    Attributes:
        low: Lower limit.
        high: Upper limit.
        level: Nominal coverage, as 0.95.
        method: How it was made.
    """

    low: float
    high: float
    level: float
    method: str

    def clipped(self, low: float, high: float) -> Interval:
        """The interval within the range that the quantity can have."""
        return Interval(max(self.low, low), min(self.high, high), self.level, self.method)


def wilson(successes: float, n: float, level: float = 0.95) -> Interval:
    """Wilson's score interval for a proportion: the default for one accuracy.

    The proportions p0 that the test |p - p0| <= z sqrt(p0 (1 - p0) / n) does not reject (Wilson 1927). Unlike
    p ± z SE it stays within [0, 1] and has a width at 0 and n successes. `n` may be an effective number of items.

    Raises:
        ValueError: `n` is not positive, or there are more successes than items.
    """
    _check_proportion(successes, n, level)
    z = normal_quantile(0.5 + level / 2)
    proportion = successes / n
    shrink = 1 + z * z / n
    center = (proportion + z * z / (2 * n)) / shrink
    half = z * math.sqrt(proportion * (1 - proportion) / n + z * z / (4 * n * n)) / shrink
    # at the ends the limit is exactly 0 or 1; in floating point it can miss by 1e-17
    low = 0.0 if successes == 0 else max(0.0, center - half)
    high = 1.0 if successes == n else min(1.0, center + half)
    return Interval(low, high, level, "wilson")


def clopper_pearson(successes: int, n: int, level: float = 0.95) -> Interval:
    """The "exact" interval for a proportion: it covers at least as often as it says (Clopper & Pearson 1934).

    Raises:
        ValueError: `n` is not positive, or there are more successes than items.
    """
    _check_proportion(successes, n, level)
    tail = (1 - level) / 2
    low = 0.0 if successes == 0 else beta_quantile(tail, successes, n - successes + 1)
    high = 1.0 if successes == n else beta_quantile(1 - tail, successes + 1, n - successes)
    return Interval(low, high, level, "clopper-pearson")


def rule_of_three(n: int, level: float = 0.95) -> float:
    """The highest proportion that n items without a single success leave credible: 1 - (1 - level)^(1 / n), about 3 / n.

    One-sided and exact (Hanley & Lippman-Hand 1983); for n items without a failure, 1 minus it is the lowest one.

    Raises:
        ValueError: `n` is not positive.
    """
    _check_proportion(0, n, level)
    return -math.expm1(math.log1p(-level) / n)


def standard_error(values: Sequence[float]) -> float | None:
    """Standard error of a mean: sample standard deviation (n - 1) over the root of n; lm-eval's `mean_stderr`.

    Returns:
        None for fewer than two values: one value says nothing of its own spread.
    """
    array = _finite(values)
    if len(array) < 2:
        return None
    return float(np.std(array, ddof=1) / math.sqrt(len(array)))


def student_t(values: Sequence[float], level: float = 0.95) -> Interval | None:
    """Mean ± t(n - 1) standard errors.

    Returns:
        None for fewer than two values, and for values that are all the same: they show no variance to judge the mean's
        error by, and an interval without a width would claim that it is known exactly.
    """
    stderr = standard_error(values)
    if stderr is None or len(set(values)) == 1:
        return None
    mean = float(np.mean(np.asarray(values, dtype=np.float64)))
    half = t_quantile(0.5 + level / 2, len(values) - 1) * stderr
    return Interval(mean - half, mean + half, level, "t")


def _check_proportion(successes: float, n: float, level: float) -> None:
    if not (n > 0 and 0 <= successes <= n and 0 < level < 1):
        raise ValueError(f"not a proportion: {successes} of {n} at level {level}")


def _finite(values: Sequence[float]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    array = np.asarray(values, dtype=np.float64)
    if not np.isfinite(array).all():
        raise ValueError("a value is NaN or infinite")
    return array
