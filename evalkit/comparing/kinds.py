"""How a metric is summed up, found out from the result itself, and the estimate that fits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from evalkit.comparing.corpora import corpus_estimate
from evalkit.comparing.estimate import Estimate, untested
from evalkit.comparing.means import mean_estimate
from evalkit.comparing.pairing import Pairs
from evalkit.comparing.ranges import range_of_metric
from evalkit.comparing.rates import rate_estimate
from evalkit.errors import TaskDefinitionError
from evalkit.metrics.likelihood import METRICS, Ratio
from evalkit.metrics.text import Corpus
from evalkit.results import Sample, TaskResult

_TOLERANCE = 1e-6
ROUNDED = 1e-3
"""Relative: how far a score may be from its samples' mean in logs of other harnesses, some of which round it."""


def estimate_metric(
    metric: str, before: TaskResult, after: TaskResult, pairs: Pairs, tolerance: float = _TOLERANCE
) -> Estimate:
    """The difference of one metric of a task over the documents that both runs have a value for.

    Args:
        metric: A metric of both.
        before: The task in the first run.
        after: In the second.
        pairs: Documents that both scored.
        tolerance: Relative: how far a score may be from its samples' mean and still be that mean.
    """
    values = before.metrics[metric], after.metrics[metric]
    higher = values[0].higher_is_better
    corpus = _corpus(metric, pairs)
    if corpus is not None:
        return corpus_estimate(metric, pairs, corpus.score, higher_is_better=higher, of_sums=corpus.of_sums)
    pairs = _with_value(metric, pairs)
    if not pairs.before:
        return untested(0, values[0].value, values[1].value, "no document has a value of its own")
    ratio = _ratio(metric, pairs)
    if ratio is not None:
        return rate_estimate(metric, pairs, ratio, higher_is_better=higher)
    if all(_is_mean(metric, task, tolerance) for task in (before, after)):
        return mean_estimate(metric, pairs, range_of_metric(metric, before, after), higher_is_better=higher)
    why = "the score is of all documents together, and what each adds to it is not in the file"
    return untested(len(pairs.before), values[0].value, values[1].value, why)


def _corpus(metric: str, pairs: Pairs) -> Corpus | None:
    """How the metric's statistics make a score; None where the samples have none, or the metric is not evalkit's."""
    field = f"{metric}_statistics"
    if not pairs.before or any(field not in one.fields for one in (*pairs.before, *pairs.after)):
        return None
    from evalkit.metrics.text_registry import find

    try:
        found = find(metric.partition("@")[0])
    except TaskDefinitionError:
        return None
    return found.corpus


def _ratio(metric: str, pairs: Pairs) -> Ratio | None:
    ratio = METRICS[metric].ratio if metric in METRICS else None
    if ratio is None:
        return None
    needed = [name for name in (ratio.numerator, ratio.denominator) if name is not None]
    complete = all(name in one.fields for name in needed for one in (*pairs.before, *pairs.after))
    return ratio if complete else None


def _with_value(metric: str, pairs: Pairs) -> Pairs:
    """The pairs of which both samples have the metric."""
    both = [metric in one.metrics and metric in two.metrics for one, two in zip(pairs.before, pairs.after, strict=True)]
    if all(both):
        return pairs

    def kept(samples: Sequence[Sample]) -> tuple[Sample, ...]:
        return tuple(sample for sample, keep in zip(samples, both, strict=True) if keep)

    return replace(pairs, before=kept(pairs.before), after=kept(pairs.after))


def _is_mean(metric: str, task: TaskResult, tolerance: float) -> bool:
    values = [sample.metrics[metric] for sample in task.samples if metric in sample.metrics]
    mean = math.fsum(values) / len(values)
    return math.isclose(mean, task.metrics[metric].value, rel_tol=tolerance, abs_tol=tolerance)
