"""A run up to the point where computing begins, and what the rest would take."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from evalkit.backends.base import Backend
from evalkit.data import DataOptions
from evalkit.errors import UsageError
from evalkit.registry import Selection
from evalkit.results import Run
from evalkit.run_plan import RunPlan, Sight, TaskPlan
from evalkit.runner import windows
from evalkit.runner.asking import Ready
from evalkit.runner.evaluate import Stopwatch, prepare
from evalkit.runner.progress import Progress, Silent
from evalkit.runner.settings import RunSettings
from evalkit.runner.sight import PairSpread, sights, spread_of
from evalkit.task import Task

PROBE_SECONDS = 10.0


def plan(
    selection: Selection,
    load_backend: Callable[[], Backend],
    data: DataOptions,
    settings: RunSettings,
    *,
    baselines: Sequence[Run] = (),
    progress: Progress | None = None,
) -> RunPlan:
    """Prepares a run as `evaluate` does, and computes a few of its batches to learn how fast this machine is.

    Args:
        selection: Tasks and groups.
        load_backend: As in `evaluate`.
        data: Where datasets may come from.
        settings: What else decides the scores.
        baselines: One or two earlier results, from which the smallest visible differences are taken.
        progress: Told what happens.

    Raises:
        EvalkitError: As `evaluate`; a `UsageError` where the baselines have none of the tasks.
    """
    if len(baselines) > 2:
        raise UsageError(f"{len(baselines)} baselines were given", hint="give one result, or two that are compared")
    progress = progress or Silent()
    start = time.perf_counter()
    try:
        ready = prepare(selection, load_backend, data, settings, progress, Stopwatch())
        tasks = {run.key: TaskPlan(run.key, 0, 0, 0) for run in ready.runs}
        for one in ready.asked:
            tokens = sum(ready.prepared.tokens[one.first : one.first + one.count])
            tasks[one.run.key] += TaskPlan(one.run.key, 1, one.count, tokens)
        preparation = time.perf_counter() - start
        progress.stage("measuring this machine")
        cost = windows.cost(ready.backend, ready.prepared, PROBE_SECONDS)
        groups = {name: group.members for name, group in selection.groups.items()}
        found, overall = _sights(selection, ready, baselines, progress)
        info = ready.backend.info
        return RunPlan(
            info.name, ready.backend.device, tuple(tasks.values()), groups, cost, preparation, found, overall
        )
    finally:
        progress.finish()


def _sights(
    selection: Selection, ready: Ready, baselines: Sequence[Run], progress: Progress
) -> tuple[dict[str, Sight], Sight | None]:
    """What comparing two such runs could see."""
    clusters: dict[str, list[str | None]] = {run.key: [] for run in ready.runs}
    for one in ready.asked:
        clusters[one.run.key].append(one.item.cluster)
    spreads: dict[str, PairSpread] = {}
    missing = []
    for run in ready.runs:
        task = selection.tasks.get(run.key)
        bounds = run.bounds(task.metrics[0]) if isinstance(task, Task) else None
        spreads[run.key], observed = spread_of(run.key, clusters[run.key], bounds, baselines)
        if not observed:
            missing.append(run.key)
    if baselines and missing:
        if len(missing) == len(ready.runs):
            raise UsageError(
                f"the baseline has no {missing[0]}, nor any other task of this plan",
                hint=f"it has {', '.join(baselines[0].tasks)}",
            )
        progress.note(f"not in the baseline: {', '.join(missing)}; for these, unrelated answers are assumed")
    return sights({key: len(found) for key, found in clusters.items()}, spreads, selection.groups)
