"""A ratio of two sums over documents: log-likelihood a token, a word, a byte."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from evalkit.stats.clusters import cluster_sums
from evalkit.stats.intervals import Interval
from evalkit.stats.special import t_quantile


@dataclass(frozen=True, slots=True)
class RatioEstimate:
    """A ratio with its uncertainty; `stderr` and `interval` are None for fewer than two documents (or clusters)."""

    value: float
    stderr: float | None
    interval: Interval | None


def ratio_of_sums(
    numerators: Sequence[float],
    denominators: Sequence[float],
    clusters: Sequence[Hashable] | None = None,
    level: float = 0.95,
) -> RatioEstimate:
    """R = Σ a / Σ b over documents, its standard error by the delta method, and R ± t(C - 1) of it.

    SE² = C / (C - 1) Σ_c (Σ_{i in c} (a_i - R b_i))² / (Σ b)²: tokens of one document are not independent, so documents
    (or the clusters they are in) are what is resampled (Cochran 1977, "Sampling Techniques", eq. 6.13).

    Raises:
        ValueError: Lengths differ, a value is NaN or infinite, or the denominators do not sum to a positive number.
    """
    above = np.asarray(numerators, dtype=np.float64)
    below = np.asarray(denominators, dtype=np.float64)
    if len(above) != len(below):
        raise ValueError(f"{len(above)} numerators, but {len(below)} denominators")
    if not (np.isfinite(above).all() and np.isfinite(below).all()):
        raise ValueError("a value is NaN or infinite")
    total = math.fsum(below)
    if total <= 0:
        raise ValueError("the denominators do not sum to a positive number")
    ratio = math.fsum(above) / total
    residuals = cluster_sums(above - ratio * below, range(len(above)) if clusters is None else clusters)
    count = len(residuals)
    if count < 2:
        return RatioEstimate(ratio, None, None)
    stderr = math.sqrt(count / (count - 1) * float(np.sum(residuals**2))) / total
    half = t_quantile(0.5 + level / 2, count - 1) * stderr
    return RatioEstimate(ratio, stderr, Interval(ratio - half, ratio + half, level, "delta method, t"))
