"""A run up to the point where computing begins, and what the rest would take."""

from __future__ import annotations

import time
from collections.abc import Callable

from evalkit.backends.base import Backend
from evalkit.data import DataOptions
from evalkit.registry import Selection
from evalkit.run_plan import RunPlan, TaskPlan
from evalkit.runner.evaluate import Stopwatch, prepare
from evalkit.runner.progress import Progress, Silent
from evalkit.runner.settings import RunSettings

PROBE_SECONDS = 10.0


def plan(
    selection: Selection,
    load_backend: Callable[[], Backend],
    data: DataOptions,
    settings: RunSettings,
    *,
    progress: Progress | None = None,
) -> RunPlan:
    """Prepares a run as `evaluate` does, and computes a few of its batches to learn how fast this machine is.

    Raises:
        EvalkitError: As `evaluate`.
    """
    progress = progress or Silent()
    start = time.perf_counter()
    try:
        ready = prepare(selection, load_backend, data, settings, progress, Stopwatch())
        tasks = {run.key: TaskPlan(run.key, 0, 0, 0) for run in ready.runs}
        for one in ready.asked:
            tokens = sum(ready.prepared.tokens[one.first : one.first + len(one.requests)])
            tasks[one.run.key] += TaskPlan(one.run.key, 1, len(one.requests), tokens)
        preparation = time.perf_counter() - start
        progress.stage("measuring this machine")
        cost = ready.backend.cost(ready.prepared, PROBE_SECONDS)
        groups = {name: group.members for name, group in selection.groups.items()}
        return RunPlan(ready.backend.info.name, ready.backend.device, tuple(tasks.values()), groups, cost, preparation)
    finally:
        progress.finish()
