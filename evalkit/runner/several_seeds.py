"""A task evaluated with several few-shot seeds as one task: a document is asked with each seed's examples.

A document stays one document. Its value is the mean over the seeds, so that runs pair by content id as ever and n is the
number of documents; what each seed gave stands in the sample's `by_seed`. A score is the mean over the seeds, with the
seeds' own scores beside it (`MetricValue.spread`), and its interval takes in both the documents and the seeds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from evalkit.data import DataOptions
from evalkit.errors import UsageError
from evalkit.requests import Reply, Request
from evalkit.results import MetricValue, Sample, Spread
from evalkit.runner.items import Item, Labels
from evalkit.runner.presentation import ChatDefault
from evalkit.runner.rendering import Renderer
from evalkit.runner.settings import RunSettings
from evalkit.runner.task_data import TaskData
from evalkit.runner.task_run import NativeTaskRun, TaskRun
from evalkit.shots import depends_on_seed
from evalkit.stats.crossed import crossed_mean, drawn_mean
from evalkit.summaries import cluster_names
from evalkit.task import Task


def task_runs(tasks: Mapping[str, Any], options: DataOptions, settings: RunSettings) -> list[TaskRun]:
    """The tasks of a run with their data; those whose examples depend on the seed with all seeds asked for.

    Raises:
        UsageError: Several seeds, or another way to draw examples, are asked for where they have no meaning.
        DataError: See `NativeTaskRun`.
    """
    if settings.shots_seeds < 1:
        raise UsageError(f"--shots-seeds is {settings.shots_seeds}", hint="give 1 or more")
    seeds = tuple(range(settings.shots_seed, settings.shots_seed + settings.shots_seeds))
    runs = [_task_run(key, task, options, settings, seeds) for key, task in tasks.items()]
    if len(seeds) > 1 and not any(isinstance(run, SeveralSeeds) for run in runs):
        raise UsageError(
            "no task has examples that depend on a seed, so several --shots-seeds would all give the same",
            hint="ask for few-shot examples with --shots, and with --shots-sampler random or fixed where a task takes "
            "the first of its split",
        )
    return runs


def _task_run(key: str, task: Any, options: DataOptions, settings: RunSettings, seeds: Sequence[int]) -> TaskRun:
    each = [replace(settings, shots_seed=seed) for seed in seeds]
    if isinstance(task, Task):
        data = TaskData(key, task, options, settings)
        if len(seeds) == 1 or not depends_on_seed(settings.shots_sampler, task):
            return NativeTaskRun(key, task, options, settings, data)
        return SeveralSeeds([NativeTaskRun(key, task, options, one, data) for one in each], seeds)
    if settings.retrieval is not None:
        raise UsageError(
            f"the prompts of {key} are built by lm-eval itself, and can get no passages",
            hint="leave out --retrieve, or this task",
        )
    bound: TaskRun = task.bind(key, options, settings)
    if bound.shots and settings.shots_sampler != "lm-eval":
        raise UsageError(
            f"the examples of {key} are drawn by lm-eval itself", hint="leave out --shots-sampler for this task"
        )
    if len(seeds) == 1 or not bound.shots:
        return bound
    return SeveralSeeds([bound, *(task.bind(key, options, one) for one in each[1:])], seeds)


class SeveralSeeds:
    """The runs of one task with several few-shot seeds, as one (see `evalkit.runner.task_run.TaskRun`).

    Args:
        runs: One a seed, of the same documents; each asks as many requests about a document.
        seeds: Theirs.
    """

    def __init__(self, runs: Sequence[TaskRun], seeds: Sequence[int]) -> None:
        first = runs[0]
        self.runs = tuple(runs)
        self.seeds = tuple(seeds)
        self.key = first.key
        self.version = first.version
        self.shots = first.shots
        self.dataset = first.dataset
        self.items = tuple(
            Item(items[0].id, items[0].index, items[0].cluster, items)
            for items in zip(*(run.items for run in runs), strict=True)
        )

    def chat_default(self) -> ChatDefault:
        """That of each."""
        return self.runs[0].chat_default()

    def requests(self, item: Item, render: Renderer, dropped_shots: int = 0) -> tuple[Request, ...]:
        """Those of each seed, in turn."""
        return tuple(
            request
            for run, own in zip(self.runs, item.content, strict=True)
            for request in run.requests(own, render, dropped_shots)
        )

    def can_drop_shots(self) -> bool:
        """As each can."""
        return self.runs[0].can_drop_shots()

    def sample(self, item: Item, replies: Sequence[Reply]) -> Sample:
        """The means over the seeds, with what each gave."""
        samples = [run.sample(own, part) for run, own, part in self._parts(item, replies)]
        names = [name for name in samples[0].metrics if all(name in sample.metrics for sample in samples)]
        metrics = {name: math.fsum(sample.metrics[name] for sample in samples) / len(samples) for name in names}
        first, *others = [sample.fields for sample in samples]
        common = {
            name: value
            for name, value in first.items()
            if all(name in fields and fields[name] == value for fields in others)
        }
        by_seed = [
            {"seed": seed, "outcome": sample.outcome, "metrics": dict(sample.metrics), "fields": dict(sample.fields)}
            for seed, sample in zip(self.seeds, samples, strict=True)
        ]
        outcome = _outcome([sample.outcome for sample in samples])
        return Sample(item.id, item.index, item.cluster, outcome, metrics, {**common, "by_seed": by_seed})

    def labels(self, item: Item, replies: Sequence[Reply]) -> Labels:
        """The target, and the answers of each seed in turn."""
        labels = [run.labels(own, part) for run, own, part in self._parts(item, replies)]
        return Labels(labels[0].target, tuple(answer for one in labels for answer in one.answers))

    def estimates(self, samples: Sequence[Sample], *, intervals: bool = True) -> Mapping[str, MetricValue]:
        """Each metric's mean over the seeds, with its spread."""
        tables = [_of_seed(samples, place) for place in range(len(self.seeds))]
        each = [run.estimates(own, intervals=intervals) for run, own in zip(self.runs, tables, strict=True)]
        names = [name for name in each[0] if all(name in values for values in each)]
        return {name: self._mean(name, [values[name] for values in each], tables) for name in names}

    def bounds(self, metric: str) -> tuple[float, float]:
        """That of each."""
        return self.runs[0].bounds(metric)

    def described(self) -> dict[str, Any]:
        """What each says, and the seeds."""
        described = self.runs[0].described()
        described.pop("shots_seed", None)
        return {**described, "shots_seeds": list(self.seeds)}

    def _parts(self, item: Item, replies: Sequence[Reply]) -> list[tuple[TaskRun, Item, Sequence[Reply]]]:
        count = len(replies) // len(self.runs)
        return [
            (run, own, replies[place * count : (place + 1) * count])
            for place, (run, own) in enumerate(zip(self.runs, item.content, strict=True))
        ]

    def _mean(self, name: str, values: Sequence[MetricValue], tables: Sequence[Sequence[Sample]]) -> MetricValue:
        scores = tuple(value.value for value in values)
        mean = math.fsum(scores) / len(scores)
        chances = [value.chance for value in values if value.chance is not None]
        chance = math.fsum(chances) / len(chances) if len(chances) == len(values) else None
        table = _table(name, scores, tables)
        low, high = self.bounds(name)
        if table is None:
            stderr, interval = drawn_mean(scores, [value.stderr for value in values], [value.ci95 for value in values])
        else:
            scored = [sample for sample in tables[0] if name in sample.metrics]
            stderr, interval = crossed_mean(table, cluster_names(scored))
            if all(value in (0.0, 1.0) for row in table for value in row):
                low, high = max(low, 0.0), min(high, 1.0)
        clipped = None if interval is None else interval.clipped(low, high)
        limits = None if clipped is None else (clipped.low, clipped.high)
        return MetricValue(mean, stderr, limits, values[0].higher_is_better, chance, Spread(self.seeds, scores))


def _outcome(outcomes: Sequence[str]) -> str:
    """The outcome under all seeds; else one that is neither right nor wrong, so that none is hidden; else `mixed`."""
    if len(set(outcomes)) == 1:
        return outcomes[0]
    return next((outcome for outcome in outcomes if outcome not in ("right", "wrong", "scored")), "mixed")


def _of_seed(samples: Sequence[Sample], place: int) -> list[Sample]:
    """The samples as one seed gave them; those that could not be had as they are."""
    found = []
    for sample in samples:
        if "by_seed" not in sample.fields:
            found.append(sample)
            continue
        own = sample.fields["by_seed"][place]
        found.append(replace(sample, outcome=own["outcome"], metrics=own["metrics"], fields=own["fields"]))
    return found


def _table(name: str, scores: Sequence[float], tables: Sequence[Sequence[Sample]]) -> list[list[float]] | None:
    """The documents' values, a row a seed; None unless each seed's score is their mean, over the same documents."""
    rows = [{sample.id: sample.metrics[name] for sample in table if name in sample.metrics} for table in tables]
    if any(row.keys() != rows[0].keys() for row in rows):
        return None
    for score, row in zip(scores, rows, strict=True):
        if not math.isclose(score, math.fsum(row.values()) / len(row), rel_tol=1e-9, abs_tol=1e-12):
            return None
    return [list(row.values()) for row in rows]
