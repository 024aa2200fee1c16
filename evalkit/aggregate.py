"""A group's score from its members' results."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evalkit.errors import UsageError
from evalkit.results import GroupResult, MetricValue, TaskResult
from evalkit.stats.combine import Part, mover, stratified_score, weighted_sum
from evalkit.stats.intervals import Interval
from evalkit.summaries import cluster_names
from evalkit.task import Group

if TYPE_CHECKING:
    from evalkit.registry import ResolvedGroup

Result = TaskResult | GroupResult


@dataclass(frozen=True, slots=True)
class _Leaf:
    """One task's share in a group's score: `metric` of `task` counts with `weight`."""

    task: str
    metric: str
    weight: float


def aggregate(groups: Mapping[str, ResolvedGroup], tasks: Mapping[str, TaskResult]) -> dict[str, GroupResult]:
    """The scores of all groups of a run.

    Args:
        groups: As selected, inner ones first.
        tasks: Results of all their tasks.

    Raises:
        UsageError: See `aggregate_group`.
    """
    definitions = {name: resolved.group for name, resolved in groups.items()}
    results: dict[str, GroupResult] = {}
    for name, resolved in groups.items():
        known: dict[str, Result] = {**tasks, **results}
        members = {member: known[member] for member in resolved.members}
        results[name] = aggregate_group(resolved.group, members, known, definitions)
    return results


def aggregate_group(
    group: Group,
    members: Mapping[str, Result],
    known: Mapping[str, Result] | None = None,
    groups: Mapping[str, Group] | None = None,
) -> GroupResult:
    """The group's score: a weighted mean over its tasks, with the error and interval that follow from theirs.

    `items` weighs every document alike: tasks count by their number of scored documents, through groups within groups
    (lm-eval's `weight_by_size`). `tasks` gives each direct member the same weight. The standard error is
    √(Σ w² SE²) over tasks; the interval is the stratified score interval where every document of every task is right
    or wrong, and else recovered from the tasks' own limits (`evalkit.stats.combine`).

    Args:
        group: The group's description.
        members: Direct members, by the name each has in the result file, in order.
        known: Results of tasks and groups beneath the direct members; needed where a member is a group.
        groups: Descriptions of the groups among `members` and beneath; needed where a member is a group.

    Raises:
        UsageError: The group is empty, a member lacks the group's metric, or directions differ.
    """
    if not members:
        raise UsageError(f"group {group.name} has no members", hint="name at least one task in it")
    lookup = {**(known or {}), **members}
    leaves = _merged(_leaves(group, tuple(members), lookup, groups or {}))
    values = [_task(leaf.task, lookup).metrics[leaf.metric] for leaf in leaves]
    if len({value.higher_is_better for value in values}) > 1:
        raise UsageError(
            f"group {group.name} averages metrics of which some are better when higher, some when lower",
            hint="give the group's `metrics` one direction",
        )
    parts = [
        Part(leaf.weight, value.value, value.stderr, value.ci95) for leaf, value in zip(leaves, values, strict=True)
    ]
    estimate, stderr = weighted_sum(parts)
    interval = _interval(leaves, parts, lookup)
    limits = None if interval is None else (interval.low, interval.high)
    bounds = values[0].bounds if len({value.bounds for value in values}) == 1 else None
    metric = MetricValue(
        estimate,
        stderr,
        limits,
        values[0].higher_is_better,
        _chance(leaves, values),
        bounds=bounds,
        unreadable=_unreadable(leaves, values),
    )
    return GroupResult(tuple(members), {_score_name(group): metric}, group.weighting)


def _leaves(
    group: Group, members: Sequence[str], lookup: Mapping[str, Result], groups: Mapping[str, Group]
) -> list[_Leaf]:
    """The tasks of a group, with weights that sum to 1."""
    shares: list[list[_Leaf]] = []
    for name in members:
        result = lookup[name]
        wanted = _member_metric(group, name)
        if wanted not in result.metrics:
            raise UsageError(
                f"group {group.name} averages {wanted}, which its member {name} does not have",
                hint=f"{name} has {', '.join(result.metrics)}; name one of them in the group's `metrics`",
            )
        if isinstance(result, TaskResult):
            shares.append([_Leaf(name, wanted, 1.0)])
        elif name in groups:
            shares.append(_leaves(groups[name], result.tasks, lookup, groups))
        else:
            raise ValueError(f"{name} is a group: give its description in `groups`, or use `aggregate`")
    if group.weighting == "tasks":
        return [_Leaf(leaf.task, leaf.metric, leaf.weight / len(shares)) for share in shares for leaf in share]
    flat = [leaf for share in shares for leaf in share]
    sizes = [_scored(leaf, lookup) for leaf in flat]
    return [_Leaf(leaf.task, leaf.metric, size / sum(sizes)) for leaf, size in zip(flat, sizes, strict=True)]


def _merged(leaves: Sequence[_Leaf]) -> list[_Leaf]:
    """Each task once: one that is in two groups within the group is the same documents, not more of them."""
    weights: dict[tuple[str, str], float] = {}
    for leaf in leaves:
        key = (leaf.task, leaf.metric)
        weights[key] = weights.get(key, 0.0) + leaf.weight
    return [_Leaf(task, metric, weight) for (task, metric), weight in weights.items()]


def _interval(leaves: Sequence[_Leaf], parts: Sequence[Part], lookup: Mapping[str, Result]) -> Interval | None:
    counts = [_successes(leaf, lookup) for leaf in leaves]
    known = [count for count in counts if count is not None]
    if len(known) < len(counts):
        return mover(parts)
    return stratified_score(
        [successes for successes, _ in known], [items for _, items in known], [leaf.weight for leaf in leaves]
    )


def _successes(leaf: _Leaf, lookup: Mapping[str, Result]) -> tuple[float, int] | None:
    """Right documents and scored documents; None unless all are right or wrong, and independent."""
    samples = [sample for sample in _task(leaf.task, lookup).samples if leaf.metric in sample.metrics]
    values = [sample.metrics[leaf.metric] for sample in samples]
    if not values or not set(values) <= {0.0, 1.0} or cluster_names(samples) is not None:
        return None
    return sum(values), len(values)


def _scored(leaf: _Leaf, lookup: Mapping[str, Result]) -> int:
    return sum(leaf.metric in sample.metrics for sample in _task(leaf.task, lookup).samples)


def _chance(leaves: Sequence[_Leaf], values: Sequence[MetricValue]) -> float | None:
    chances = [value.chance for value in values if value.chance is not None]
    if len(chances) < len(values):
        return None
    return math.fsum(leaf.weight * chance for leaf, chance in zip(leaves, chances, strict=True))


def _unreadable(leaves: Sequence[_Leaf], values: Sequence[MetricValue]) -> tuple[float, float] | None:
    """What the tasks' unreadable answers leave open of the group's score; each task keeps its weight."""
    if not any(value.unreadable for value in values):
        return None
    ranges = [value.unreadable or (value.value, value.value) for value in values]
    low, high = (
        math.fsum(leaf.weight * ends[place] for leaf, ends in zip(leaves, ranges, strict=True)) for place in (0, 1)
    )
    return low, high


def _task(name: str, lookup: Mapping[str, Result]) -> TaskResult:
    result = lookup[name]
    assert isinstance(result, TaskResult)
    return result


def _member_metric(group: Group, member: str) -> str:
    if isinstance(group.metrics, str):
        return group.metrics
    if member in group.metrics:
        return group.metrics[member]
    raise UsageError(
        f"group {group.name} names no metric for its member {member}", hint="add it to the group's `metrics`"
    )


def _score_name(group: Group) -> str:
    if group.metric_name:
        return group.metric_name
    names = {group.metrics} if isinstance(group.metrics, str) else set(group.metrics.values())
    return names.pop() if len(names) == 1 else "score"
