"""The difference of a score of all documents together, from sufficient statistics of each: BLEU, chrF, TER."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING

from evalkit.comparing.estimate import Estimate, Limits, untested
from evalkit.comparing.pairing import Pairs
from evalkit.comparing.rates import grouped
from evalkit.results import Sample
from evalkit.summaries import cluster_names

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

RESAMPLES = 1000
SWAPS = 1999


def corpus_estimate(
    metric: str,
    pairs: Pairs,
    score: Callable[[npt.NDArray[np.float64]], float],
    *,
    higher_is_better: bool,
) -> Estimate:
    """The paired difference of two corpus scores: paired bootstrap interval, and approximate randomisation.

    Of several texts a document, the first ones together have a score, so have the second ones, and so on; the score is
    the mean of these, as in `evalkit.summaries.corpus_value`.

    Args:
        metric: Its name; the samples have the field `NAME_statistics`, [texts][numbers].
        pairs: The documents.
        score: Statistics of one text a document, float64 [documents, numbers] -> score.
        higher_is_better: Direction.
    """
    import numpy as np

    from evalkit.stats.permutation import approximate_randomization, paired_bootstrap

    first, second = (_statistics(metric, side) for side in (pairs.before, pairs.after))

    def mean_score(rows: npt.NDArray[np.float64]) -> float:
        return math.fsum(float(score(rows[:, place])) for place in range(rows.shape[1])) / float(rows.shape[1])

    n, before, after = len(first), mean_score(first), mean_score(second)
    clusters = cluster_names(pairs.before)
    groups = grouped(clusters)
    count = n if groups is None else len(groups)
    fixed, broken = _moved(metric, pairs, higher_is_better=higher_is_better)
    if count < 2:
        return untested(n, before, after, "one document says nothing of chance", fixed, broken)
    if first.shape != second.shape:
        return untested(n, before, after, "the runs have different numbers of texts a document", fixed, broken)

    @cache
    def limits(level: float) -> Limits:
        interval, _ = paired_bootstrap(first, second, mean_score, groups, resamples=RESAMPLES, level=level)
        return None if interval is None else (interval.low, interval.high)

    p = approximate_randomization(first, second, mean_score, groups, resamples=SWAPS)
    ends = limits(0.95)
    return Estimate(
        n=n,
        clusters=count,
        before=before,
        after=after,
        stderr=None if ends is None else (ends[1] - ends[0]) / (2 * 1.959964),
        limits=limits,
        p=p,
        test="paired bootstrap interval, approximate randomisation",
        fixed=fixed,
        broken=broken,
        same=bool(np.array_equal(first, second)),
    )


def _statistics(metric: str, samples: Sequence[Sample]) -> npt.NDArray[np.float64]:
    """The sufficient statistics, float64 [documents, texts, numbers]."""
    import numpy as np

    return np.asarray([one.fields[f"{metric}_statistics"] for one in samples], dtype=np.float64)


def _moved(metric: str, pairs: Pairs, *, higher_is_better: bool) -> tuple[int, int]:
    """Documents whose own score got better, and worse."""
    steps = [
        b.metrics.get(metric, 0.0) - a.metrics.get(metric, 0.0) for a, b in zip(pairs.before, pairs.after, strict=True)
    ]
    up, down = sum(step > 0 for step in steps), sum(step < 0 for step in steps)
    return (up, down) if higher_is_better else (down, up)
