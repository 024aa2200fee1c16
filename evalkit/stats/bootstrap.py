"""The percentile bootstrap for scores that are a function of sufficient statistics of all documents."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from evalkit.stats.intervals import Interval

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
