"""The bootstrap, percentile and BCa, for scores that are a function of sufficient statistics of all documents."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from evalkit.stats.intervals import Interval
from evalkit.stats.special import normal_distribution, normal_quantile

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def bootstrap(
    statistics: npt.ArrayLike,
    groups: Sequence[Sequence[int]],
    score: Callable[[npt.NDArray[np.float64]], float],
    resamples: int,
    seed: int = 0,
) -> tuple[float, Interval | None]:
    """Standard error and 95 % percentile interval (Efron & Tibshirani 1993, chapters 6 and 13).

    Args:
        statistics: Numbers, [documents, ...]: any shape, documents first.
        groups: Places of the documents of each group; whole groups are drawn, so that documents whose errors go together
            stay together.
        score: Statistics of some documents, float64 [documents, ...] -> their score.
        resamples: How many samples of groups are drawn, with replacement.
        seed: Of the draws.

    Returns:
        The interval is None where its ends fall together: the documents show no variance to judge the score's error by,
        and an interval without a width would claim that it is known exactly.
    """
    import numpy as np

    rows = np.asarray(statistics, dtype=np.float64)
    generator = np.random.default_rng(seed)
    draws = generator.integers(0, len(groups), size=(resamples, len(groups)))
    if len(groups) == len(rows):
        values = [score(rows[draw]) for draw in draws]
    else:
        places: list[Any] = [np.asarray(group) for group in groups]
        values = [score(rows[np.concatenate([places[group] for group in draw])]) for draw in draws]
    low, high = np.quantile(values, [0.025, 0.975])
    stderr = float(np.std(values, ddof=1))
    if math.isclose(low, high, rel_tol=1e-12, abs_tol=1e-12):
        return stderr, None
    return stderr, Interval(float(low), float(high), 0.95, "percentile bootstrap")


def bca_bootstrap(
    values: npt.ArrayLike,
    statistic: Callable[[npt.NDArray[np.float64]], float],
    resamples: int,
    level: float = 0.95,
    seed: int = 0,
    groups: Sequence[Sequence[int]] | None = None,
) -> Interval | None:
    """Bias-corrected and accelerated interval (Efron 1987; Efron & Tibshirani 1993, 14.3): for skewed or biased statistics.

    The percentiles are moved by how the resamples lie around the estimate (bias) and by how the statistic's error changes
    with its value (acceleration, from the jackknife over items, or over groups).

    Args:
        values: Numbers, [items, ...]: any shape, items first.
        statistic: Values of some items, float64 [items, ...] -> number.
        resamples: How many samples of groups are drawn, with replacement; 2,000 or more.
        level: Nominal coverage.
        seed: Of the draws.
        groups: Places of the items of each group, which are drawn whole; by default each stands alone.

    The statistic is computed once a resample and once a group. For the mean of 0/1 scores take Wilson's interval.

    Returns:
        None where the resamples show no variance. Where the statistic leaves the acceleration or the bias undefined (all
        resamples on one side of the estimate, a jackknife without spread), a percentile interval, as its `method` says.

    Raises:
        ValueError: There are fewer than two items or groups.
    """
    import numpy as np

    rows = np.asarray(values, dtype=np.float64)
    members = None if groups is None else [np.asarray(group) for group in groups]
    count = len(rows) if members is None else len(members)
    if count < 2:
        raise ValueError(f"a bootstrap needs two items or groups, not {count}")

    def of(chosen: npt.NDArray[np.int64]) -> float:
        places = chosen if members is None else np.concatenate([members[number] for number in chosen])
        return float(statistic(rows[places]))

    generator = np.random.default_rng(seed)
    drawn = np.array([of(generator.integers(0, count, size=count)) for _ in range(resamples)])
    if np.isnan(drawn).any() or math.isclose(drawn.min(), drawn.max(), rel_tol=1e-12, abs_tol=1e-12):
        return None
    left_out = np.array([of(np.delete(np.arange(count), number)) for number in range(count)])
    ends = _corrected_ends(drawn, float(statistic(rows)), left_out, level)
    method = "BCa bootstrap" if ends is not None else "percentile bootstrap (BCa undefined)"
    low, high = np.quantile(drawn, ends if ends is not None else [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high), level, method)


def _corrected_ends(
    drawn: npt.NDArray[np.float64], estimate: float, left_out: npt.NDArray[np.float64], level: float
) -> tuple[float, float] | None:
    """The two shares of the resamples that BCa takes for the tails; None where they are not defined."""
    import numpy as np

    below = float(((drawn < estimate).mean() + (drawn <= estimate).mean()) / 2)
    influences = left_out.mean() - left_out
    spread = float((influences**2).sum())
    if not 0 < below < 1 or not spread > (1e-12 * np.abs(left_out).max()) ** 2:
        return None
    bias, acceleration = normal_quantile(below), float((influences**3).sum()) / (6 * spread**1.5)
    ends = []
    for tail in ((1 - level) / 2, (1 + level) / 2):
        shifted = bias + normal_quantile(tail)
        if 1 - acceleration * shifted <= 0:
            return None
        ends.append(normal_distribution(bias + shifted / (1 - acceleration * shifted)))
    return ends[0], ends[1]
