"""Two runs side by side before any verdict: estimates of every task, metric and group."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from evalkit.comparing.conditions import conditions
from evalkit.comparing.estimate import Estimate, untested
from evalkit.comparing.groups import Leaf, combined, group_weights
from evalkit.comparing.kinds import ROUNDED, estimate_metric
from evalkit.comparing.pairing import Pairs, pair
from evalkit.comparing.ranges import SHARE, range_of_metric
from evalkit.comparing.selection import Selected, select
from evalkit.comparison import FieldDifference, Side


@dataclass(frozen=True, slots=True)
class Row:
    """One metric of a task or group.

    Attributes:
        metric: Its name.
        estimate: The difference.
        higher_is_better: Direction.
        bounds: Range of the metric, when known.
        chance: What guessing gives, when known.
        blocked: Why the scores cannot be compared; empty where they can.
    """

    metric: str
    estimate: Estimate
    higher_is_better: bool
    bounds: tuple[float, float] | None
    chance: float | None
    blocked: str


@dataclass(frozen=True, slots=True)
class Draft:
    """Two runs with all estimates.

    Attributes:
        before: The first run.
        after: The second.
        selected: What is compared.
        conditions: What differs besides the model.
        pairs: Task -> its documents side by side.
        rows: Task or group -> its metrics, the main one first.
        overall: The mean over the roots, where that has a meaning.
    """

    before: Side
    after: Side
    selected: Selected
    conditions: tuple[FieldDifference, ...]
    pairs: Mapping[str, Pairs]
    rows: Mapping[str, tuple[Row, ...]]
    overall: Row | None


def draft(
    before: Side,
    after: Side,
    allowed: frozenset[str],
    tasks: Sequence[str] | None = None,
    metrics: Sequence[str] | None = None,
) -> Draft:
    """Pairs two runs' documents and estimates every difference.

    Args:
        before: The first run.
        after: The second.
        allowed: Fields that may differ, though scores then answer different questions.
        tasks: Only these tasks and groups.
        metrics: Only these metrics.

    Raises:
        UsageError: Neither run has a task or metric that was asked for.
        NotComparableError: They have no task in common.
    """
    selected = select(before, after, tasks, metrics)
    pairs = {name: pair(before.run.tasks[name], after.run.tasks[name]) for name in selected.tasks}
    main = {name: its[0] for name, its in selected.tasks.items()}
    found = (*selected.differences, *conditions(before.run, after.run, pairs, main, allowed))
    blocked = {name: _blocked(name, found, pairs[name]) for name in selected.tasks}
    rows = {
        name: tuple(_task_row(before, after, name, metric, pairs[name], blocked[name]) for metric in its)
        for name, its in selected.tasks.items()
    }
    weights: dict[str, dict[Leaf, float]] = {name: {(name, main[name]): 1.0} for name in selected.tasks}
    for name in selected.groups:
        row, its = _group_row(before, name, rows, pairs, blocked)
        rows[name] = (row,)
        if its is not None:
            weights[name] = its
    return Draft(
        before=before,
        after=after,
        selected=selected,
        conditions=found,
        pairs=pairs,
        rows={name: rows[name] for name in selected.order},
        overall=_overall(selected.roots, rows, weights),
    )


def _blocked(task: str, found: Sequence[FieldDifference], pairs: Pairs) -> str:
    """Why a task cannot be compared: each differing field with both values."""
    reasons = [
        f"{one.field} differs ({one.before}; {one.after})"
        for one in found
        if one.blocks and not one.allowed and (not one.tasks or task in one.tasks)
    ]
    if not pairs.before:
        common = len(pairs.pairing.unscored_before) + len(pairs.pairing.unscored_after)
        reasons.append("no document that both have was scored in both" if common else "the runs share no document")
    return "; ".join(reasons)


def _task_row(before: Side, after: Side, name: str, metric: str, pairs: Pairs, blocked: str) -> Row:
    first, second = before.run.tasks[name], after.run.tasks[name]
    value = first.metrics[metric]
    if pairs.before:
        foreign = "evalkit" in (before.origin, after.origin) and before.origin == after.origin
        estimate = estimate_metric(metric, first, second, pairs, *([] if foreign else [ROUNDED]))
    else:
        estimate = untested(0, value.value, second.metrics[metric].value, blocked)
    return Row(metric, estimate, value.higher_is_better, range_of_metric(metric, first, second), value.chance, blocked)


def _group_row(
    before: Side,
    name: str,
    rows: Mapping[str, tuple[Row, ...]],
    pairs: Mapping[str, Pairs],
    blocked: Mapping[str, str],
) -> tuple[Row, dict[Leaf, float] | None]:
    run = before.run
    metric, value = next(iter(run.groups[name].metrics.items()))
    leaves = run.leaves(name)
    sizes = {task: pairs[task].pairing.paired for task in leaves}
    weights = group_weights(run, name, sizes)
    stopped = [task for task in leaves if blocked[task]]
    reason = ""
    if stopped:
        others = f" and {len(stopped) - 1} more" if len(stopped) > 1 else ""
        reason = f"{stopped[0]}{others}: {blocked[stopped[0]]}"
    parts = None if weights is None else _parts(weights, rows)
    if parts is None:
        why = "which of its tasks' metrics the group averages is not in the file"
        estimate = untested(sum(sizes.values()), value.value, value.value, why)
        return Row(metric, estimate, value.higher_is_better, value.bounds, None, reason or why), None
    bounds = _common([row.bounds for row in _leaf_rows(weights or {}, rows)])
    return Row(metric, _combined(parts), value.higher_is_better, bounds, value.chance, reason), weights


def _combined(parts: Sequence[tuple[float, Estimate]]) -> Estimate:
    """The sum of tasks' differences; the same scores in every task are the same in the sum, with a test or without."""
    return replace(combined(parts), same=all(one.same for _, one in parts))


def _parts(weights: Mapping[Leaf, float], rows: Mapping[str, tuple[Row, ...]]) -> list[tuple[float, Estimate]] | None:
    """Weight and difference of each task in a sum; None where a task lacks the metric."""
    found = _leaf_rows(weights, rows)
    if len(found) < len(weights):
        return None
    return [(weight, row.estimate) for weight, row in zip(weights.values(), found, strict=True)]


def _leaf_rows(weights: Mapping[Leaf, float], rows: Mapping[str, tuple[Row, ...]]) -> list[Row]:
    return [row for task, metric in weights for row in rows[task] if row.metric == metric]


def _common(ranges: Sequence[tuple[float, float] | None]) -> tuple[float, float] | None:
    return ranges[0] if len(set(ranges)) == 1 else None


def _overall(
    roots: Sequence[str], rows: Mapping[str, tuple[Row, ...]], weights: Mapping[str, dict[Leaf, float]]
) -> Row | None:
    """The mean over the roots, each with the same weight, where all are shares of 1 and higher is better."""
    mains = [rows[name][0] for name in roots]
    if len(roots) < 2 or any(not row.higher_is_better or row.bounds != SHARE for row in mains):
        return None
    if any(name not in weights for name in roots):
        return None
    merged: dict[Leaf, float] = {}
    for name in roots:
        for leaf, weight in weights[name].items():
            merged[leaf] = merged.get(leaf, 0.0) + weight / len(roots)
    parts = _parts(merged, rows)
    if parts is None:
        return None
    stopped = [name for name, row in zip(roots, mains, strict=True) if row.blocked]
    reason = f"{', '.join(stopped)} cannot be compared" if stopped else ""
    metrics = {row.metric for row in mains}
    chances = [row.chance for row in mains if row.chance is not None]
    chance = math.fsum(chances) / len(chances) if len(chances) == len(mains) else None
    metric = metrics.pop() if len(metrics) == 1 else "score"
    return Row(metric, _combined(parts), True, SHARE, chance, reason)
