"""A run from names to numbers: data, model, requests, answers, scores, files."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from evalkit.backends.base import Backend
from evalkit.code_execution import protections
from evalkit.data import DataOptions
from evalkit.errors import UsageError
from evalkit.registry import Selection
from evalkit.results import Run, check_writable, samples_path, write_samples
from evalkit.runner.answering import Answering
from evalkit.runner.asking import Ready, ask
from evalkit.runner.assemble import assemble, sample_rows
from evalkit.runner.presentation import present_all
from evalkit.runner.progress import Progress, Silent
from evalkit.runner.settings import RunSettings
from evalkit.runner.several_seeds import task_runs
from evalkit.task import Task


class Stopwatch:
    """Seconds spent in each stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Adds the time spent in the block to `name`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


def prepare(
    selection: Selection,
    load_backend: Callable[[], Backend],
    data: DataOptions,
    settings: RunSettings,
    progress: Progress,
    watch: Stopwatch,
) -> Ready:
    """Everything before computing.

    Data is read and checked before the model is loaded, so that a wrong name or a damaged row costs seconds. A backend
    may go on loading its weights while prompts are built and tokenised.

    Args:
        selection: Tasks and groups.
        load_backend: Loads what answers; called once, after the data.
        data: Where datasets may come from.
        settings: What else decides the scores.
        progress: Told what happens.
        watch: Takes the time.

    Raises:
        EvalkitError: See `evalkit.errors`.
    """
    _check_code_execution(selection, settings)
    progress.stage("reading data")
    with watch.stage("data"):
        runs = task_runs(selection.tasks, data, settings)
    progress.stage("loading the model")
    with watch.stage("model"):
        backend = load_backend()
    progress.stage("tokenising prompts")
    with watch.stage("tokens"):
        ready = ask(runs, present_all(runs, backend, settings), backend, settings, progress)
    if (unused := settings.without_effect()) and not ready.generates:
        progress.note(f"no task generates: {', '.join(unused)} {'has' if len(unused) == 1 else 'have'} no effect")
    progress.stage("loading the weights")
    with watch.stage("model"):
        backend.settings()  # waits for what is loaded while prompts are built and tokenised
    return ready


def evaluate(
    selection: Selection,
    load_backend: Callable[[], Backend],
    data: DataOptions,
    settings: RunSettings,
    *,
    output: Path | None = None,
    progress: Progress | None = None,
    reuse: bool = False,
) -> Run:
    """Evaluates a model on tasks.

    Args:
        selection: Tasks and groups.
        load_backend: Loads what answers; called once, after the data.
        data: Where datasets may come from.
        settings: What else decides the scores.
        output: Result file; `output`.samples.parquet and the journal stand beside it. None writes nothing.
        progress: Told what happens.
        reuse: Take answers from the response store, and leave new ones there.

    Returns:
        The run, also written to `output`.

    Raises:
        EvalkitError: See `evalkit.errors`. After an interruption the journal stays, and the same call continues; so it
            does after a run in which some documents could not be answered (outcome `errored`).
    """
    progress = progress or Silent()
    watch = Stopwatch()
    try:
        if output is not None:
            check_output(output)
        ready = prepare(selection, load_backend, data, settings, progress, watch)
        with Answering(ready, output, progress, reuse=reuse) as answering:
            progress.stage("scoring")
            with watch.stage("scoring"):
                answering.answer(range(len(ready.prepared.requests)))
            with watch.stage("scores"):
                run = assemble(selection, ready, answering, settings, watch.seconds)
            if output is not None:
                write_samples(samples_path(output), sample_rows(ready.asked, answering.answers))
                run.save(output)
            if not any(result.outcomes.get("errored") for result in run.tasks.values()):
                answering.forget()  # otherwise the same command tries again what failed
        return run
    finally:
        progress.finish()


def check_output(output: Path) -> None:
    """Makes sure, before anything is computed, that a result can be written there."""
    if output.suffix != ".json":
        raise UsageError(f"-o {output} does not end in .json", hint=f"use -o {output.with_suffix('.json')}")
    check_writable(output)


def _check_code_execution(selection: Selection, settings: RunSettings) -> None:
    """Stops a task that runs what the model writes, unless the user allowed it and there is a sandbox that works.

    Raises:
        UsageError: The user did not allow it.
        EvaluationError: The sandbox does not work here.
    """
    running = [
        key
        for key, task in selection.tasks.items()
        if isinstance(task, Task) and any(metric.executes_code for metric in task.own_metrics.values())
    ]
    if not running:
        return
    if not settings.allow_code_execution:
        raise UsageError(
            f"task {running[0]} runs the code that the model writes, which can do harm",
            hint="read docs/reasoning-tasks.md on what the sandbox keeps out, then add --allow-code-execution",
        )
    protections()
