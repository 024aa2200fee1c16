"""What lm-eval's metrics amount to: its own aggregation gives the value, evalkit the interval.

lm-eval's `process_results` gives each document a number, or an item that only means something together with the others
(a log-likelihood with its number of words, a gold label with the predicted one, a reference with the text).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from evalkit.errors import EvaluationError
from evalkit.lm_eval_bridge import corpus
from evalkit.metrics.likelihood import BITS, EXPONENTIAL
from evalkit.results import MetricValue, Sample
from evalkit.summaries import Transform, corpus_value, mean_value, ratio_value

RESAMPLES = 1000
"""Bootstrap resamples for scores that are neither a mean nor a ratio."""

_RATIOS: Mapping[str, Transform] = {
    "perplexity": EXPONENTIAL,
    "weighted_perplexity": EXPONENTIAL,
    "bits_per_byte": BITS,
}
"""lm-eval's aggregations that are functions of a ratio of two sums."""

_REFUSED = (ValueError, ZeroDivisionError, IndexError)
"""What aggregations raise on documents that they have no value for."""

Aggregation = Callable[[Sequence[Any]], Any]


def split_values(
    values: Mapping[str, Any], aggregations: Mapping[str, Aggregation | None]
) -> tuple[dict[str, float], dict[str, Any]]:
    """Sorts one document's values into numbers and items.

    Args:
        values: Metric -> value, as `process_results` gives them.
        aggregations: Metric -> lm-eval's aggregation.

    Returns:
        Metric -> number, and `METRIC_item` -> the item as JSON can hold it. A log-likelihood with its weight gives both:
        the document's own perplexity, and the pair. So does a translation: its own score, and as `METRIC_statistics`
        what sacrebleu counts in it.
    """
    numbers: dict[str, float] = {}
    items: dict[str, Any] = {}
    for name, value in values.items():
        item = plain(value)
        transform = _RATIOS.get(_called(aggregations.get(name)))
        if transform is not None:
            above, below = item if isinstance(item, list) else (item, 1)
            items[f"{name}_item"] = [above, below]
            numbers[name] = transform.apply(above / below) if below else math.inf
        elif (counted := corpus.counted(aggregations.get(name), item)) is not None:
            numbers[name], items[name + corpus.SUFFIX] = counted
        elif isinstance(item, bool | int | float):
            if not (math.isnan(item) and _called(aggregations.get(name)) == "nanmean"):
                numbers[name] = float(item)
        else:
            items[f"{name}_item"] = item
    return numbers, items


def score(
    name: str,
    samples: Sequence[Sample],
    aggregation: Aggregation | None,
    *,
    higher_is_better: bool,
    chance: float | None,
    bounds: tuple[float, float],
    resamples: int = RESAMPLES,
) -> MetricValue:
    """One metric of a task.

    Means, perplexities, BLEU, chrF and TER have the intervals of `evalkit.metrics.estimate`; any other aggregation has a
    percentile bootstrap (seed 0).

    Args:
        name: The metric.
        samples: Those that have it, or its item.
        aggregation: lm-eval's; None is the mean.
        higher_is_better: Direction, passed on.
        chance: Value when guessing, passed on.
        bounds: Range that a mean can have.
        resamples: Of the bootstrap; 0 leaves the interval out.

    Raises:
        EvaluationError: lm-eval's aggregation cannot make a number of these documents.
    """
    called = _called(aggregation)
    if called in _RATIOS:
        pairs = [_with_pair(sample, sample.fields[f"{name}_item"]) for sample in samples]
        return ratio_value(name, pairs, "above", "below", _RATIOS[called], higher_is_better=higher_is_better)
    if called in ("mean", "nanmean"):
        binary = all(sample.metrics[name] in (0.0, 1.0) for sample in samples)
        return mean_value(name, samples, higher_is_better=higher_is_better, binary=binary, bounds=bounds, chance=chance)
    together = corpus.corpus_metric(aggregation)
    if together is not None and all(name + corpus.SUFFIX in sample.fields for sample in samples):
        return corpus_value(
            name,
            samples,
            name + corpus.SUFFIX,
            together.score,
            higher_is_better=higher_is_better,
            resamples=resamples,
        )
    assert aggregation is not None
    items = [_item(sample, name) for sample in samples]
    try:
        value = float(aggregation(items))
    except _REFUSED as error:
        raise EvaluationError(
            f"lm-eval's {name} cannot be computed from {len(items)} documents: {str(error).splitlines()[0]}",
            hint="Take more documents, or another task: lm-eval itself would stop here too.",
        ) from error
    stderr, interval = _bootstrap(items, aggregation, resamples)
    return MetricValue(value, stderr, interval, higher_is_better, None)


def bounds(aggregation: Aggregation | None) -> tuple[float, float]:
    """Range that an aggregation of lm-eval's can have; infinite where evalkit knows none."""
    if _called(aggregation) in _RATIOS:
        return 0.0, math.inf
    return corpus.bounds(aggregation)


def _called(aggregation: Aggregation | None) -> str:
    return "mean" if aggregation is None else getattr(aggregation, "__name__", "")


def _with_pair(sample: Sample, pair: Sequence[float]) -> Sample:
    return replace(sample, fields={"above": pair[0], "below": pair[1]})


def _item(sample: Sample, name: str) -> Any:
    if f"{name}_item" in sample.fields:
        item = sample.fields[f"{name}_item"]
        return tuple(item) if isinstance(item, list) else item
    return sample.metrics[name]


def _bootstrap(
    items: Sequence[Any], aggregation: Aggregation, resamples: int
) -> tuple[float | None, tuple[float, float] | None]:
    """Standard error and 95 % percentile interval; none where a tenth of the resamples have no value."""
    import numpy as np

    if resamples == 0 or len(items) < 2:
        return None, None
    generator = np.random.default_rng(0)
    values = []
    for _ in range(resamples):
        try:
            values.append(float(aggregation([items[place] for place in generator.integers(0, len(items), len(items))])))
        except _REFUSED:  # such as an F1 score where a resample has one class only
            continue
    finite = [value for value in values if math.isfinite(value)]
    if len(finite) < 0.9 * resamples:
        return None, None
    low, high = np.quantile(finite, [0.025, 0.975])
    return float(np.std(finite, ddof=1)), (float(low), float(high))


def plain(value: Any) -> Any:
    """The value as JSON can hold it."""
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if hasattr(value, "tolist"):  # numpy's scalars and arrays
        return value.tolist()
    return value
