"""Documents that the candidate could not answer: what would be measured were each of them as bad as can be."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

from evalkit.gating.subset import bounds_of, is_mean, with_group_scores
from evalkit.results import Run, Sample, TaskResult
from evalkit.summaries import UNSCORED


def worst_case(run: Run, base: Run) -> Run | None:
    """The candidate with the worst end of each metric's range for every document that it could not answer.

    Those are the ones it has no score of, and where it skipped documents as too long, what only the baseline scored. A score
    that is no mean of bounded values is left out of a task that has such documents, and so is a task or group without one:
    nothing can be said of them.

    Args:
        run: The candidate; groups keep their main score.
        base: The baseline.

    Returns:
        None where all documents were answered.
    """
    tasks = {name: _worst(task, base.tasks.get(name)) for name, task in run.tasks.items()}
    if all(one is run.tasks[name] for name, one in tasks.items()):
        return None
    known = {name: task for name, task in tasks.items() if task.metrics}
    groups = {name: group for name, group in run.groups.items() if known.keys() >= set(run.leaves(name))}
    return with_group_scores(replace(run, tasks=known, groups=groups))


def _worst(task: TaskResult, base: TaskResult | None) -> TaskResult:
    lost = [one for one in task.samples if one.outcome in UNSCORED]
    skipped = _skipped(task, base)
    if not lost and not skipped:
        return task
    ends = {}
    for name, value in task.metrics.items():
        bounds = bounds_of(task, name)
        if bounds is not None and is_mean(task, name):
            ends[name] = bounds[0] if value.higher_is_better else bounds[1]
    scored = [one for one in task.samples if one.outcome not in UNSCORED]
    samples = (
        *(replace(one, metrics={name: one.metrics[name] for name in ends if name in one.metrics}) for one in scored),
        *(replace(one, outcome="wrong", metrics=ends) for one in (*lost, *skipped)),
    )
    metrics = {}
    for name in ends:
        values = [one.metrics[name] for one in samples if name in one.metrics]
        metrics[name] = replace(task.metrics[name], value=math.fsum(values) / len(values), stderr=None, ci95=None)
    outcomes = dict(Counter(one.outcome for one in samples))
    return replace(task, samples=samples, n=len(samples), metrics=metrics, outcomes=outcomes)


def _skipped(task: TaskResult, base: TaskResult | None) -> list[Sample]:
    """Documents that only the baseline scored, where the candidate skipped some."""
    if base is None or not task.outcomes.get("skipped"):
        return []
    known = {one.id for one in task.samples}
    return [one for one in base.samples if one.id not in known and one.outcome not in UNSCORED]
