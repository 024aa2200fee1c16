"""The way of a verification: the file with itself, its log, its data, its model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evalkit.errors import ModelError, UsageError
from evalkit.results import Run, samples_path
from evalkit.runner.asking import Ready, ask
from evalkit.runner.presentation import present_all
from evalkit.runner.progress import Progress, Silent
from evalkit.verification import Check, Verification
from evalkit.verifying import again, prompts, scores
from evalkit.verifying.log import Log, read
from evalkit.verifying.tasks import Rebuilt, rebuild, require_own

SHARE = 0.01

_HERE = ("directory", "gguf", "embedded", "peft", "hub")
"""Kinds of models that the built-in engine loads."""


def verify(
    result: str | Path,
    *,
    samples: str | Path | None = None,
    tasks: str | None = None,
    model: str | None = None,
    rerun: bool = True,
    share: float = SHARE,
    seed: int = 0,
    progress: Progress | None = None,
    **options: Any,
) -> Verification:
    """Recomputes a result from its sample log, its data and its model.

    Args:
        result: A result file that `evalkit run` wrote.
        samples: Its sample log; by default the one beside it.
        tasks: Where tasks come from whose names do not say, as "./mine.yaml" or "lm-eval:NAME".
        model: The model, where it is no longer found under the name that the result has.
        rerun: Whether to answer some documents again, if the model is on this machine.
        share: Share of each task's documents that is; at least 10 in all.
        seed: Of the choice of these.
        progress: Told what happens.
        options: Of `evalkit.Evaluation`, for what a result does not say: `data_dir`, `device`, `retrieve`, `offline` ...

    Returns:
        All checks, those that could not be made with the reason.

    Raises:
        UsageError: The result or its log is missing or damaged, or another program wrote it.
        EvalkitError: A model that was named cannot be loaded.
    """
    path = Path(result)
    if not 0 < share <= 1:
        raise UsageError(f"--share is {share}", hint="give a share above 0 and up to 1, such as 0.01")
    progress = progress or Silent()
    try:
        progress.stage("reading the result")
        run = Run.load(path)
        require_own(run, path.name)
        log_path = samples_path(path) if samples is None else Path(samples)
        log = read(log_path, run)
        progress.stage("reading data")
        rebuilt = rebuild(run, model, tasks, options)
        progress.stage("computing scores")
        checks = [
            *scores.scores(run, rebuilt),
            *scores.samples(run, log, log_path, rebuilt),
            *prompts.data(run, rebuilt),
        ]
        checks += _with_model(run, log, rebuilt, model, rerun, share, seed, progress)
    finally:
        progress.finish()
    return Verification(path.name, run.model.name, tuple(checks))


def _with_model(
    run: Run, log: Log, rebuilt: Rebuilt, named: str | None, rerun: bool, share: float, seed: int, progress: Progress
) -> Iterator[Check]:
    """Prompts, and where the model is at hand its identity and its answers."""
    why = _not_here(run, named, rerun)
    ready: Ready | None = None
    if not why:
        progress.stage("loading the model")
        try:
            ready = _ready(run, rebuilt, progress)
        except ModelError as error:
            if named is not None:
                raise
            why = error.message
    if ready is None:
        yield from prompts.prompts(run, log, rebuilt, None)
        for what in ("weights", "answers again"):
            yield Check.skipped("model", what, why)
        return
    yield from prompts.prompts(run, log, rebuilt, ready.presentations)
    yield from again.identity(run.model, ready.backend.info)
    if not ready.asked:
        yield Check.skipped("model", "answers again", "no task is at hand")
        return
    progress.stage("answering again")
    yield from again.answers(run, log, ready, again.choose(run, share, seed))


def _not_here(run: Run, named: str | None, rerun: bool) -> str:
    """Why the model is not asked; empty where it may be."""
    if not rerun:
        return "not asked for"
    if run.settings.get("engine") != "evalkit" and named is None:
        return f"the answers came from {run.settings.get('engine')}; name a model with --model"
    if run.model.source not in _HERE and named is None:
        return f"the model {run.model.name} is not one that the built-in engine loads; name one with --model"
    return ""


def _ready(run: Run, rebuilt: Rebuilt, progress: Progress) -> Ready:
    backend = rebuilt.load_backend()
    runs = list(rebuilt.runs.values())
    presentations = present_all(runs, backend, rebuilt.settings)
    if not runs:
        return Ready(runs, presentations, backend, [], backend.prepare([]), Counter())
    return ask(runs, presentations, backend, rebuilt.settings, progress)
