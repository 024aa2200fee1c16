"""The tasks of a result, built again from their names and the data at hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from evalkit.api import Evaluation
from evalkit.backends.base import Backend
from evalkit.data import DataOptions
from evalkit.errors import EvalkitError, UsageError
from evalkit.imitation import options_of
from evalkit.registry import ResolvedGroup, Selection, select
from evalkit.results import Run
from evalkit.runner.rendering import render_plain
from evalkit.runner.settings import RunSettings
from evalkit.runner.several_seeds import task_runs
from evalkit.runner.task_run import TaskRun
from evalkit.task import Registered, Task

ENGINE = ("max_length", "batch_tokens", "share_prefixes")
"""Settings of the built-in engine that are options by the same name."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What of a result could be built again.

    Attributes:
        runs: Task -> with its documents.
        missing: Task -> why it could not be.
        groups: Group -> its definition.
        settings: How the result's prompts were made.
        load_backend: Loads the model that the evaluation names.
        data: Where data was looked for.
    """

    runs: Mapping[str, TaskRun]
    missing: Mapping[str, str]
    groups: Mapping[str, ResolvedGroup]
    settings: RunSettings
    load_backend: Callable[[], Backend]
    data: DataOptions


def rebuild(run: Run, model: str | None, tasks: str | None, options: Mapping[str, Any]) -> Rebuilt:
    """Builds the tasks of a result again.

    Args:
        run: The result.
        model: The model for `load_backend`; None takes the result's, if it is on this machine.
        tasks: Where tasks come from whose names do not say (`./mine.yaml`, `lm-eval:NAME`).
        options: Of `evalkit.Evaluation`, for what a result does not say.

    Raises:
        UsageError: An option is wrong, or `tasks` names what is not there.
    """
    given = select(tasks) if tasks else Selection({}, {})
    names = [name for name in (*run.groups, *run.tasks) if name not in given.tasks and name not in given.groups]
    found: dict[str, Any] = dict(given.tasks)
    groups = dict(given.groups)
    missing: dict[str, str] = {}
    # `quiz:2shot` names one of them
    own: list[Registered] = [task for task in given.tasks.values() if isinstance(task, Task)]
    own += [resolved.group for resolved in given.groups.values()]
    for name in names:
        try:
            selection = select([name], extra=own)
        except EvalkitError as error:
            missing[name] = f"{error.message}; name its file with --tasks"
            continue
        found = {**selection.tasks, **found}
        groups = {**selection.groups, **groups}
    # so that batches are as large as they were: the last digits are the same then where the machine is
    engine = {
        name: run.settings[name] for name in ENGINE if run.settings.get("engine") == "evalkit" and name in run.settings
    }
    wanted = {**options_of(run), **engine, **options}
    evaluation = Evaluation(model=model or run.model.name, tasks=tasks or "arc_easy", **wanted)
    _, load_backend, data, settings = evaluation.parts()
    if model is None:  # nothing is downloaded that nobody asked for
        load_backend = dataclasses.replace(evaluation, offline=True).parts()[1]
    if run.settings.get("retrieval") and settings.retrieval is None:
        why = "its prompts hold passages: name their file with --retrieve"
        missing |= dict.fromkeys(run.tasks, why)
    runs: dict[str, TaskRun] = {}
    for name in run.tasks:
        if name in missing:
            continue
        if name not in found:
            missing[name] = f"--tasks {tasks} does not hold it"
            continue
        reason = _runs_code(found[name])
        try:
            built = None if reason else _built(name, found[name], run, data, settings)
        except EvalkitError as error:
            reason = f"{error.message}. {error.hint or ''}".strip()
        if reason or built is None:
            missing[name] = reason
        else:
            runs[name] = built
    return Rebuilt(
        runs, {name: why for name, why in missing.items() if name in run.tasks}, groups, settings, load_backend, data
    )


def _runs_code(task: Any) -> str:
    if isinstance(task, Task) and any(metric.executes_code for metric in task.own_metrics.values()):
        return "its metric runs the code that the model wrote"
    return ""


def _built(name: str, task: Any, run: Run, data: DataOptions, settings: RunSettings) -> TaskRun:
    shots = run.tasks[name].shots
    if isinstance(task, Task) and task.shots != shots and not task.shots_fixed:
        task = replace(task, shots=shots)
    (built,) = task_runs({name: task}, data, _with_seeds(run, name, settings))
    for item in built.items[:1]:
        built.requests(item, render_plain)  # some tasks know their answers only after they were asked
    return built


def _with_seeds(run: Run, name: str, settings: RunSettings) -> RunSettings:
    """Several seeds only for a task that had them: of the others each is asked for alone here."""
    seeds: Sequence[int] = run.tasks[name].settings.get("shots_seeds", ())
    return replace(settings, shots_seeds=max(1, len(seeds)))


def require_own(run: Run, name: str) -> None:
    """Stops at a result that another program wrote.

    Raises:
        UsageError: It was.
    """
    if "engine" not in run.settings:
        raise UsageError(
            f"{name} does not say what computed it", hint="evalkit verify takes results that evalkit run wrote"
        )
