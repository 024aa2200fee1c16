"""From estimates to verdicts: p adjusted over families of tests, margins, and the finished comparison."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

from evalkit.comparing.attribution import flips
from evalkit.comparing.changes import change_of
from evalkit.comparing.draft import Draft, Row
from evalkit.comparing.estimate import Estimate
from evalkit.comparing.identity import same_model
from evalkit.comparing.notes import notes, same
from evalkit.comparing.pairing import joined
from evalkit.comparing.verdict import decide
from evalkit.comparison import Change, Comparison, Pairing, Side, TaskChange

OVERALL = None
"""Stands where a task's name would, for the mean over tasks; no name does, for a task may have any."""
Key = tuple[int, str | None, str]
"""A row: number of its draft, task or group or `OVERALL`, metric."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What losses are tolerated.

    Attributes:
        share: Of the metric's range, or of the first run's score where that has no two ends.
        of_tasks: Task or group -> its own.
    """

    share: float
    of_tasks: Mapping[str, float]

    def margin(self, name: str | None, row: Row) -> float:
        """The tolerated loss in the metric's unit; of a task, a group or `OVERALL`."""
        share = self.share if name is OVERALL else self.of_tasks.get(name, self.share)
        if row.bounds is not None and all(map(math.isfinite, row.bounds)):
            return share * (row.bounds[1] - row.bounds[0])
        return share * abs(row.estimate.before)


def settle(drafts: Sequence[Draft], alpha: float, tolerance: Tolerance) -> tuple[Comparison, ...]:
    """The comparisons, with p adjusted for all that is asked at once.

    Families of Holm's correction, each of all pairs of runs together: the roots' main metrics; the mean over tasks; the
    direct members of each group; and for the roots and each group's members the other metrics apart. A member of several
    groups is in the family of each, and has the largest p of them. The roots decide: no family answers for the others, so
    that among many groups some member may well be called changed by chance.

    Args:
        drafts: One a pair of runs.
        alpha: Level of all tests.
        tolerance: What losses are tolerated.
    """
    adjusted = _adjusted(drafts)
    return tuple(_comparison(number, one, alpha, tolerance, adjusted) for number, one in enumerate(drafts))


def _adjusted(drafts: Sequence[Draft]) -> dict[Key, tuple[float, int]]:
    """Row -> adjusted p and the number of tests in its family; of several families, in the one with the largest p."""
    from evalkit.stats.multiple import holm

    families: dict[Hashable, dict[Key, float]] = {}
    for number, one in enumerate(drafts):
        for name, rows in one.rows.items():
            for place, row in enumerate(rows):
                if row.estimate.p is not None and not row.blocked and row.estimate.n > 1:
                    for parent in _parents(one, name):
                        families.setdefault((parent, place > 0), {})[number, name, row.metric] = row.estimate.p
        if one.overall is not None and one.overall.estimate.p is not None and not one.overall.blocked:
            families.setdefault("overall", {})[number, OVERALL, one.overall.metric] = one.overall.estimate.p
    found: dict[Key, tuple[float, int]] = {}
    for family in families.values():
        for key, p in zip(family, holm(list(family.values())), strict=True):
            # in several groups, the family that asks most decides
            found[key] = max(found.get(key, (0.0, 0)), (p, len(family)))
    return found


def _parents(one: Draft, name: str) -> list[Hashable]:
    """What a row's families are named by, the same in all pairs of runs: roots, or every group that holds it."""
    if name in one.selected.roots:
        return ["roots"]
    groups = one.before.run.groups
    return [("group", group) for group in one.selected.groups if name in groups[group].tasks] or [("group", "")]


def _comparison(
    number: int, one: Draft, alpha: float, tolerance: Tolerance, adjusted: Mapping[Key, tuple[float, int]]
) -> Comparison:
    one_model = same_model(one.before.run, one.after.run)

    def change(name: str | None, row: Row, leaves: Sequence[str]) -> Change:
        p, family = adjusted.get((number, name, row.metric), (row.estimate.p, 1))
        found = change_of(
            row.estimate,
            row.metric,
            higher_is_better=row.higher_is_better,
            bounds=row.bounds,
            alpha=alpha,
            family=family,
            chance=row.chance,
            margin=tolerance.margin(name, row),
            p_adjusted=p,
            blocked=row.blocked,
        )
        identical = one_model and _same(row.estimate)
        return decide(replace(found, identical=identical, available=_available(one, leaves)), family=family)

    tasks = {}
    for name, rows in one.rows.items():
        leaves = one.before.run.leaves(name) if name in one.selected.groups else (name,)
        main, *others = (change(name, row, leaves) for row in rows)
        tasks[name] = _task_change(one, name, main, {other.metric: other for other in others})
    overall = None if one.overall is None else change(OVERALL, one.overall, tuple(one.pairs))
    return Comparison(
        before=one.before,
        after=one.after,
        alpha=alpha,
        conditions=one.conditions,
        tasks=tasks,
        roots=one.selected.roots,
        overall=overall,
        only_before=one.selected.only_before,
        only_after=one.selected.only_after,
        notes=notes(one),
        same=same(one),
    )


def _task_change(one: Draft, name: str, main: Change, others: Mapping[str, Change]) -> TaskChange:
    is_group = name in one.selected.groups
    leaves = one.before.run.leaves(name) if is_group else (name,)
    found = [one.pairs[leaf] for leaf in leaves]
    members = one.before.run.groups[name].tasks if is_group else ()
    return TaskChange(
        name=name,
        change=main,
        others=others,
        pairing=joined({leaf: one.pairs[leaf].pairing for leaf in leaves}) if is_group else found[0].pairing,
        flips=() if is_group else flips(main.metric, found[0], higher_is_better=main.higher_is_better),
        members=tuple(member for member in members if member in one.rows),
        outcomes_before=Counter(sample.outcome for pairs in found for sample in pairs.before),
        outcomes_after=Counter(sample.outcome for pairs in found for sample in pairs.after),
    )


def _available(one: Draft, tasks: Sequence[str]) -> int | None:
    """Documents that the tasks have, as far as the runs tell; None where they do not."""
    total = 0
    for task in tasks:
        sizes = [_size(side, task) for side in (one.before, one.after)]
        known = [size for size in sizes if size is not None]
        if not known:
            return None
        # documents that only one run has are of the benchmark too
        pairing: Pairing = one.pairs[task].pairing
        total += max(*known, pairing.paired + pairing.dropped)
    return total


def _size(side: Side, task: str) -> int | None:
    """Documents that a run's task has in all: of an unlimited run, or one limited to a share or to more than there are."""
    if side.origin != "evalkit":
        return None
    evaluated, limit = len(side.run.tasks[task].samples), side.run.settings.get("limit")
    if limit is None:
        return evaluated
    try:
        wanted = float(str(limit).removeprefix("first:"))
    except ValueError:
        return None
    if 0 < wanted < 1:
        return round(evaluated / wanted)
    return evaluated if evaluated < wanted else None


def _same(estimate: Estimate) -> bool:
    """Whether every document has the same score in both runs; of a single one the score says so."""
    return estimate.same or (estimate.n == 1 and estimate.difference == 0)
