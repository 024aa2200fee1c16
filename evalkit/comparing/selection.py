"""Which tasks, groups and metrics of two runs are compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evalkit.comparison import FieldDifference, Side
from evalkit.errors import NotComparableError, UsageError
from evalkit.results import Run


@dataclass(frozen=True, slots=True)
class Selected:
    """What two runs share.

    Attributes:
        tasks: Task -> metrics that both have, the main one first.
        groups: Groups of the same members in both, outer ones first.
        order: Tasks and groups as the first run has them, groups before their members.
        roots: Those that are in no group.
        only_before: Tasks and groups that only the first run has.
        only_after: That only the second has.
        differences: Groups and metrics that keep something from being compared.
        left_out: What is in no group of a run, was asked for, and is none of `roots`.
    """

    tasks: dict[str, tuple[str, ...]]
    groups: tuple[str, ...]
    order: tuple[str, ...]
    roots: tuple[str, ...]
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]
    differences: tuple[FieldDifference, ...]
    left_out: tuple[str, ...]


def select(
    before: Side, after: Side, tasks: Sequence[str] | None = None, metrics: Sequence[str] | None = None
) -> Selected:
    """What is compared of two runs.

    Args:
        before: The first run.
        after: The second.
        tasks: Only these tasks and groups, with their members; None for all.
        metrics: Only these metrics, the first that a task has being its main one; None for all.

    Raises:
        UsageError: Neither run has a task or a metric that was asked for, or a task is part of a group that was too.
        NotComparableError: The runs have no task, or no metric of a task, in common.
    """
    names = [_names(side.run, tasks) for side in (before, after)]
    _check_known(before, after, tasks, metrics)
    _check_apart(before, after, tasks or ())
    differences: list[FieldDifference] = []
    common: dict[str, tuple[str, ...]] = {}
    for task in (name for name in before.run.tasks if name in names[0] and name in names[1] & after.run.tasks.keys()):
        shared = _shared_metrics(before.run, after.run, task, metrics)
        if shared:
            common[task] = shared
        else:
            have = [", ".join(side.run.tasks[task].metrics) for side in (before, after)]
            differences.append(FieldDifference("metric", have[0], have[1], (task,), blocks=True))
    groups = []
    for name in before.run.groups:
        if name not in names[0] or name not in names[1] & after.run.groups.keys():
            continue
        difference = _group_difference(before.run, after.run, name)
        if difference is not None:
            differences.append(difference)
        elif set(before.run.leaves(name)) <= common.keys():
            groups.append(name)
    if not common:
        raise _nothing(before, after, differences)
    inner = {member for name in groups for member in before.run.groups[name].tasks}
    roots = [name for name in (*groups, *common) if name not in inner]
    place = {name: position for position, name in enumerate(before.run.tasks)}
    roots.sort(key=lambda name: min(place[leaf] for leaf in _leaves(before.run, name)))
    order: dict[str, None] = {}
    for root in roots:
        _visit(before.run, root, set(groups), order)
    return Selected(
        tasks=common,
        groups=tuple(name for name in order if name in groups),
        order=tuple(order),
        roots=tuple(roots),
        only_before=_only(before.run, after.run, names[0]),
        only_after=_only(after.run, before.run, names[1]),
        differences=tuple(differences),
        left_out=_left_out((before.run, after.run), names, roots),
    )


def _left_out(runs: Sequence[Run], names: Sequence[set[str]], roots: Sequence[str]) -> tuple[str, ...]:
    """The runs' own roots, of the names asked for, that are not compared as roots."""
    found: dict[str, None] = {}
    for run, asked in zip(runs, names, strict=True):
        inner = {member for name, group in run.groups.items() if name in asked for member in group.tasks}
        found |= dict.fromkeys(name for name in (*run.groups, *run.tasks) if name in asked and name not in inner)
    return tuple(name for name in found if name not in roots)


def _names(run: Run, tasks: Sequence[str] | None) -> set[str]:
    """The tasks and groups of a run that are asked for, with their members."""
    if tasks is None:
        return {*run.tasks, *run.groups}
    found: set[str] = set()
    waiting = [name for name in tasks if name in run.tasks or name in run.groups]
    while waiting:
        name = waiting.pop()
        found.add(name)
        if name in run.groups:
            waiting += [member for member in run.groups[name].tasks if member not in found]
    return found


def _check_known(before: Side, after: Side, tasks: Sequence[str] | None, metrics: Sequence[str] | None) -> None:
    runs = (before.run, after.run)
    known = list(dict.fromkeys(name for run in runs for name in (*run.groups, *run.tasks)))
    for name in tasks or ():
        if name not in known:
            raise UsageError(f"neither run has a task {name!r}", hint=f"they have {_listed(known)}")
    have = list(dict.fromkeys(metric for run in runs for task in run.tasks.values() for metric in task.metrics))
    for name in metrics or ():
        if name not in have:
            raise UsageError(f"neither run has a metric {name!r}", hint=f"they have {_listed(have)}")


def _check_apart(before: Side, after: Side, tasks: Sequence[str]) -> None:
    """A group shows its members with it; named beside it, one would be neither a row of its own nor count in the family."""
    for name in tasks:
        inside = {one for side in (before, after) if name in side.run.groups for one in _names(side.run, [name])} - {
            name
        }
        for other in tasks:
            if other in inside:
                raise UsageError(
                    f"{other} is part of {name}", hint="name one of them: a group is compared with its members"
                )


def _shared_metrics(before: Run, after: Run, task: str, wanted: Sequence[str] | None) -> tuple[str, ...]:
    have = before.tasks[task].metrics
    order = list(have) if wanted is None else [name for name in wanted if name in have]
    return tuple(name for name in order if name in after.tasks[task].metrics)


def _group_difference(before: Run, after: Run, name: str) -> FieldDifference | None:
    """Why a group of this name is not the same group; None where it is."""
    first, second = before.groups[name], after.groups[name]
    if set(first.tasks) != set(second.tasks):
        only = [sorted(set(one.tasks) - set(other.tasks)) for one, other in ((first, second), (second, first))]
        said = [
            f"{len(one.tasks)} member{'' if len(one.tasks) == 1 else 's'}"
            + (f", alone {_listed(alone)}" if alone else "")
            for one, alone in zip((first, second), only, strict=True)
        ]
        return FieldDifference("group", said[0], said[1], (name,), blocks=True)
    if first.weighting != second.weighting:
        said = [f"weighs {one.weighting} alike" for one in (first, second)]
        return FieldDifference("group", said[0], said[1], (name,), blocks=True)
    if next(iter(first.metrics)) != next(iter(second.metrics)):
        return FieldDifference("group", next(iter(first.metrics)), next(iter(second.metrics)), (name,), blocks=True)
    return None


def _only(run: Run, other: Run, names: set[str]) -> tuple[str, ...]:
    theirs = {*other.tasks, *other.groups}
    return tuple(name for name in (*run.groups, *run.tasks) if name in names and name not in theirs)


def _leaves(run: Run, name: str) -> tuple[str, ...]:
    return run.leaves(name) if name in run.groups else (name,)


def _visit(run: Run, name: str, groups: set[str], order: dict[str, None]) -> None:
    order.setdefault(name)
    if name in groups:
        for member in run.groups[name].tasks:
            if member in groups or member in run.tasks:
                _visit(run, member, groups, order)


def _nothing(before: Side, after: Side, differences: Sequence[FieldDifference]) -> NotComparableError:
    for one in differences:
        return NotComparableError(
            f"{before.source} and {after.source} share no metric of {', '.join(one.tasks)}: "
            f"the first has {one.before}, the second {one.after}",
            hint="compare runs of the same tasks and metrics",
        )
    return NotComparableError(
        f"{before.source} and {after.source} have no task in common: the first has {_listed(list(before.run.tasks))}, "
        f"the second {_listed(list(after.run.tasks))}",
        hint="compare runs of the same tasks",
    )


def _listed(names: Sequence[str]) -> str:
    """The first eight."""
    if not names:
        return "none"
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
