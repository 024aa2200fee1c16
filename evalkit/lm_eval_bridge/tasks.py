"""Tasks of lm-eval's library for evalkit's runner: `lm-eval:NAME`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from evalkit.data import DataOptions
from evalkit.lm_eval_bridge.library import Branch, Leaf, find
from evalkit.lm_eval_bridge.task_run import LmEvalTaskRun
from evalkit.runner.settings import RunSettings
from evalkit.task import Group

PREFIX = "lm-eval:"


@dataclass(frozen=True, slots=True)
class LmEvalTask:
    """A task of lm-eval's library; its data is loaded and its prompts are built only when it is bound to a run.

    Attributes:
        name: `lm-eval:` and its name there.
        leaf: Where it is there.
        shots: Number of few-shot examples.
        default_shots: That number where the user asks for none.
        about: One line for tables.
        tags: Words to find it by.
    """

    name: str
    leaf: Leaf
    shots: int
    default_shots: int
    about: str = field(default="", compare=False)
    tags: tuple[str, ...] = field(default=("lm-eval",), compare=False)

    @property
    def output_type(self) -> str:
        """As lm-eval calls it, `multiple_choice` or `generate_until`; empty where only its Python class knows."""
        return str(self.leaf.config.get("output_type") or "")

    def bind(self, key: str, data: DataOptions, settings: RunSettings) -> LmEvalTaskRun:
        """Loads the task's data and builds lm-eval's own task object.

        Raises:
            DataError: The data cannot be loaded.
            UsageError: The task needs what is not supported.
        """
        return LmEvalTaskRun(key, self.leaf, self.shots, data, settings)


def load(name: str, shots: int | None) -> Sequence[Any]:
    """Finds a task, group or tag of lm-eval's library.

    Args:
        name: Its name there, without `lm-eval:`; or a YAML file in lm-eval's format.
        shots: Number of few-shot examples; None takes each task's own. As in lm-eval, a task whose number is fixed to 0
            keeps it.

    Returns:
        `LmEvalTask`s, and for a group that averages a metric also a `Group` of them (before them). All names begin with
        `lm-eval:`; that of a single task gets `:Nshot` when N is not its own number.

    Raises:
        UnknownTaskError: There is nothing of that name.
        UsageError: The library is not installed.
    """
    found = find(name)
    if isinstance(found, Leaf):
        task = _task(found, shots)
        suffix = "" if task.shots == task.default_shots else f":{task.shots}shot"
        return [replace(task, name=task.name + suffix)]
    tasks = {leaf.name: _task(leaf, shots) for leaf in found.leaves}
    return [*_groups(found), *tasks.values()]


def _task(leaf: Leaf, shots: int | None) -> LmEvalTask:
    output_type = leaf.config.get("output_type")
    own = leaf.config.get("num_fewshot")
    default = int(own or 0)
    # lm-eval's rule: a task that says 0 itself is never asked with examples
    wanted = default if shots is None or own == 0 else shots
    return LmEvalTask(PREFIX + leaf.name, leaf, wanted, default, about=f"{leaf.name} of lm-eval ({output_type})")


def _groups(found: Branch) -> list[Group]:
    groups = []
    for branch in found.walk():
        members = [leaf for leaf in branch.leaves if branch.metric is None or _may_have(leaf, branch.metric)]
        if branch.metric is None or not members:
            continue
        groups.append(
            Group(
                name=PREFIX + branch.name,
                members=tuple(PREFIX + leaf.name for leaf in members),
                metrics=branch.metric,
                weighting="items" if branch.by_size else "tasks",
                about=f"{branch.name} of lm-eval",
            )
        )
    return groups


def _may_have(leaf: Leaf, metric: str) -> bool:
    listed = leaf.config.get("metric_list")
    return not listed or any(entry.get("metric") == metric for entry in listed)
