"""The difference of a metric that is a ratio of two sums over documents: perplexities, bits per byte."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from evalkit.comparing.estimate import Estimate, Limits, untested
from evalkit.comparing.means import SLACK
from evalkit.comparing.pairing import Pairs
from evalkit.metrics.likelihood import Ratio
from evalkit.results import Sample
from evalkit.summaries import cluster_names

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]

SWAPS = 4999
"""Random exchanges of the two sides, where a sum over documents will not do."""


def rate_estimate(metric: str, pairs: Pairs, ratio: Ratio, *, higher_is_better: bool) -> Estimate:
    """The paired difference of two transformed ratios, f(Σ a' / Σ b') - f(Σ a / Σ b).

    The interval is that of the linearised difference (delta method; Cochran 1977, eq. 6.13), with t(documents - 1), or
    clusters. p is that of exchanging the two runs' documents: where both have the same denominators (words or bytes of
    the same text), of the sign-flip test of the log-likelihoods' differences, which rank as the ratios do.
    """
    from evalkit.stats.special import t_quantile

    n = len(pairs.before)
    sides = tuple(_sums(samples, ratio) for samples in (pairs.before, pairs.after))
    before, after = (ratio.transform.apply(side.rate) for side in sides)
    clusters = cluster_names(pairs.before)
    names = clusters if clusters is not None else list(range(n))
    count = len(set(names))
    gains = _gains(sides[0], sides[1], rising=(ratio.transform.slope(sides[0].rate) > 0) == higher_is_better)
    fixed, broken = int((gains > 0).sum()), int((gains < 0).sum())
    if count < 2:
        return untested(n, before, after, "one document says nothing of chance", fixed, broken)
    stderr = _stderr(sides, ratio, names, count)
    known = math.isfinite(stderr) and stderr > 1e-12 * max(abs(before), abs(after))

    @cache
    def limits(level: float) -> Limits:
        if not known:
            return None
        half = t_quantile(0.5 + level / 2, count - 1) * stderr
        return after - before - half, after - before + half

    same = not _changed(sides[0], sides[1]).any()
    p, test = (1.0, "exchange of documents") if same else _p(ratio, sides, clusters)
    kind = "delta-method t interval" if clusters is None else f"cluster-robust t interval ({count:,} clusters)"
    return Estimate(
        n,
        count,
        before,
        before if same else after,
        stderr if known else None,
        limits,
        p,
        f"{kind}, {test}",
        fixed,
        broken,
        same,
    )


@dataclass(frozen=True, slots=True)
class _Sums:
    """One run's documents: what is summed above and below the line, float64 [documents] each."""

    above: Array
    below: Array

    @property
    def rate(self) -> float:
        """The ratio of the sums."""
        return math.fsum(self.above) / math.fsum(self.below)


def _sums(samples: Sequence[Sample], ratio: Ratio) -> _Sums:
    import numpy as np

    below = [1.0 if ratio.denominator is None else float(one.fields[ratio.denominator]) for one in samples]
    return _Sums(np.array([float(one.fields[ratio.numerator]) for one in samples]), np.array(below))


def _changed(first: _Sums, second: _Sums) -> npt.NDArray[np.bool_]:
    """Which documents differ by more than rounding, bool [documents]."""
    import numpy as np

    by_rounding = SLACK * np.maximum(1.0, np.abs(first.above))
    changed: npt.NDArray[np.bool_] = np.abs(second.above - first.above) > by_rounding
    changed |= second.below != first.below
    return changed


def _gains(first: _Sums, second: _Sums, *, rising: bool) -> Array:
    """How each document's own ratio moved, positive where that is better, float64 [documents]."""
    import numpy as np

    moved = second.above / np.maximum(second.below, 1e-300) - first.above / np.maximum(first.below, 1e-300)
    return np.where(_changed(first, second), moved if rising else -moved, 0.0)


def _stderr(sides: Sequence[_Sums], ratio: Ratio, names: Sequence[Hashable], count: int) -> float:
    """Standard error of the linearised difference; documents of one name count as one."""
    import numpy as np

    from evalkit.stats.clusters import cluster_sums

    linear = [
        ratio.transform.slope(side.rate) * (side.above - side.rate * side.below) / math.fsum(side.below)
        for side in sides
    ]
    residuals = cluster_sums(linear[1] - linear[0], names)
    return math.sqrt(count / (count - 1) * float(np.sum(residuals**2)))


def _p(ratio: Ratio, sides: Sequence[_Sums], clusters: Sequence[Hashable] | None) -> tuple[float, str]:
    """P of exchanging the two sides of documents, and how it was found."""
    import numpy as np

    from evalkit.stats.permutation import approximate_randomization
    from evalkit.stats.signs import sign_flip

    first, second = sides
    if np.array_equal(first.below, second.below):
        return sign_flip((second.above - first.above).tolist(), clusters), "sign-flip test"

    def score(statistics: Array) -> float:
        return ratio.transform.apply(float(statistics[:, 0].sum()) / float(statistics[:, 1].sum()))

    def of_sums(sums: Array) -> Array:
        return np.array([ratio.transform.apply(float(above) / float(below)) for above, below in sums])

    tables = [np.stack((side.above, side.below), axis=1) for side in sides]
    p = approximate_randomization(tables[0], tables[1], score, grouped(clusters), resamples=SWAPS, of_sums=of_sums)
    return p, "approximate randomisation" + (" with a normal tail" if p * (SWAPS + 1) < 1 - 1e-9 else "")


def grouped(clusters: Sequence[Hashable] | None) -> list[list[int]] | None:
    """Places of the documents of each cluster; None where each stands alone."""
    if clusters is None:
        return None
    places: dict[Hashable, list[int]] = {}
    for place, cluster in enumerate(clusters):
        places.setdefault(cluster, []).append(place)
    return list(places.values())
