"""Scores over several training seeds, and over several stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evalkit.errors import UsageError
from evalkit.fine_tuning import SeedSpread, StageMatrix
from evalkit.results import GroupResult, Run, TaskResult


def seed_spread(base: Run, tuned: Mapping[int, Run]) -> tuple[SeedSpread, ...]:
    """How a task's score moves with the training seed.

    Args:
        base: The run before.
        tuned: Training seed -> the run after.
    """
    found = []
    for name, task in base.tasks.items():
        metric = next(iter(task.metrics), None)
        others = {seed: run.tasks[name] for seed, run in tuned.items() if name in run.tasks}
        if metric is None or len(others) < len(tuned) or any(metric not in one.metrics for one in others.values()):
            continue
        values: dict[str, set[float | None]] = {}
        for one in others.values():
            for sample in one.samples:
                values.setdefault(sample.id, set()).add(sample.metrics.get(metric))
        found.append(
            SeedSpread(
                task=name,
                metric=metric,
                before=task.metrics[metric].value,
                after={seed: one.metrics[metric].value for seed, one in others.items()},
                differing=sum(len(found) > 1 for found in values.values()),
                n=task.n,
            )
        )
    return tuple(found)


def stage_matrix(stages: Sequence[str], targets: Sequence[str], base: Run, after: Sequence[Run]) -> StageMatrix:
    """Scores after each stage, with ACC, BWT (Lopez-Paz & Ranzato 2017), FWT and forgetting (Chaudhry et al. 2018).

    With b the scores before, R[i][j] those after stage i on the target of stage j, and T stages:
    ACC = mean of R[T][j]; BWT = mean over j < T of R[T][j] - R[j][j]; FWT = mean over j > 1 of R[j-1][j] - b[j];
    forgetting = mean over j < T of (the best of R[i][j] for i < T) - R[T][j].

    Args:
        stages: Names of the stages.
        targets: The task that each stage teaches, in the same order; empty leaves the summary numbers out.
        base: The run before the first stage.
        after: The run after each stage.

    Raises:
        UsageError: A target's score is better the smaller it is, for which these numbers are not defined.
    """
    results: dict[str, TaskResult | GroupResult] = {**base.groups, **base.tasks}
    inside = {name for group in base.groups.values() for name in group.tasks}
    roots = [name for name, one in results.items() if one.metrics and (name not in inside or name in targets)]
    tasks = [*dict.fromkeys(targets), *(name for name in roots if name not in targets)]
    metrics = {name: next(iter(results[name].metrics)) for name in tasks}
    for name in targets:
        if not results[name].metrics[metrics[name]].higher_is_better:
            raise UsageError(
                f"the target {name} has a score that is better the smaller it is, which ACC and forgetting cannot use",
                hint="leave --targets out, or name a task with an accuracy",
            )
    scores = [[_score(run, name, metrics[name]) for name in tasks] for run in after]
    matrix = StageMatrix(
        stages=tuple(stages),
        targets=tuple(targets),
        tasks=tuple(tasks),
        metrics=tuple(metrics[name] for name in tasks),
        base=tuple(_score(base, name, metrics[name]) for name in tasks),
        scores=tuple(map(tuple, scores)),
    )
    return _summarised(matrix) if len(targets) == len(stages) else matrix


def _score(run: Run, name: str, metric: str) -> float:
    result = run.groups[name] if name in run.groups else run.tasks[name]
    return result.metrics[metric].value


def _summarised(matrix: StageMatrix) -> StageMatrix:
    from dataclasses import replace

    columns = [matrix.tasks.index(name) for name in matrix.targets]
    scores = [[row[column] for column in columns] for row in matrix.scores]
    base = [matrix.base[column] for column in columns]
    last = len(scores) - 1
    accuracy = _mean(scores[last])
    if last == 0:
        return replace(matrix, accuracy=accuracy)
    return replace(
        matrix,
        accuracy=accuracy,
        backward_transfer=_mean([scores[last][j] - scores[j][j] for j in range(last)]),
        forward_transfer=_mean([scores[j - 1][j] - base[j] for j in range(1, last + 1)]),
        forgetting=_mean([max(scores[i][j] for i in range(last)) - scores[last][j] for j in range(last)]),
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
