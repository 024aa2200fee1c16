"""Reads tasks from a user's Python or YAML file, and from modules."""

from __future__ import annotations

import difflib
import hashlib
import importlib.util
import re
import sys
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from evalkit.errors import EvalkitError, TaskDefinitionError
from evalkit.task import Group, Registered, Task

FILE_ENDINGS = (".py", ".yaml", ".yml")
"""Names that end so are task files."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
"""What tasks and groups may be called."""


def load_file(path: Path) -> list[Registered]:
    """Reads every task and group that a Python or YAML file defines.

    In a Python file these are the module-level `Task`s, `Group`s, and lists or tuples of them. Relative paths of a
    task's data are taken from the folder of its file.

    Raises:
        TaskDefinitionError: The file is missing, broken (the message names file and line), or defines no task.
    """
    if not path.is_file():
        raise TaskDefinitionError(f"the task file {path} does not exist", hint="check the path")
    if path.suffix.lower() == ".py":
        entries = list(module_tasks(_import(path)))
    else:
        from evalkit.yaml_task import load_yaml

        entries = load_yaml(path)
    if not entries:
        raise TaskDefinitionError(
            f"{path} defines no task", hint="assign a Task to a name at module level: `quiz = Task(name=...)`"
        )
    for entry in entries:
        check_name(entry.name, path)
        check_metrics(entry, path, entries)
    return [_rebased(entry, path.resolve().parent) for entry in entries]


def module_tasks(module: ModuleType) -> Iterator[Registered]:
    """The tasks and groups among a module's values and in its lists and tuples, each once, in order of definition."""
    seen: set[int] = set()
    for value in vars(module).values():
        for entry in value if isinstance(value, list | tuple) else (value,):
            if isinstance(entry, Task | Group) and id(entry) not in seen:
                seen.add(id(entry))
                yield entry


def check_name(name: str, path: Path) -> None:
    """Refuses names that cannot be typed or would not make a file name."""
    if not NAME.fullmatch(name):
        raise TaskDefinitionError(
            f"{path} names a task {name!r}", hint="use letters, digits, `_`, `-` and `.`, a letter or digit first"
        )


def check_metrics(entry: Registered, path: Path, entries: Sequence[Registered] = ()) -> None:
    """Refuses metrics that do not exist, before any data is read.

    Args:
        entry: The task or group.
        path: Its file.
        entries: All of the file; a group's metrics may be any of its tasks'.

    Raises:
        TaskDefinitionError: One does not exist, or some are of scored and others of generated answers.
    """
    try:
        if isinstance(entry, Task):
            if not entry.metrics:
                raise TaskDefinitionError(f"task {entry.name} has no metric", hint='name one: metrics=("acc",)')
            _check_task_metrics(entry)
        else:
            names = (entry.metrics,) if isinstance(entry.metrics, str) else tuple(entry.metrics.values())
            of_tasks = {name for other in entries if isinstance(other, Task) for name in other.metrics}
            for name in names:
                if name not in of_tasks:
                    _check_metric(name)
    except TaskDefinitionError as error:
        raise TaskDefinitionError(f"{path}: {entry.name}: {error.message}", hint=error.hint) from error


def _check_task_metrics(task: Task) -> None:
    from evalkit.metrics import METRICS
    from evalkit.metrics.text import TextMetric, measures

    def find(name: str) -> TextMetric:
        return task.own_metrics[name] if name in task.own_metrics else _check_metric(name)

    scored = [name for name in task.metrics if name in METRICS and name not in task.own_metrics]
    others = [name for name in task.metrics if name not in scored]
    if not others:
        return
    measures(others, task.extractors, find)
    if scored:
        raise TaskDefinitionError(
            f"{scored[0]} is a metric of scored answers, {others[0]} one of generated text",
            hint="a task has the one or the other; make two tasks of it",
        )


def _check_metric(name: str) -> Any:
    """The metric of either kind that has the name.

    Raises:
        TaskDefinitionError: There is none; the nearest of both kinds are named.
    """
    from evalkit.metrics import METRICS, metric, text_metric
    from evalkit.metrics.text_registry import known

    if name in METRICS:
        return metric(name)
    base = name.partition("@")[0]
    if base in ("pass", "maj"):
        return None
    near = difflib.get_close_matches(base, [*METRICS, *known()], n=3)
    if base.isidentifier() and base not in known():
        hint = f"did you mean {', '.join(near)}?" if near else f"there are {', '.join([*METRICS, *known()])}"
        raise TaskDefinitionError(f"there is no metric named {base!r}", hint=hint)
    return text_metric(base)


def _import(path: Path) -> ModuleType:
    """Runs a Python file as a module of its own name, so that equal file names in two folders do not meet."""
    place = path.resolve()
    name = f"evalkit_task_file_{hashlib.sha256(str(place).encode()).hexdigest()[:16]}"
    spec = importlib.util.spec_from_file_location(name, place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # pickling and dataclasses look a module up by its name
    try:
        spec.loader.exec_module(module)
    except EvalkitError:
        raise
    except SyntaxError as error:
        raise TaskDefinitionError(
            f"{error.filename or path}, line {error.lineno}: {error.msg}", hint="correct the file's Python syntax"
        ) from error
    except (Exception, SystemExit) as error:  # the file is the user's: whatever it raises is told with its line
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(place)]
        where = f"{path}, line {lines[-1]}" if lines else str(path)
        raise TaskDefinitionError(
            f"{where}: {type(error).__name__}: {error}", hint="the file must run by itself, like any Python module"
        ) from error
    return module


def _rebased(entry: Registered, folder: Path) -> Registered:
    if not isinstance(entry, Task) or not entry.data.files or Path(entry.data.base).is_absolute():
        return entry
    return replace(entry, data=replace(entry.data, base=str(folder / entry.data.base)))
