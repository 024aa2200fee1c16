"""Gives the tasks of a foreign run the names that another run has for them."""

from __future__ import annotations

from dataclasses import replace

from evalkit.comparing.foreign.lm_eval_names import PREFIX
from evalkit.modifiers import parse_spec
from evalkit.results import Run, TaskResult


def aligned(run: Run, like: Run) -> Run:
    """The run with its tasks named as in another, where that one ran the same lm-eval tasks.

    lm-eval's `arc_easy` is read as evalkit's `arc_easy`. Where the other run has it as `lm-eval:arc_easy`, evalkit ran
    lm-eval's own definition of it, whose documents may have ids of their own.

    Args:
        run: Of `read_foreign`.
        like: The run that it is compared with.
    """
    names = {key: _name_there(key, task, like) for key, task in run.tasks.items()}
    if all(key == name for key, name in names.items()) or len(set(names.values())) < len(names):
        return run
    tasks = {names[key]: _renamed(task, key, names[key]) for key, task in run.tasks.items()}
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
        if parse_spec(other)[0] == PREFIX + name and there.shots == task.shots
    ]
    return candidates[0] if len(candidates) == 1 else key


def _renamed(task: TaskResult, key: str, name: str) -> TaskResult:
    """The task as evalkit's run of `lm-eval:NAME` has it: the ids of lm-eval's documents, and lm-eval's own metrics."""
    if key == name or not name.startswith(PREFIX) or key.startswith(PREFIX):
        return task
    samples = tuple(
        replace(
            sample,
            id=str(sample.fields.get("lm_eval_id", sample.id)),
            fields={field: value for field, value in sample.fields.items() if field != "lm_eval_id"},
        )
        for sample in task.samples
    )
    return replace(task, samples=samples)
