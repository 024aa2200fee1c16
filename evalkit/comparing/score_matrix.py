"""The scores of several runs on the documents that all of them have: one matrix, and what each document counts."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evalkit.results import Run, Sample
from evalkit.summaries import UNSCORED, cluster_names

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]

Leaf = tuple[str, str]
"""A task and the metric of it that counts."""


@dataclass(frozen=True, slots=True)
class TaskScores:
    """One task's metric in every run, over the documents that all runs scored.

    Attributes:
        values: [runs, documents], float64; documents by id.
        means: The score of each run, [runs].
        clusters: Group of each document; None where all are independent.
        is_binary: Whether every value is 0 or 1.
        dropped: Documents of any run that are not in all of them.
    """

    values: Array
    means: Array
    clusters: tuple[Hashable, ...] | None
    is_binary: bool
    dropped: int

    @property
    def n(self) -> int:
        """Documents."""
        return int(self.values.shape[1])


def task_scores(runs: Sequence[Run], leaf: Leaf) -> TaskScores | None:
    """The matrix of one task; None where no document is in all runs.

    Args:
        runs: All have the task and the metric.
        leaf: Which.
    """
    import numpy as np

    task, metric = leaf
    scored: list[dict[str, Sample]] = [
        {sample.id: sample for sample in run.tasks[task].samples if _has(sample, metric)} for run in runs
    ]
    every = set().union(*({sample.id for sample in run.tasks[task].samples} for run in runs))
    common = sorted(set(scored[0]).intersection(*scored[1:]))
    if not common:
        return None
    values = np.array([[samples[one].metrics[metric] for one in common] for samples in scored], dtype=np.float64)
    clusters = cluster_names([scored[0][one] for one in common])
    is_binary = bool(np.isin(values, (0.0, 1.0)).all())
    means = np.array([math.fsum(row) / len(common) for row in values])
    names = None if clusters is None else tuple(clusters)
    return TaskScores(values, means, names, is_binary, len(every) - len(common))


def _has(sample: Sample, metric: str) -> bool:
    return sample.outcome not in UNSCORED and metric in sample.metrics


@dataclass(frozen=True, slots=True)
class Mean:
    """A weighted mean of tasks' scores.

    Attributes:
        tasks: The matrices of its tasks.
        weights: Weight of each; they sum to 1.
    """

    tasks: Mapping[Leaf, TaskScores]
    weights: Mapping[Leaf, float]

    @property
    def n(self) -> int:
        """Documents."""
        return sum(self.tasks[leaf].n for leaf in self.weights)

    @property
    def clusters(self) -> int:
        """Independent units: documents, or clusters of them."""
        return sum(_units(self.tasks[leaf]) for leaf in self.weights)

    @property
    def is_binary(self) -> bool:
        """Whether every document is right or wrong, and independent of the others."""
        return all(task.is_binary and task.clusters is None for task in self._tasks())

    @property
    def scores(self) -> Array:
        """Each run's, [runs]."""
        import numpy as np

        weighted = [weight * self.tasks[leaf].means for leaf, weight in self.weights.items()]
        return np.asarray(np.sum(weighted, axis=0), dtype=np.float64)

    def interval(self, run: int) -> tuple[float, float] | None:
        """The 95 % limits of one run's score, as `evalkit.aggregate` has them for a group."""
        from evalkit.stats.combine import Part, mover, stratified_score

        if self.is_binary:
            right = [float(task.values[run].sum()) for task in self._tasks()]
            found = stratified_score(right, [float(task.n) for task in self._tasks()], list(self.weights.values()))
            return found.low, found.high
        parts = []
        for leaf, weight in self.weights.items():
            value, stderr, limits = _one(self.tasks[leaf], run)
            parts.append(Part(weight, value, stderr, limits))
        interval = mover(parts)
        return None if interval is None else (max(0.0, interval.low), min(1.0, interval.high))

    def _tasks(self) -> list[TaskScores]:
        return [self.tasks[leaf] for leaf in self.weights]


def _units(task: TaskScores) -> int:
    return task.n if task.clusters is None else len(set(task.clusters))


def _one(task: TaskScores, run: int) -> tuple[float, float | None, tuple[float, float] | None]:
    """Score, standard error and 95 % limits of one task in one run."""
    from evalkit.stats.clusters import cluster_robust
    from evalkit.stats.intervals import standard_error, student_t, wilson

    values = task.values[run].tolist()
    value = math.fsum(values) / len(values)
    if task.clusters is not None:
        stderr, interval = cluster_robust(values, task.clusters)
        if stderr == 0:
            interval = wilson(value * _units(task), _units(task)) if value in (0.0, 1.0) else None
    else:
        stderr = standard_error(values)
        interval = wilson(math.fsum(values), len(values)) if task.is_binary else student_t(values)
    return value, stderr, None if interval is None else (interval.low, interval.high)
