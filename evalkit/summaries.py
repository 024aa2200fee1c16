"""From the samples of a task to one number with its uncertainty."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evalkit.errors import DataError, EvaluationError, NonFiniteError
from evalkit.results import MetricValue, Sample

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from evalkit.stats.intervals import Interval

# the statistics rest on numpy and are imported where they are used: tasks name metrics, and listing tasks stays light

UNSCORED = frozenset({"errored", "skipped"})
"""Outcomes of samples without a value: they are counted apart, never as 0."""

UNREADABLE = frozenset({"unparsed", "empty", "truncated", "refused", "errored"})
"""Outcomes that say nothing of what the model knows."""


@dataclass(frozen=True, slots=True)
class Transform:
    """A monotone function of a rate, and its derivative (for the delta method)."""

    apply: Callable[[float], float]
    slope: Callable[[float], float]


def mean_value(
    name: str,
    samples: Sequence[Sample],
    *,
    higher_is_better: bool,
    binary: bool,
    bounds: tuple[float, float] = (-math.inf, math.inf),
    chance: float | None = None,
) -> MetricValue:
    """The mean of a metric over samples; the interval is chosen as `evalkit.metrics.estimate` says.

    Where all values are the same there is none, unless they are 0 or 1: such a sample shows no variance to judge the
    mean's error by, and an interval without a width would claim that it is known exactly.

    Args:
        name: Metric, as in `Sample.metrics`.
        samples: All samples of the task; those not scored are left out.
        higher_is_better: Direction, passed on.
        binary: Every value is 0 or 1.
        bounds: Range that a value can have; the interval is cut there.
        chance: Value when guessing, passed on.

    Raises:
        EvaluationError: No sample has the metric, or one lacks it though it was scored.
        NonFiniteError: A value is NaN or infinite.
    """
    from evalkit.stats.clusters import cluster_robust
    from evalkit.stats.intervals import standard_error, student_t, wilson

    scored = _scored(name, samples)
    values = [_finite(name, sample, sample.metrics[name]) for sample in scored]
    mean = math.fsum(values) / len(values)
    clusters = cluster_names(scored)
    stderr: float | None
    interval: Interval | None
    varies = len(set(values)) > 1
    if clusters is not None:
        stderr, interval = cluster_robust(values, clusters)
        if binary and mean in (0.0, 1.0):
            # no spread to see: let each cluster count as one item, the least that it can be worth
            count = len(set(clusters))
            interval = wilson(mean * count, count)
        elif not varies:
            interval = None
    else:
        stderr = standard_error(values)
        interval = wilson(math.fsum(values), len(values)) if binary else student_t(values)
    if interval is not None:
        interval = interval.clipped(*bounds)
    return MetricValue(mean, stderr, _limits(interval), higher_is_better, chance)


def ratio_value(
    name: str,
    samples: Sequence[Sample],
    numerator: str,
    denominator: str | None,
    transform: Transform,
    *,
    higher_is_better: bool,
) -> MetricValue:
    """transform(Σ numerator / Σ denominator) over the samples' fields.

    The interval is that of the ratio, transformed: for a perplexity it is symmetric on the logarithm's scale. There is
    none where the documents show no variance at all.

    Args:
        name: Metric, for messages and to tell which samples were scored.
        samples: All samples of the task; those not scored are left out.
        numerator: Field that is summed above.
        denominator: Field that is summed below; None counts samples.
        transform: Applied to the ratio.
        higher_is_better: Direction, passed on.

    Raises:
        EvaluationError: No sample has the metric, one lacks it though it was scored, or the denominators are all 0.
        NonFiniteError: A field is NaN or infinite.
    """
    from evalkit.stats.ratio import ratio_of_sums

    scored = _scored(name, samples)
    above = [_finite(numerator, sample, sample.fields[numerator]) for sample in scored]
    below = [1.0 if denominator is None else float(sample.fields[denominator]) for sample in scored]
    if math.fsum(below) <= 0:
        raise DataError(f"the texts hold no {denominator}, so there is no {name}", hint="check the task's data")
    rate = ratio_of_sums(above, below, cluster_names(scored))
    stderr = None if rate.stderr is None else abs(transform.slope(rate.value)) * rate.stderr
    if stderr is not None and not math.isfinite(stderr):
        stderr = None  # the perplexity itself is at the end of what a float can hold
    limits = None
    if rate.interval is not None and rate.stderr:
        ends = sorted((transform.apply(rate.interval.low), transform.apply(rate.interval.high)))
        limits = (ends[0], ends[1])
    return MetricValue(transform.apply(rate.value), stderr, limits, higher_is_better, None)


def corpus_value(
    name: str,
    samples: Sequence[Sample],
    field: str,
    score: Callable[[npt.NDArray[np.float64]], float],
    *,
    higher_is_better: bool,
    resamples: int,
) -> MetricValue:
    """A score of all documents together, from the sufficient statistics of each.

    Where each document has several texts, the first ones together have a score, so have the second ones, and so on: the
    value is the mean of these. Standard error and interval come from a bootstrap over documents, or over clusters where
    they share some (Koehn 2004): the standard deviation and the 2.5 % and 97.5 % quantiles of the resamples.
    Where these fall together, as with a score of 0 for every document, there is no interval.

    Args:
        name: Metric, for messages and to tell which samples were scored.
        samples: All samples of the task; those not scored are left out.
        field: Field of a sample that holds its statistics: [texts][numbers], the same counts for all documents.
        score: Statistics of one text a document, float64 [documents, numbers] -> score.
        higher_is_better: Direction, passed on.
        resamples: Bootstrap samples; 0 for no interval.

    Raises:
        EvaluationError: No sample has the metric, or one lacks it though it was scored.
        NonFiniteError: The score is NaN or infinite.
    """
    import numpy as np

    from evalkit.stats.bootstrap import bootstrap

    scored = _scored(name, samples)
    statistics = np.asarray([sample.fields[field] for sample in scored], dtype=np.float64)

    def mean_score(rows: npt.NDArray[np.float64]) -> float:
        scores = [float(score(rows[:, place])) for place in range(rows.shape[1])]
        return math.fsum(scores) / len(scores)

    value = mean_score(statistics)
    if not math.isfinite(value):
        raise NonFiniteError(f"{name} of {len(scored)} documents is {value}", hint="look at the samples' statistics")
    names = cluster_names(scored)
    groups: dict[Hashable, list[int]] = {}
    for place, cluster in enumerate(names if names is not None else range(len(scored))):
        groups.setdefault(cluster, []).append(place)
    if not resamples or len(groups) < 2:
        return MetricValue(value, None, None, higher_is_better, None)
    stderr, interval = bootstrap(statistics, list(groups.values()), mean_score, resamples)
    return MetricValue(value, stderr, _limits(interval), higher_is_better, None)


def whole_value(
    name: str,
    samples: Sequence[Sample],
    field: str,
    score: Callable[[Sequence[str], Sequence[Sequence[str]]], float] | None,
    *,
    higher_is_better: bool,
) -> MetricValue:
    """A score of all documents together, from their texts; of several texts each, the mean as in `corpus_value`.

    Where it equals the mean of the documents' values it is taken for a mean, with that one's interval. Otherwise it has
    none: a bootstrap would compute the whole score a thousand times.

    Args:
        name: Metric, as in `Sample.metrics`, which may lack it.
        samples: All samples of the task; those not scored are left out.
        field: Field of a sample that holds its `texts`, as many as the other samples', and its `references`.
        score: One text a document and the references of each -> score; None for the mean of the documents' values in its
            place.
        higher_is_better: Direction, passed on.

    Raises:
        EvaluationError: No sample was scored, or without `score` none has a value.
        NonFiniteError: The score is NaN or infinite.
    """
    scored = [sample for sample in samples if sample.outcome not in UNSCORED]
    valued = [sample for sample in scored if name in sample.metrics]
    if not scored or (score is None and not valued):
        raise EvaluationError(f"no document has a value for {name}", hint="see the errors of the single documents")
    mean = mean_value(name, valued, higher_is_better=higher_is_better, binary=False) if valued else None
    if score is None and mean is not None:
        return mean
    assert score is not None
    references = [sample.fields[field]["references"] for sample in scored]
    rounds = zip(*(sample.fields[field]["texts"] for sample in scored), strict=True)
    scores = [float(score(texts, references)) for texts in rounds]
    value = math.fsum(scores) / len(scores)
    if not math.isfinite(value):
        raise NonFiniteError(f"{name} of {len(scored)} documents is {value}", hint="look at the samples' texts")
    if mean is not None and len(valued) == len(scored) and math.isclose(mean.value, value, rel_tol=1e-9, abs_tol=1e-12):
        return mean
    return MetricValue(value, None, None, higher_is_better, None)


def unreadable_range(
    name: str, samples: Sequence[Sample], value: float, bounds: tuple[float, float]
) -> tuple[float, float] | None:
    """The score if every unreadable answer were worth the least, and if every one were worth the most.

    An answer that has the most all the same, found in another way or before the text was cut, was read. Of several
    completions, or few-shot seeds, each counts for its part.

    Args:
        name: Metric, as in `Sample.metrics`.
        samples: All samples of the task.
        value: The task's score.
        bounds: Range that a document's value can have.

    Returns:
        None where every answer could be read, the metric has no finite range, or its score is not the mean over documents.
    """
    scored = [sample.metrics[name] for sample in samples if name in sample.metrics]
    if not all(map(math.isfinite, bounds)) or not scored:
        return None
    if not math.isclose(math.fsum(scored) / len(scored), value, rel_tol=1e-9, abs_tol=1e-12):
        return None
    ranges = [_range(name, sample, bounds) for sample in samples]
    if all(low == high for low, high in ranges):
        return None
    return math.fsum(low for low, _ in ranges) / len(ranges), math.fsum(high for _, high in ranges) / len(ranges)


def _range(name: str, sample: Sample, bounds: tuple[float, float]) -> tuple[float, float]:
    """What one document may be worth."""
    seeds = sample.fields.get("by_seed")
    views = seeds or [{"outcome": sample.outcome, "metrics": sample.metrics, "fields": sample.fields}]
    low, high = bounds
    lows, highs = [], []
    for view in views:
        value = view["metrics"].get(name)
        answers = view["fields"].get("answers", ())
        if value is None or (view["outcome"] in UNREADABLE and value != high):
            lows.append(low if value is None or len(answers) < 2 else value)
            highs.append(high)
        else:
            lows.append(value)
            highs.append(high if len(answers) > 1 and None in answers else value)
    return math.fsum(lows) / len(lows), math.fsum(highs) / len(highs)


def cluster_names(samples: Sequence[Sample]) -> list[Hashable] | None:
    """The samples' clusters, one each (of its own where it has none); None where no two samples share one."""
    named = [sample.cluster for sample in samples if sample.cluster is not None]
    if len(set(named)) == len(named):
        return None
    return [position if sample.cluster is None else sample.cluster for position, sample in enumerate(samples)]


def _scored(name: str, samples: Sequence[Sample]) -> list[Sample]:
    """The samples that have the metric; one may lack it only because scoring it failed and is recorded so."""
    scored = []
    for sample in samples:
        if name in sample.metrics:
            scored.append(sample)
        elif sample.outcome not in UNSCORED:
            raise EvaluationError(
                f"sample {sample.id} (document {sample.index}) has outcome {sample.outcome}, but no value for {name}",
                hint="the task's metrics must give every document a value",
            )
    if not scored:
        raise EvaluationError(f"no document has a value for {name}", hint="see the errors of the single documents")
    return scored


def _finite(name: str, sample: Sample, value: float) -> float:
    if not math.isfinite(value):
        raise NonFiniteError(
            f"{name} of sample {sample.id} (document {sample.index}) is {value}", hint="try --dtype float32"
        )
    return float(value)


def _limits(interval: Interval | None) -> tuple[float, float] | None:
    return None if interval is None else (interval.low, interval.high)
