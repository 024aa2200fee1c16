"""The difference of a metric that is the mean of the documents' values."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from evalkit.comparing.attribution import attribute
from evalkit.comparing.estimate import Estimate, Limits
from evalkit.comparing.pairing import Pairs
from evalkit.comparing.sight import FEW_CLUSTERS, T_TEST
from evalkit.summaries import cluster_names

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]

SLACK = 1e-9
"""Relative: values that differ by less are the same; a mean over samples may be rounded either way."""


def mean_estimate(metric: str, pairs: Pairs, bounds: tuple[float, float] | None, *, higher_is_better: bool) -> Estimate:
    """The paired difference of two means.

    Independent right-or-wrong documents have Tango's score interval and McNemar's mid-p; other values the paired t
    interval and the sign-flip test. Where documents share clusters, all have the cluster-robust t interval, which knows
    the clusters' sizes, and the sign-flip test of whole clusters; with fewer than six clusters, which that test can never
    tell from chance, the t test of the interval.

    Args:
        metric: Its name; every sample has it.
        pairs: The documents.
        bounds: Range of a document's value, when known.
        higher_is_better: Direction.
    """
    import numpy as np

    first = np.array([sample.metrics[metric] for sample in pairs.before], dtype=np.float64)
    second = np.array([sample.metrics[metric] for sample in pairs.after], dtype=np.float64)
    found = values_estimate(first, second, cluster_names(pairs.before), bounds, higher_is_better=higher_is_better)
    moved = changes(first, second)
    return replace(found, attribution=attribute(pairs, moved, higher_is_better=higher_is_better))


def changes(first: Array, second: Array) -> Array:
    """Second - first of each document; exactly 0 where they differ by rounding alone."""
    import numpy as np

    moved = second - first
    moved[np.abs(moved) <= SLACK * np.maximum(1.0, np.maximum(np.abs(first), np.abs(second)))] = 0.0
    return moved


def values_estimate(
    first: Array,
    second: Array,
    clusters: Sequence[Hashable] | None,
    bounds: tuple[float, float] | None,
    *,
    higher_is_better: bool,
    tested: bool = True,
) -> Estimate:
    """`mean_estimate` from the documents' values, without an attribution.

    Args:
        first: Of the first run, [documents].
        second: Of the second.
        clusters: Group of each document; None where all are independent.
        bounds: Range of a document's value, when known.
        higher_is_better: Direction.
        tested: Whether p is needed; where not, it is None.
    """
    import numpy as np

    moved = changes(first, second)
    binary = bool(np.isin(first, (0.0, 1.0)).all() and np.isin(second, (0.0, 1.0)).all())
    up, down = int((moved > 0).sum()), int((moved < 0).sum())
    count = len(moved) if clusters is None else len(set(clusters))
    width = 1.0 if binary else _width(bounds)
    if binary and clusters is None:
        (stderr, limits, p, test), degrees = proportions(up, down, len(moved), tested=tested), None
    else:
        (stderr, limits, p, test), degrees = _values(moved, clusters, count, width, tested=tested)
    before = math.fsum(first) / len(first)
    return Estimate(
        n=len(moved),
        clusters=count,
        before=before,
        after=before + math.fsum(moved) / len(moved) if not moved.any() else math.fsum(second) / len(second),
        stderr=stderr,
        limits=limits,
        p=p,
        test=test,
        fixed=up if higher_is_better else down,
        broken=down if higher_is_better else up,
        same=not moved.any(),
        discordance=(up + down) / len(moved) if binary and clusters is None else None,
        units=_units(moved, clusters) / len(moved),
        reach=width,
        degrees=degrees,
    )


def proportions(
    up: int, down: int, n: int, *, tested: bool = True
) -> tuple[float | None, Callable[[float], Limits], float | None, str]:
    """Standard error, limits at a level, p and test of paired 0/1 values, from how many went up and down."""
    from evalkit.stats.paired import mcnemar_mid_p, tango

    @cache
    def limits(level: float) -> Limits:
        interval = tango(up, down, n, level)
        return interval.low, interval.high

    variance = (up + down) / n - ((up - down) / n) ** 2
    stderr = math.sqrt(variance / (n - 1)) if n > 1 and variance > 0 else None
    return stderr, limits, mcnemar_mid_p(up, down) if tested else None, "Tango score interval, McNemar mid-p"


def _values(
    moved: Array, clusters: Sequence[Hashable] | None, count: int, width: float | None, *, tested: bool
) -> tuple[tuple[float | None, Callable[[float], Limits], float | None, str], float | None]:
    """The same of values of any kind, and degrees of freedom; `width` is that of their range, when known."""
    from evalkit.stats.paired import paired_clusters, paired_t, tango
    from evalkit.stats.signs import sign_flip

    differences = moved.tolist()
    if count < 2:
        return (None, lambda level: None, None, "none"), None

    @cache
    def limits(level: float) -> Limits:
        found = paired_t(differences, level) if clusters is None else paired_clusters(differences, clusters, level)
        if found.interval is not None:
            return found.interval.low, found.interval.high
        if width is None or moved.any():
            return None
        # no spread to see: no more can have moved than a score interval for no change in `count` items allows
        interval = tango(0, 0, count, level)
        return interval.low * width, interval.high * width

    summary = paired_t(differences) if clusters is None else paired_clusters(differences, clusters)
    test = "paired t interval, sign-flip test"
    if clusters is not None:
        test = f"cluster-robust t interval ({count:,} clusters), sign-flip test of clusters"
    if count < min(len(differences), FEW_CLUSTERS):
        test = f"{T_TEST} ({count} clusters: approximate)"
        return (summary.stderr or None, limits, summary.p, test), summary.degrees
    p = sign_flip(differences, clusters) if tested else None
    return (summary.stderr or None, limits, p, test), summary.degrees


def _width(bounds: tuple[float, float] | None) -> float | None:
    return bounds[1] - bounds[0] if bounds is not None and all(map(math.isfinite, bounds)) else None


def _units(moved: Array, clusters: Sequence[Hashable] | None) -> Array:
    from evalkit.stats.clusters import cluster_sums

    return moved if clusters is None else cluster_sums(moved, clusters)
