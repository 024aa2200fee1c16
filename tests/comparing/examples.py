"""Small pairs of runs for tests of comparisons."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from evalkit.results import GroupResult, MetricValue, Run, Sample, TaskResult
from tests.result_examples import DATASET, group, run, task_result, text_result

__all__ = [
    "generated",
    "group",
    "model_run",
    "outcomes_of",
    "paired",
    "real",
    "task_result",
    "text_result",
    "with_setting",
]


def model_run(
    name: str, tasks: Mapping[str, TaskResult], groups: Mapping[str, GroupResult] | None = None, **settings: object
) -> Run:
    """A run of a model of that name, with weights of its own."""
    one = run(tasks, groups, **settings)
    return replace(one, model=replace(one.model, name=name, weights_sha256=name.ljust(64, "0")))


def paired(right: int, fixed: int, broken: int, wrong: int) -> tuple[TaskResult, TaskResult]:
    """A task with so many documents that both get right, only the second, only the first, and neither."""
    before = [1.0] * right + [0.0] * fixed + [1.0] * broken + [0.0] * wrong
    after = [1.0] * right + [1.0] * fixed + [0.0] * broken + [0.0] * wrong
    return task_result(before), task_result(after)


def real(values: Sequence[float], name: str = "f1", bounds: tuple[float, float] | None = (0.0, 1.0)) -> TaskResult:
    """A task whose metric is a mean of real values."""
    samples = tuple(
        Sample(f"{place:016x}", place, None, "scored", {name: value}, {}) for place, value in enumerate(values)
    )
    value = MetricValue(math.fsum(values) / len(values), None, None, True, None, bounds=bounds)
    return TaskResult(1, DATASET, 0, "e" * 64, len(samples), {name: value}, {"scored": len(samples)}, samples)


def outcomes_of(samples: Sequence[Sample]) -> dict[str, int]:
    """Outcome -> how often."""
    names = sorted({sample.outcome for sample in samples})
    return {name: sum(sample.outcome == name for sample in samples) for name in names}


def generated(outcomes: Sequence[str], name: str = "exact_match") -> TaskResult:
    """A task of generated answers with these outcomes; only `right` ones count."""
    samples = tuple(
        Sample(f"{place:016x}", place, None, outcome, {name: float(outcome == "right")}, {})
        for place, outcome in enumerate(outcomes)
    )
    value = MetricValue(
        sum(outcome == "right" for outcome in outcomes) / len(outcomes), None, None, True, None, bounds=(0.0, 1.0)
    )
    return TaskResult(1, DATASET, 0, "e" * 64, len(samples), {name: value}, outcomes_of(samples), samples)


def with_setting(task: TaskResult, **settings: Any) -> TaskResult:
    """The task with further settings."""
    return replace(task, settings={**task.settings, **settings})
