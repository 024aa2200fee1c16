"""The difference of a metric that is a ratio of two sums over documents: perplexities, bits per byte."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from functools import cache
from typing import TYPE_CHECKING

from evalkit.comparing.estimate import Estimate, Limits, untested
from evalkit.comparing.means import SLACK
from evalkit.comparing.pairing import Pairs
from evalkit.metrics.likelihood import Ratio
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
    import numpy as np

    from evalkit.stats.clusters import cluster_sums
    from evalkit.stats.special import t_quantile

    n = len(pairs.before)
    above = [np.array([float(one.fields[ratio.numerator]) for one in side]) for side in (pairs.before, pairs.after)]
    below = [
        np.array([1.0 if ratio.denominator is None else float(one.fields[ratio.denominator]) for one in side])
        for side in (pairs.before, pairs.after)
    ]
    rates = [math.fsum(a) / math.fsum(b) for a, b in zip(above, below, strict=True)]
    before, after = (ratio.transform.apply(rate) for rate in rates)
    clusters = cluster_names(pairs.before)
    names = clusters if clusters is not None else list(range(n))
    count = len(set(names))
    moved = above[1] / np.maximum(below[1], 1e-300) - above[0] / np.maximum(below[0], 1e-300)
    changed = np.abs(above[1] - above[0]) > SLACK * np.maximum(1.0, np.abs(above[0]))
    changed |= below[1] != below[0]
    rising = ratio.transform.slope(rates[0]) > 0
    gains = np.where(changed, moved if rising == higher_is_better else -moved, 0.0)
    fixed, broken = int((gains > 0).sum()), int((gains < 0).sum())
    if count < 2:
        return untested(n, before, after, "one document says nothing of chance", fixed, broken)
    linear = [
        ratio.transform.slope(rate) * (a - rate * b) / math.fsum(b)
        for rate, a, b in zip(rates, above, below, strict=True)
    ]
    residuals = cluster_sums(linear[1] - linear[0], names)
    stderr = math.sqrt(count / (count - 1) * float(np.sum(residuals**2)))
    known = math.isfinite(stderr) and stderr > 1e-12 * max(abs(before), abs(after))

    @cache
    def limits(level: float) -> Limits:
        if not known:
            return None
        half = t_quantile(0.5 + level / 2, count - 1) * stderr
        return after - before - half, after - before + half

    same = not changed.any()
    p, test = (1.0, "exchange of documents") if same else _p(ratio, above, below, clusters)
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


def _p(
    ratio: Ratio, above: Sequence[Array], below: Sequence[Array], clusters: Sequence[Hashable] | None
) -> tuple[float, str]:
    """P of exchanging the two sides of documents, and how it was found."""
    import numpy as np

    from evalkit.stats.permutation import approximate_randomization
    from evalkit.stats.signs import sign_flip

    if np.array_equal(below[0], below[1]):
        return sign_flip((above[1] - above[0]).tolist(), clusters), "sign-flip test"

    def score(statistics: Array) -> float:
        return ratio.transform.apply(float(statistics[:, 0].sum()) / float(statistics[:, 1].sum()))

    def of_sums(sums: Array) -> Array:
        return np.array([ratio.transform.apply(float(above) / float(below)) for above, below in sums])

    sides = [np.stack(side, axis=1) for side in zip(above, below, strict=True)]
    p = approximate_randomization(sides[0], sides[1], score, grouped(clusters), resamples=SWAPS, of_sums=of_sums)
    return p, "approximate randomisation" + (" with a normal tail" if p * (SWAPS + 1) < 1 - 1e-9 else "")


def grouped(clusters: Sequence[Hashable] | None) -> list[list[int]] | None:
    """Places of the documents of each cluster; None where each stands alone."""
    if clusters is None:
        return None
    places: dict[Hashable, list[int]] = {}
    for place, cluster in enumerate(clusters):
        places.setdefault(cluster, []).append(place)
    return list(places.values())
