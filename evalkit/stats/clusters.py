"""Standard error and interval of a mean whose items come in clusters (questions on the same passage)."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

import numpy as np

from evalkit.stats.intervals import Interval
from evalkit.stats.special import t_quantile


def cluster_robust(
    values: Sequence[float], clusters: Sequence[Hashable], level: float = 0.95
) -> tuple[float | None, Interval | None]:
    """The CR1 standard error of the mean, and mean ± t(C - 1) of it.

    SE² = C / (C - 1) · n⁻² Σ_c (Σ_{i in c} (s_i - mean))², with C clusters (Miller 2024, "Adding Error Bars to Evals";
    statsmodels' `cov_type="cluster"` for a mean). Where every item is its own cluster, it is the plain standard error.

    Returns:
        Standard error and interval; both None for fewer than two clusters, which say nothing of the spread between.

    Raises:
        ValueError: Not one cluster a value, or a value is NaN or infinite.
    """
    array = np.asarray(values, dtype=np.float64)
    sums = cluster_sums(array - array.mean(), clusters)
    count = len(sums)
    if count < 2:
        return None, None
    stderr = math.sqrt(count / (count - 1) * float(np.sum(sums**2))) / len(array)
    half = t_quantile(0.5 + level / 2, count - 1) * stderr
    mean = float(array.mean())
    return stderr, Interval(mean - half, mean + half, level, "cluster-robust t")


def cluster_sums(
    values: Sequence[float] | np.ndarray[tuple[int], np.dtype[np.float64]], clusters: Sequence[Hashable]
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """The sum of the values in each cluster, in order of first appearance, shape [clusters], float64.

    A `range` as long as the values says that each stands alone.

    Raises:
        ValueError: Not one cluster a value, or a value is NaN or infinite.
    """
    array = np.asarray(values, dtype=np.float64)
    if len(array) != len(clusters):
        raise ValueError(f"{len(array)} values, but {len(clusters)} clusters")
    if not np.isfinite(array).all():
        raise ValueError("a value is NaN or infinite")
    if isinstance(clusters, range):
        return array.copy()
    numbers: dict[Hashable, int] = {}
    codes = [numbers.setdefault(cluster, len(numbers)) for cluster in clusters]
    sums = np.zeros(len(numbers))
    np.add.at(sums, codes, array)
    return sums
