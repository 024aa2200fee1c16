"""Before and after on the items that no training row holds."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from evalkit.comparing.compare import compare
from evalkit.comparing.consistency import recomputed
from evalkit.comparing.groups import group_weights
from evalkit.comparison import Comparison
from evalkit.gating.subset import with_group_scores
from evalkit.results import GroupResult, MetricValue, Run, Sample, TaskResult
from evalkit.summaries import UNSCORED
from evalkit.training_data import Contamination

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class CleanRun:
    """A run on clean items.

    Attributes:
        run: Of the tasks that have some.
        without: Tasks none of whose items is clean and scored.
        unknown: "TASK METRIC": what cannot be worked out from single items, of tasks that lost some.
        smaller_groups: Groups that are over their other tasks now.
        open_groups: Groups whose score cannot be worked out; their tasks stand alone.
    """

    run: Run
    without: tuple[str, ...]
    unknown: tuple[str, ...]
    smaller_groups: tuple[str, ...]
    open_groups: tuple[str, ...]


def clean_comparison(base: Run, tuned: Run, contamination: Contamination, **options: Any) -> Comparison | None:
    """The comparison on the items that no training row holds.

    Means, perplexities and corpus scores are those of the clean items alone. Under `drop-train` the rows were left out of
    training, so that the comparison on all items is honest too.

    Args:
        base: The model before.
        tuned: After.
        contamination: What was found; its ids are the runs'.
        options: Of `compare`: margin, alpha, allow, metrics, tasks, margins; as for the comparison on all items. Tasks,
            groups and margins of what has no clean item left are dropped from them.

    Returns:
        None where nothing was found, and where no clean item is left in any task.

    Raises:
        UsageError: As `compare`.
        NotComparableError: As `compare`.
    """
    dirty = {task.task: {one.id for one in task.overlaps} for task in contamination.tasks if task.overlaps}
    if not any(sample.id in dirty.get(name, ()) for name, task in base.tasks.items() for sample in task.samples):
        return None
    before, after = clean_run(base, dirty), clean_run(tuned, dirty)
    lost = {*before.without, *after.without}
    if lost and lost != {*before.without} & {*after.without}:  # one of them could score what the other could not
        before, after = clean_run(base, dirty, lost), clean_run(tuned, dirty, lost)
    names = {*before.run.tasks, *before.run.groups} & {*after.run.tasks, *after.run.groups}
    left = _options(options, names)
    if left is None:
        return None
    comparison = compare(before.run, after.run, **left)
    return replace(comparison, notes=(*_notes(base, dirty, before, after), *comparison.notes))


def clean_run(run: Run, dirty: Mapping[str, Collection[str]], lost: Collection[str] = ()) -> CleanRun:
    """The run without some of its items.

    Args:
        run: The run.
        dirty: Task -> ids to leave out.
        lost: Tasks that are left out as a whole.
    """
    tasks: dict[str, TaskResult] = {}
    without, unknown = [], []
    for name, task in run.tasks.items():
        kept = [sample for sample in task.samples if sample.id not in dirty.get(name, ())]
        if name in lost or (len(kept) < len(task.samples) and not _scored(kept)):
            without.append(name)
        elif len(kept) == len(task.samples):
            tasks[name] = task
        else:
            left = replace(
                task,
                samples=tuple(kept),
                n=len(kept),
                outcomes={**_skipped(task), **dict(sorted(Counter(sample.outcome for sample in kept).items()))},
            )
            metrics = {metric: value for metric in task.metrics if (value := _rescored(metric, task, left)) is not None}
            unknown += [f"{name} {metric}" for metric in task.metrics if metric not in metrics]
            if metrics:
                tasks[name] = replace(left, metrics=metrics)
    groups, smaller, apart = _groups(run, tasks)
    clean = with_group_scores(replace(run, tasks=tasks, groups=groups))
    return CleanRun(clean, tuple(without), tuple(unknown), smaller, apart)


def _scored(samples: Sequence[Sample]) -> bool:
    return any(sample.outcome not in UNSCORED for sample in samples)


def _skipped(task: TaskResult) -> dict[str, int]:
    """Items that have no sample, so that which they are is not known."""
    return {"skipped": task.outcomes["skipped"]} if "skipped" in task.outcomes else {}


def _rescored(metric: str, whole: TaskResult, left: TaskResult) -> MetricValue | None:
    """The metric over what is left of a task; None where single items do not tell, as the whole task's own score shows.

    Raises:
        UsageError: A sample's statistics are damaged.
    """
    value = whole.metrics[metric]
    score = _score(metric, whole)
    if score is None or not math.isclose(score, value.value, rel_tol=1e-6, abs_tol=1e-9):
        return None
    score = _score(metric, left)
    return None if score is None else replace(value, value=score, stderr=None, ci95=None, spread=None)


def _score(metric: str, task: TaskResult) -> float | None:
    """The metric from the task's samples; with several few-shot seeds the mean over documents of their means."""
    bare = replace(task, metrics={metric: replace(task.metrics[metric], spread=None)})
    score = recomputed(metric, bare, "the clean items")
    if score is not None:
        return score
    values = [sample.metrics[metric] for sample in task.samples if metric in sample.metrics]
    return math.fsum(values) / len(values) if values else None


def _groups(
    run: Run, tasks: Mapping[str, TaskResult]
) -> tuple[dict[str, GroupResult], tuple[str, ...], tuple[str, ...]]:
    """The groups over what is left of their tasks, names of those that are smaller, and of those without a score."""
    groups: dict[str, GroupResult] = {}
    smaller, apart = [], []
    for name, group in run.groups.items():  # inner ones come first
        members = tuple(member for member in group.tasks if member in tasks or member in groups)
        sizes = {task: len(run.tasks[task].samples) for task in run.leaves(name)}
        weights = group_weights(run, name, sizes)
        known = weights is not None and all(metric in tasks[task].metrics for task, metric in weights if task in tasks)
        torn = any(member in apart and set(run.leaves(member)) & set(tasks) for member in group.tasks)
        if not members or not known or torn:
            apart.append(name)
            continue
        groups[name] = replace(group, tasks=members)
        if members != group.tasks or any(member in smaller for member in members):
            smaller.append(name)
    return groups, tuple(smaller), tuple(apart)


def _options(options: Mapping[str, Any], names: set[str]) -> dict[str, Any] | None:
    """The options without the names that are gone; None where nothing is left to compare."""
    left = dict(options)
    if left.get("tasks") is not None:
        left["tasks"] = [name for name in left["tasks"] if name in names]
        if not left["tasks"]:
            return None
    if left.get("margins"):
        left["margins"] = {name: margin for name, margin in left["margins"].items() if name in names}
    return left if names else None


def _notes(base: Run, dirty: Mapping[str, Collection[str]], before: CleanRun, after: CleanRun) -> list[str]:
    counts = {
        name: (sum(sample.id in dirty.get(name, ()) for sample in task.samples), len(task.samples))
        for name, task in base.tasks.items()
    }
    hit = {name: count for name, count in counts.items() if count[0]}
    without = list(dict.fromkeys((*before.without, *after.without)))
    unknown = list(dict.fromkeys((*before.unknown, *after.unknown)))
    apart = list(dict.fromkeys((*before.open_groups, *after.open_groups)))
    notes = [
        "without the items that training rows hold: "
        + _listed([f"{name} {found} of {n}" for name, (found, n) in hit.items()])
    ]
    if without:
        smaller = list(dict.fromkeys((*before.smaller_groups, *after.smaller_groups)))
        over = f"; {_listed(smaller)} is over the other tasks" if smaller else ""
        notes.append(f"no clean item is left of {_listed(without)}{over}")
    if unknown:
        notes.append(f"left out, because single items do not tell the score: {_listed(unknown)}")
    if apart:
        notes.append(f"{_listed(apart)}: left out, because its score does not follow from clean items")
    return notes


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
