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

RESAMPLES = 2000
"""Bootstrap resamples at least."""
_BEYOND = 10
"""Resamples that must be beyond each limit: a quantile that rests on fewer is an extreme, not a quantile."""
_MOST = 100_000
SWAPS = 4999
SCORED_ONE_BY_ONE = 1999
"""Swaps where the metric cannot score many sets of documents at once."""

Scores = Callable[["npt.NDArray[np.float64]"], "npt.NDArray[np.float64]"]


def corpus_estimate(
    metric: str,
    pairs: Pairs,
    score: Callable[[npt.NDArray[np.float64]], float],
    *,
    higher_is_better: bool,
    of_sums: Scores | None = None,
) -> Estimate:
    """The paired difference of two corpus scores: paired bootstrap interval, and approximate randomisation.

    A level near 1 has so many resamples that 10 lie beyond each limit, up to 100,000; where these are too few, the limits
    are at least as wide as the normal distribution has them.

    Of several texts a document, the first ones together have a score, so have the second ones, and so on; the score is
    the mean of these, as in `evalkit.summaries.corpus_value`.

    Args:
        metric: Its name; the samples have the field `NAME_statistics`, [texts][numbers].
        pairs: The documents.
        score: Statistics of one text a document, float64 [documents, numbers] -> score.
        higher_is_better: Direction.
        of_sums: The same score from sums of statistics, of many sets at once.
    """
    import numpy as np

    from evalkit.stats.permutation import approximate_randomization

    first, second = (_statistics(metric, side) for side in (pairs.before, pairs.after))

    mean_score, quick = _mean_of_texts(score, of_sums)
    n, before, after = len(first), mean_score(first), mean_score(second)
    clusters = cluster_names(pairs.before)
    groups = grouped(clusters)
    count = n if groups is None else len(groups)
    fixed, broken = _moved(metric, pairs, higher_is_better=higher_is_better)
    if count < 2:
        return untested(n, before, after, "one document says nothing of chance", fixed, broken)
    if first.shape != second.shape:
        return untested(n, before, after, "the runs have different numbers of texts a document", fixed, broken)

    limits = _limits(first, second, mean_score, quick, groups)
    swaps = SCORED_ONE_BY_ONE if of_sums is None else SWAPS
    p = approximate_randomization(first, second, mean_score, groups, resamples=swaps, of_sums=quick)
    tail = " with a normal tail" if p * (swaps + 1) < 1 - 1e-9 else ""
    ends = limits(0.95)
    return Estimate(
        n=n,
        clusters=count,
        before=before,
        after=after,
        stderr=None if ends is None else (ends[1] - ends[0]) / (2 * 1.959964),
        limits=limits,
        p=p,
        test=f"paired bootstrap interval, approximate randomisation{tail}",
        fixed=fixed,
        broken=broken,
        same=bool(np.array_equal(first, second)),
    )


def _mean_of_texts(
    score: Callable[[npt.NDArray[np.float64]], float], of_sums: Scores | None
) -> tuple[Callable[[npt.NDArray[np.float64]], float], Scores | None]:
    """The two scores for statistics of several texts a document: the mean of the first texts' score, the second ones' ..."""
    import numpy as np

    def mean_score(rows: npt.NDArray[np.float64]) -> float:
        return math.fsum(float(score(rows[:, place])) for place in range(rows.shape[1])) / float(rows.shape[1])

    def mean_scores(sums: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        assert of_sums is not None
        scores = [of_sums(sums[:, place]) for place in range(sums.shape[1])]
        return np.asarray(np.mean(scores, axis=0), dtype=np.float64)

    return mean_score, None if of_sums is None else mean_scores


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


def _limits(
    first: npt.NDArray[np.float64],
    second: npt.NDArray[np.float64],
    score: Callable[[npt.NDArray[np.float64]], float],
    of_sums: Scores | None,
    groups: Sequence[Sequence[int]] | None,
) -> Callable[[float], Limits]:
    """Level -> paired bootstrap limits; levels that need no more resamples than others share theirs."""
    from evalkit.stats.permutation import bootstrap_differences, percentile_limits
    from evalkit.stats.special import normal_quantile

    @cache
    def drawn(resamples: int) -> npt.NDArray[np.float64]:
        return bootstrap_differences(first, second, score, groups, resamples=resamples, of_sums=of_sums)

    @cache
    def limits(level: float) -> Limits:
        wanted = max(RESAMPLES, math.ceil(2 * _BEYOND / (1 - level) - 1e-6))
        values = drawn(min(wanted, _MOST))
        interval = percentile_limits(values, level)
        if interval is None:
            return None
        if wanted <= _MOST:
            return interval.low, interval.high
        middle, half = float(values.mean()), normal_quantile(0.5 + level / 2) * float(values.std())
        return min(interval.low, middle - half), max(interval.high, middle + half)

    return limits
