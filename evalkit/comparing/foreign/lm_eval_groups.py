"""lm-eval's groups: averages over tasks, rebuilt from the tasks with evalkit's intervals."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Literal

from evalkit.aggregate import Result, aggregate_group
from evalkit.comparing.foreign.building import agrees
from evalkit.comparing.foreign.lm_eval_names import PREFIX
from evalkit.errors import UsageError
from evalkit.json_node import Node
from evalkit.registry import registered
from evalkit.results import GroupResult, TaskResult
from evalkit.task import Group

logger = logging.getLogger(__name__)

_WEIGHTINGS: tuple[Literal["items"], Literal["tasks"]] = ("items", "tasks")


def read_groups(root: Node, keys: Mapping[str, str], tasks: Mapping[str, TaskResult]) -> dict[str, GroupResult]:
    """The groups of a log, inner ones first.

    The log does not say how a group weighs its members: of evalkit's two ways the one counts that gives the value
    reported. A group that neither gives is left out, and a warning says so.

    Args:
        root: The results file.
        keys: lm-eval's name of a task -> the run's.
        tasks: The run's tasks.
    """
    if root.get("groups").value is None:
        return {}
    reported = dict(root["groups"].items())
    members = {name: [one.text() for one in node.elements()] for name, node in root["group_subtasks"].items()}
    results: dict[str, GroupResult] = {}
    groups: dict[str, Group] = {}
    names = dict(keys)
    for name in _inner_first(members, [name for name in members if name in reported]):
        inside = [names[member] for member in members[name] if member in names]
        key = name if _is_ours(name, inside, tasks) else PREFIX + name
        found = _group(key, inside, reported[name], tasks, results, groups) if inside else None
        if found is None:
            logger.warning("%s: the group %s is left out: it is no mean of its tasks", root.file, name)
            continue
        names[name] = key
        groups[key], results[key] = found
    return results


def _inner_first(members: Mapping[str, list[str]], wanted: list[str]) -> list[str]:
    """Groups after those within them; one that is within itself stands where it was met."""
    ordered: dict[str, None] = {}
    visiting: set[str] = set()

    def visit(name: str) -> None:
        if name in visiting or name in ordered:
            return
        visiting.add(name)
        for member in members[name]:
            if member in wanted:
                visit(member)
        ordered[name] = None

    for name in wanted:
        visit(name)
    return list(ordered)


def _is_ours(name: str, inside: list[str], tasks: Mapping[str, TaskResult]) -> bool:
    """Whether evalkit has a group of that name, and the tasks in this one are evalkit's too."""
    return isinstance(registered().get(name), Group) and not any(key.startswith(PREFIX) for key in inside)


def _group(
    key: str,
    inside: list[str],
    reported: Node,
    tasks: Mapping[str, TaskResult],
    results: Mapping[str, GroupResult],
    groups: Mapping[str, Group],
) -> tuple[Group, GroupResult] | None:
    known: dict[str, Result] = {**tasks, **results}
    members = {member: known[member] for member in inside}
    for field, value in reported.items():
        metric, _, _ = field.partition(",")
        if metric not in next(iter(members.values())).metrics or not isinstance(value.value, int | float):
            continue
        for weighting in _WEIGHTINGS:
            group = Group(
                name=key,
                members=tuple(inside),
                metrics=metric,
                weighting=weighting,
            )
            try:
                result = aggregate_group(group, members, known, groups)
            except UsageError:  # a member lacks the metric
                continue
            if agrees(value.number(), result.metrics[metric].value):
                return group, result
    return None
