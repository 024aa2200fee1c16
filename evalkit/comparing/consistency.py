"""Does a result agree with itself? A file that was edited by hand must not be compared as if it were measured."""

from __future__ import annotations

import math
from collections import Counter

from evalkit.errors import UsageError
from evalkit.results import Run, TaskResult
from evalkit.summaries import UNSCORED

_HINT = "the file was edited or is damaged; write it again with evalkit run"
_TOLERANCE = 1e-6
"""Relative: scores are written in full, so that more than rounding means another number."""


def check_consistency(run: Run, file: str) -> None:
    """Counts, ids and scores of every task against its samples.

    Args:
        run: The run.
        file: Its file's name, for messages.

    Raises:
        UsageError: Something in it contradicts something else; the message names the file and the field.
    """
    for name, task in run.tasks.items():
        where = f"{file}: tasks.{name}"
        _check_samples(task, where)
        for metric, value in task.metrics.items():
            if not math.isfinite(value.value):
                raise UsageError(f"{where}.metrics.{metric}.value is {value.value}", hint=_HINT)
            computed = _recomputed(metric, task)
            if computed is not None and not math.isclose(computed, value.value, rel_tol=_TOLERANCE, abs_tol=1e-9):
                raise UsageError(
                    f"{where}.metrics.{metric}.value is {value.value}, but its samples give {computed}", hint=_HINT
                )


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


def _recomputed(metric: str, task: TaskResult) -> float | None:
    """The score from the samples, for metrics of likelihoods, whose way to be summed up is known by their name."""
    from evalkit.metrics.likelihood import METRICS

    known = METRICS.get(metric)
    scored = [sample for sample in task.samples if sample.outcome not in UNSCORED and metric in sample.metrics]
    if known is None or not scored or task.metrics[metric].spread is not None:
        return None
    if known.ratio is None:
        return math.fsum(sample.metrics[metric] for sample in scored) / len(scored)
    ratio = known.ratio
    if any(ratio.numerator not in sample.fields for sample in scored):
        return None
    above = math.fsum(sample.fields[ratio.numerator] for sample in scored)
    below = len(scored) if ratio.denominator is None else sum(sample.fields[ratio.denominator] for sample in scored)
    return ratio.transform.apply(above / below) if below else None
