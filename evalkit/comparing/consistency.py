"""Does a result agree with itself? A file that was edited by hand must not be compared as if it were measured."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from evalkit.errors import TaskDefinitionError, UsageError
from evalkit.metrics.likelihood import METRICS
from evalkit.results import MetricValue, Run, Sample, TaskResult
from evalkit.summaries import UNSCORED

_HINT = "the file was edited or is damaged; write it again with evalkit run"
_LARGEST = 1e300
_TOLERANCE = 1e-6
"""Relative: scores are written in full, so that more than rounding means another number."""


def check_consistency(run: Run, file: str) -> None:
    """The date; counts, ids and scores of every task against its samples; intervals, errors and chance against scores.

    Args:
        run: The run.
        file: Its file's name, for messages.

    Raises:
        UsageError: Something in it contradicts something else; the message names the file and the field.
    """
    try:
        datetime.fromisoformat(run.created)
    except ValueError as error:
        raise UsageError(f"{file}: created is {run.created!r}, which is no ISO 8601 date", hint=_HINT) from error
    for name, task in run.tasks.items():
        where = f"{file}: tasks.{name}"
        _check_samples(task, where)
        for metric, value in task.metrics.items():
            field = f"{where}.metrics.{metric}"
            _check_value(metric, value, field)
            _agrees("value", value.value, recomputed(metric, task, where), field)
            _agrees("stderr", value.stderr, _recomputed_stderr(metric, task), field)
    for name, group in run.groups.items():
        for metric, value in group.metrics.items():
            _check_value(metric, value, f"{file}: groups.{name}.metrics.{metric}")


def _agrees(name: str, written: float | None, computed: float | None, field: str) -> None:
    if written is None or computed is None:
        return
    if not math.isclose(computed, written, rel_tol=_TOLERANCE, abs_tol=1e-9):
        raise UsageError(f"{field}.{name} is {written}, but its samples give {computed}", hint=_HINT)


def _check_value(metric: str, value: MetricValue, field: str) -> None:
    """What a score, its error, its interval and its chance say of each other."""
    if not math.isfinite(value.value):
        raise UsageError(f"{field}.value is {value.value}", hint=_HINT)
    if value.stderr is not None and not 0 <= value.stderr < math.inf:
        raise UsageError(f"{field}.stderr is {value.stderr}", hint=_HINT)
    if value.ci95 is not None:
        low, high = value.ci95
        # a bootstrap's limits may just miss the score that they are of
        slack = max(0.5 * (high - low), 1e-9 * max(1.0, abs(value.value)))
        if not (low <= high and low - slack <= value.value <= high + slack):
            raise UsageError(f"{field}.ci95 is [{low}, {high}], but the value is {value.value}", hint=_HINT)
    bounds = METRICS[metric].bounds if value.bounds is None and metric in METRICS else value.bounds
    if value.chance is not None and bounds is not None:
        low, high = bounds
        if not low <= value.chance < high:
            raise UsageError(f"{field}.chance is {value.chance}, but the score goes from {low} to {high}", hint=_HINT)


def _check_samples(task: TaskResult, where: str) -> None:
    if task.n != len(task.samples):
        raise UsageError(f"{where}.n is {task.n}, but the file holds {len(task.samples)} samples", hint=_HINT)
    ids = Counter(sample.id for sample in task.samples)
    if len(ids) < len(task.samples):
        twice = next(identity for identity, count in ids.items() if count > 1)
        raise UsageError(f"{where}.samples holds the id {twice} twice", hint=_HINT)
    counts = Counter(sample.outcome for sample in task.samples)
    for outcome in {*counts, *task.outcomes} - {"skipped"}:
        if counts[outcome] != task.outcomes.get(outcome, 0):
            raise UsageError(
                f"{where}.outcomes.{outcome} is {task.outcomes.get(outcome, 0)}, but {counts[outcome]} samples have it",
                hint=_HINT,
            )
    for position, sample in enumerate(task.samples):
        for metric, value in sample.metrics.items():
            if not math.isfinite(value):
                raise UsageError(f"{where}.samples[{position}].{metric} is {value}", hint=_HINT)


def recomputed(metric: str, task: TaskResult, where: str) -> float | None:
    """The score from the samples, where the metric's name or its statistics tell how they are summed up.

    Args:
        metric: One of the task's.
        task: Its score is not looked at.
        where: Names the task in messages.

    Raises:
        UsageError: A sample's statistics cannot be what they are said to be.
    """
    known = METRICS.get(metric)
    scored = [
        (position, sample)
        for position, sample in enumerate(task.samples)
        if sample.outcome not in UNSCORED and metric in sample.metrics
    ]
    if not scored or task.metrics[metric].spread is not None:
        return None
    if all(f"{metric}_statistics" in sample.fields for _, sample in scored):
        return _corpus_score(metric, scored, where)
    if known is None:
        return None
    if known.ratio is None:
        return math.fsum(sample.metrics[metric] for _, sample in scored) / len(scored)
    if any(known.ratio.numerator not in sample.fields for _, sample in scored):
        return None
    above = [_number(known.ratio.numerator, *one, where) for one in scored]
    denominator = known.ratio.denominator
    below = [1.0 if denominator is None else _number(denominator, *one, where) for one in scored]
    if math.fsum(below) <= 0:
        raise UsageError(f"{where}.samples: {denominator} is 0 in all of them together", hint=_HINT)
    return known.ratio.transform.apply(math.fsum(above) / math.fsum(below))


def _recomputed_stderr(metric: str, task: TaskResult) -> float | None:
    """The standard error of a mean over samples; None where the score is something else."""
    from evalkit.summaries import mean_value

    known = METRICS.get(metric)
    if known is None or known.ratio is not None or task.metrics[metric].spread is not None:
        return None
    samples = [one for one in task.samples if one.outcome not in UNSCORED and metric in one.metrics]
    return mean_value(metric, samples, higher_is_better=True, binary=False).stderr if samples else None


def _number(field: str, position: int, sample: Sample, where: str) -> float:
    value = sample.fields.get(field)
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGEST:
        return float(value)
    raise UsageError(f"{where}.samples[{position}].{field} is no number that it can be", hint=_HINT)


def _corpus_score(metric: str, scored: Sequence[tuple[int, Sample]], where: str) -> float | None:
    import numpy as np

    from evalkit.metrics.text_registry import find

    field = f"{metric}_statistics"
    first = scored[0][1].fields[field]
    for position, sample in scored:
        if not _is_table(sample.fields[field], first):
            raise UsageError(
                f"{where}.samples[{position}].{field} is no list of lists of numbers, as many as in the first sample",
                hint=_HINT,
            )
    try:
        corpus = find(metric.partition("@")[0]).corpus
    except TaskDefinitionError:
        return None  # a task's own metric
    if corpus is None:
        return None
    rows = np.asarray([sample.fields[field] for _, sample in scored], dtype=np.float64)
    return math.fsum(float(corpus.score(rows[:, place])) for place in range(rows.shape[1])) / float(rows.shape[1])


def _is_table(value: Any, first: Any) -> bool:
    return (
        isinstance(value, list)
        and isinstance(first, list)
        and len(value) == len(first) > 0
        and all(isinstance(row, list) and isinstance(first[0], list) and len(row) == len(first[0]) for row in value)
        and all(type(one) in (int, float) and abs(one) < _LARGEST for row in value for one in row)
    )
