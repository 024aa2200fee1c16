"""What runs are ranked by: the tasks whose scores can be averaged, their weights, and the columns of the table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from evalkit.comparing.common_tasks import Common, is_share, leaves, main_metric
from evalkit.comparing.groups import group_weights
from evalkit.comparing.score_matrix import Leaf, Mean, TaskScores, task_scores
from evalkit.results import Run

By = Literal["benchmark", "category", "task"]
"""Columns: the ranked tasks and groups; groups' direct members in their place; every single task."""

LARGE = 8
"""Members of a group from which on it is one benchmark, not several."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """What the runs are ranked by.

    Attributes:
        roots: Tasks and groups.
        matrices: Scores of all their tasks.
    """

    roots: tuple[str, ...]
    matrices: Mapping[Leaf, TaskScores]


def usable_tasks(runs: Sequence[Run], common: Common) -> tuple[Chosen, dict[str, str]]:
    """The common tasks whose scores can be averaged, and why the others cannot."""
    found: list[str] = []
    matrices: dict[Leaf, TaskScores] = {}
    left_out = {name: "not in all runs" for names in common.missing.values() for name in names}
    for name in common.names:
        made = _matrices(runs, name)
        if isinstance(made, str):
            left_out[name] = made
        else:
            found.append(name)
            matrices |= made
    return Chosen(tuple(found), matrices), left_out


def _matrices(runs: Sequence[Run], name: str) -> dict[Leaf, TaskScores] | str:
    """The scores of each task of a task or group; else, in words, why it has none that could be averaged."""
    metrics = {main_metric(run, name)[0] for run in runs}
    if len(metrics) > 1:
        return f"the runs have different metrics: {', '.join(sorted(metrics))}"
    if not all(is_share(main_metric(run, name)[1]) for run in runs):
        return f"{metrics.pop()} is no share of 1 of which more is better"
    weights = [_weights(run, name, {task: 1 for task in run.tasks}) for run in runs]
    if any(one is None or one.keys() != (weights[0] or {}).keys() for one in weights):
        return "the runs do not tell how its score is made, or make it differently"
    found: dict[Leaf, TaskScores] = {}
    for leaf in weights[0] or {}:
        if not all(_is_mean(run, leaf) for run in runs):
            return f"{leaf[1]} of {leaf[0]} is no mean over documents"
        scores = task_scores(runs, leaf)
        if scores is None:
            return f"no document of {leaf[0]} is in all runs"
        found[leaf] = scores
    return found


def _weights(run: Run, name: str, sizes: Mapping[str, int]) -> Mapping[Leaf, float] | None:
    if name in run.groups:
        return group_weights(run, name, sizes)
    return {(name, main_metric(run, name)[0]): 1.0}


def _is_mean(run: Run, leaf: Leaf) -> bool:
    task, metric = leaf
    values = [sample.metrics[metric] for sample in run.tasks[task].samples if metric in sample.metrics]
    value = run.tasks[task].metrics[metric].value
    return bool(values) and math.isclose(math.fsum(values) / len(values), value, rel_tol=1e-3, abs_tol=1e-3)


class Scores:
    """Means over any of the chosen tasks and groups, and what is within them."""

    def __init__(self, run: Run, chosen: Chosen) -> None:
        self.run = run
        self.matrices = chosen.matrices
        self.sizes = {task: matrix.n for (task, _), matrix in chosen.matrices.items()}
        self.metrics = dict(chosen.matrices.keys())

    def weights(self, name: str) -> Mapping[Leaf, float]:
        """What each task counts in a task's or group's score; nothing where that is not known."""
        if name in self.run.tasks:
            return {(name, self.metrics[name]): 1.0} if name in self.metrics else {}
        own = group_weights(self.run, name, self.sizes) if set(self.run.leaves(name)) <= self.sizes.keys() else None
        return own if own is not None and own.keys() <= self.matrices.keys() else {}

    def mean(self, names: Sequence[str]) -> Mean:
        """The plain mean over tasks and groups, of which each has the weights of its own tasks."""
        weights: dict[Leaf, float] = {}
        for name in names:
            for leaf, weight in self.weights(name).items():
                weights[leaf] = weights.get(leaf, 0.0) + weight / len(names)
        return Mean(self.matrices, weights)

    def normalized(self, name: str) -> list[float]:
        """Each run's score of a task or group with chance taken out: (score - chance) / (1 - chance), 0 where negative.

        The second Open LLM Leaderboard's rule (its page "Scores Normalization"): subtasks are normalised before they are
        averaged, each alike; where guessing has no meaning chance is 0.
        """
        parts = []
        for leaf in self.weights(name):
            chance = self.run.tasks[leaf[0]].metrics[leaf[1]].chance or 0.0
            scores = [float(score) for score in self.matrices[leaf].means]
            parts.append([max(0.0, (score - chance) / (1 - chance)) if chance < 1 else 0.0 for score in scores])
        return [math.fsum(values) / len(parts) for values in zip(*parts, strict=True)]


def benchmarks_of(run: Run, names: Sequence[str], scores: Scores) -> tuple[str, ...]:
    """What the second leaderboard averages: the ranked tasks; of a single group that weighs its members alike, these."""
    if len(names) > 1 or names[0] not in run.groups or run.groups[names[0]].weighting != "tasks":
        return tuple(names)
    members = run.groups[names[0]].tasks
    known = len(members) <= LARGE and all(scores.weights(member) for member in members)
    return members if known else tuple(names)


def columns_of(run: Run, benchmarks: Sequence[str], by: By) -> tuple[str, ...]:
    """The columns that stand for the benchmarks."""
    if by == "benchmark":
        return tuple(benchmarks)
    if by == "task":
        return tuple(dict.fromkeys(task for name in benchmarks for task in leaves(run, name)))
    members = [run.groups[name].tasks if name in run.groups else (name,) for name in benchmarks]
    return tuple(dict.fromkeys(name for one in members for name in one))
