"""Gives the tasks of a foreign run the names that a run of evalkit has for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from evalkit.comparing.foreign.lm_eval_names import PREFIX
from evalkit.modifiers import parse_spec
from evalkit.results import Run, Sample, TaskResult

_OWN_SETTINGS = frozenset({"lm_eval_metrics", "extractors"})
"""Settings of a foreign task that evalkit's runs of lm-eval's tasks do not have."""


def aligned(run: Run, like: Run) -> Run:
    """The run with its tasks named as in a run of evalkit, where that one ran lm-eval's own definition of them.

    lm-eval's `arc_easy` is read as evalkit's `arc_easy`. Where the other run has it as `lm-eval:arc_easy`, names of
    metrics, and for some tasks the ids of documents, are others.

    Args:
        run: Of `read_foreign`.
        like: The run of evalkit's that it is compared with.
    """
    names = {key: _name_there(key, task, like) for key, task in run.tasks.items()}
    if len(set(names.values())) < len(names):
        return run
    tasks = {names[key]: _as_there(task, key, names[key], like) for key, task in run.tasks.items()}
    groups = {
        key: replace(group, tasks=tuple(names.get(member, member) for member in group.tasks))
        for key, group in run.groups.items()
    }
    return replace(run, tasks=tasks, groups=groups)


def _name_there(key: str, task: TaskResult, like: Run) -> str:
    name = task.settings.get("lm_eval_task")
    if key in like.tasks or name is None:
        return key
    candidates = [
        other
        for other, there in like.tasks.items()
        if parse_spec(other)[0] == f"{PREFIX}{name}" and there.shots == task.shots
    ]
    return candidates[0] if len(candidates) == 1 else key


def _as_there(task: TaskResult, key: str, name: str, like: Run) -> TaskResult:
    """The task as evalkit's run of `lm-eval:NAME` has it."""
    if not name.startswith(PREFIX) or name not in like.tasks:
        return task
    settings = {field: value for field, value in task.settings.items() if field not in _OWN_SETTINGS}
    if key == name:
        return replace(task, settings=settings)
    renamed = task.settings.get("lm_eval_metrics", {})
    values = {renamed.get(metric, metric): value for metric, value in task.metrics.items()}
    order = [metric for metric in like.tasks[name].metrics if metric in values]
    return replace(
        task,
        metrics={metric: values[metric] for metric in (*order, *(one for one in values if one not in order))},
        samples=tuple(_sample(sample, renamed) for sample in task.samples),
        settings=settings,
    )


def _sample(sample: Sample, renamed: Mapping[str, str]) -> Sample:
    """The sample by the id of lm-eval's document."""
    fields: dict[str, Any] = dict(sample.fields)
    return replace(
        sample,
        id=str(fields.pop("lm_eval_id", sample.id)),
        metrics={renamed.get(metric, metric): value for metric, value in sample.metrics.items()},
        fields=fields,
    )
