"""Small runs for tests of rankings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from evalkit.comparison import Side
from evalkit.results import GroupResult, Run, TaskResult
from tests.result_examples import run, task_result

Values = Mapping[str, Sequence[float]]


def pattern(right: int, n: int, flipped: Sequence[int] = ()) -> list[float]:
    """The first `right` of n documents are right, but for the flipped ones."""
    values = [1.0 if place < right else 0.0 for place in range(n)]
    for place in flipped:
        values[place] = 1 - values[place]
    return values


def side(label: str, values: Values, groups: Mapping[str, GroupResult] | None = None, **settings: object) -> Side:
    return side_of(label, {name: task_result(ones) for name, ones in values.items()}, groups, **settings)


def side_of(
    label: str, tasks: Mapping[str, TaskResult], groups: Mapping[str, GroupResult] | None = None, **settings: object
) -> Side:
    made = run(tasks, groups, **settings)
    return Side(
        label, replace(made, model=replace(made.model, name=label, weights_sha256=label)), Path(f"{label}.json")
    )


def with_chance(task: TaskResult, chance: float | None, metric: str = "acc") -> TaskResult:
    return replace(task, metrics={metric: replace(task.metrics[metric], chance=chance)})


def named(one: Run, name: str) -> Run:
    return replace(one, model=replace(one.model, name=name, weights_sha256=name))
