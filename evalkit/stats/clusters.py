"""Standard error and interval of a mean whose items come in clusters (questions on the same passage)."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class SizedError:
    """A standard error of a mean over clusters that knows how unequal they are.

    Attributes:
        stderr: Standard error.
        degrees: Satterthwaite's degrees of freedom, at most clusters - 1.
    """

    stderr: float
    degrees: float


def sized_error(values: Sequence[float], clusters: Sequence[Hashable]) -> SizedError | None:
    """The bias-reduced standard error of the mean, and its degrees of freedom; None for fewer than two clusters.

    Bell & McCaffrey 2002 (see Pustejovsky & Tipton 2018) for a model of a mean alone, where the values of a cluster go
    together entirely: each cluster's mean has the same variance, however large it is. With sizes m_c, n = Σ m_c,
    h_c = m_c / n and residual sums e_c, the residual's expected square is, in units of that variance,
    k_c = m_c² (1 - h_c)² + h_c² Σ_{b ≠ c} m_b², and

        SE² = n⁻² Σ_c (m_c² / k_c) e_c²,    ν = E[SE²]² / (Var[SE²] / 2) for normal means.

    SE² is then unbiased; where values within a cluster are independent, it is too large. With clusters of the same size it
    is CR1, and ν = C - 1. CR1 takes a large cluster for well fitted, for the mean is nearly its own.

    Raises:
        ValueError: Not one cluster a value, or a value is NaN or infinite.
    """
    array = np.asarray(values, dtype=np.float64)
    sums = cluster_sums(array - array.mean(), clusters)
    if len(sums) < 2:
        return None
    sizes = cluster_sums(np.ones(len(array)), clusters)
    shares, spread = sizes / len(array), sizes**2
    total = float(spread.sum())
    # covariance of the residual sums: diag(spread) + cross, cross_ij = total h_i h_j - h_i spread_j - spread_i h_j
    expected = spread * (1 - shares) ** 2 + shares**2 * (total - spread)
    weights = spread / expected
    cross = expected - spread
    hh, hs, ss = (float(np.sum(weights * one)) for one in (shares**2, shares * spread, spread**2))
    squares = total**2 * hh**2 + 2 * hh * ss - 4 * total * hh * hs + 2 * hs**2
    squares += float(np.sum(weights**2 * (expected**2 - cross**2)))
    # exact where it is known
    degrees = len(sums) - 1 if (sizes == sizes[0]).all() else total**2 / squares
    return SizedError(math.sqrt(float(np.sum(weights * sums**2))) / len(array), degrees)


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
