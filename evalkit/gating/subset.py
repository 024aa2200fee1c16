"""A run restricted to some of its documents: what a sequential gate compares its candidate with."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from evalkit.comparing.ranges import range_of_metric
from evalkit.results import GroupResult, Run, Sample, TaskResult


def is_mean(task: TaskResult, metric: str) -> bool:
    """Whether a score is the mean of its documents' values, within a finite range: what can be bet on."""
    value = task.metrics[metric]
    bounds = bounds_of(task, metric)
    values = [sample.metrics[metric] for sample in task.samples if metric in sample.metrics]
    if (
        bounds is None
        or not values
        or value.spread is not None
        or not bounds[0] <= min(values) <= max(values) <= bounds[1]
    ):
        return False
    return math.isclose(math.fsum(values) / len(values), value.value, rel_tol=1e-6, abs_tol=1e-9)


def bounds_of(task: TaskResult, metric: str) -> tuple[float, float] | None:
    """The finite range of a metric, as `compare` knows it."""
    bounds = range_of_metric(metric, task)
    return bounds if bounds is not None and math.isfinite(bounds[1] - bounds[0]) else None


def restricted(run: Run, like: Run, prompts: Mapping[str, str], settings: Mapping[str, Any]) -> Run:
    """The run with the documents of another only, in the same order.

    Args:
        run: A baseline.
        like: A run over some of its documents.
        prompts: Task -> the hash of its prompts.
        settings: Added to the run's settings.
    """
    tasks = {
        name: _task(run.tasks[name], [sample.id for sample in task.samples], prompts[name])
        for name, task in like.tasks.items()
        if name in run.tasks
    }
    groups = {name: _group(group, run, tasks, like) for name, group in run.groups.items() if name in like.groups}
    return replace(run, tasks=tasks, groups=groups, settings={**run.settings, **settings})


def _task(task: TaskResult, ids: Collection[str], prompt_sha256: str) -> TaskResult:
    known = {sample.id: sample for sample in task.samples}
    samples = tuple(known[identity] for identity in ids if identity in known)
    whole = len(samples) == len(task.samples)
    metrics = (
        task.metrics
        if whole
        else {
            name: replace(value, value=_mean(samples, name), stderr=None, ci95=None)
            for name, value in task.metrics.items()
            if is_mean(task, name) and any(name in sample.metrics for sample in samples)
        }
    )
    outcomes = Counter(sample.outcome for sample in samples)
    return replace(
        task, samples=samples, n=len(samples), metrics=metrics, outcomes=dict(outcomes), prompt_sha256=prompt_sha256
    )


def _mean(samples: Collection[Sample], metric: str) -> float:
    values = [sample.metrics[metric] for sample in samples if metric in sample.metrics]
    return math.fsum(values) / len(values)


def _group(group: GroupResult, run: Run, tasks: Mapping[str, TaskResult], like: Run) -> GroupResult:
    """The group over what is left of its members; its score follows from theirs."""
    members = tuple(member for member in group.tasks if member in tasks or member in like.groups)
    return replace(group, tasks=members)


def with_group_scores(run: Run) -> Run:
    """The run with its groups' scores worked out from their tasks, inner groups first."""
    from evalkit.comparing.groups import leaf_weights

    groups = {}
    for name, group in run.groups.items():
        sizes = {task: sum(bool(sample.metrics) for sample in run.tasks[task].samples) for task in run.leaves(name)}
        weights = leaf_weights(run, name, sizes)
        metric, value = next(iter(group.metrics.items()))
        score = math.fsum(weight * run.tasks[task].metrics[own].value for (task, own), weight in weights.items())
        groups[name] = replace(group, metrics={metric: replace(value, value=score, stderr=None, ci95=None)})
    return replace(run, groups=groups)
