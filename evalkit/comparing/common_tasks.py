"""Which tasks several runs can be ranked by, and which runs answer the same questions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from evalkit.comparing.conditions import conditions
from evalkit.comparing.pairing import pair
from evalkit.comparison import Side
from evalkit.errors import UsageError
from evalkit.results import MetricValue, Run


@dataclass(frozen=True, slots=True)
class Common:
    """What several runs have in common.

    Attributes:
        names: Tasks and groups that all runs have, none within another.
        missing: Label -> tasks or groups of the other runs that it lacks.
    """

    names: tuple[str, ...]
    missing: Mapping[str, tuple[str, ...]]


def common_tasks(sides: Sequence[Side]) -> Common:
    """The outermost tasks and groups that all runs have; of a group that not all have, its members."""
    names: dict[str, None] = {}
    missing: dict[str, list[str]] = {}
    for side in sides:
        for root in roots(side.run):
            names.update(dict.fromkeys(_shared(root, side.run, sides)))
    inner = {member for name in names for side in sides for member in _inside(side.run, name)}
    for name in dict.fromkeys(root for side in sides for root in roots(side.run)):
        for side in sides:
            if not has(side.run, name):
                missing.setdefault(side.label, []).append(name)
    return Common(
        tuple(name for name in names if name not in inner), {label: tuple(them) for label, them in missing.items()}
    )


def wanted_tasks(sides: Sequence[Side], names: Sequence[str]) -> tuple[str, ...]:
    """The tasks that the user names, which every run must have.

    Raises:
        UsageError: A run lacks one, or one is within another.
    """
    for name in names:
        for side in sides:
            if not has(side.run, name):
                known = ", ".join([*side.run.groups, *side.run.tasks][:12])
                raise UsageError(f"{side.source} has no task or group {name}", hint=f"it has {known}")
            if nested := sorted(set(_inside(side.run, name)) & set(names)):
                raise UsageError(f"{nested[0]} is part of {name}", hint="name one of them: it would count twice")
    return tuple(dict.fromkeys(names))


def roots(run: Run) -> list[str]:
    """Tasks and groups that are in no group, in the run's order."""
    inner = {member for group in run.groups.values() for member in group.tasks}
    return [name for name in (*run.groups, *run.tasks) if name not in inner]


def has(run: Run, name: str) -> bool:
    """Whether the run has a task or group of the name."""
    return name in run.tasks or name in run.groups


def leaves(run: Run, name: str) -> tuple[str, ...]:
    """The tasks that a task or group stands for."""
    return run.leaves(name) if name in run.groups else (name,)


def main_metric(run: Run, name: str) -> tuple[str, MetricValue]:
    """A task's or group's main metric."""
    result = run.groups[name] if name in run.groups else run.tasks[name]
    return next(iter(result.metrics.items()))


def is_share(value: MetricValue) -> bool:
    """Whether a score goes from 0 to 1 and more is better, so that a mean over tasks has a meaning."""
    if value.bounds is not None:
        return value.higher_is_better and value.bounds == (0.0, 1.0)
    return value.higher_is_better and all(0 <= end <= 1 for end in (value.value, *(value.ci95 or ())))


def _shared(name: str, run: Run, sides: Sequence[Side]) -> Iterator[str]:
    if all(has(side.run, name) for side in sides):
        yield name
    elif name in run.groups:
        for member in run.groups[name].tasks:
            yield from _shared(member, run, sides)


def _inside(run: Run, name: str) -> Iterator[str]:
    for member in run.groups[name].tasks if name in run.groups else ():
        yield member
        yield from _inside(run, member)


def comparable(
    sides: Sequence[Side], names: Sequence[str] | None, allowed: frozenset[str]
) -> tuple[tuple[Side, ...], dict[str, str]]:
    """The largest set of runs that answer the same questions, and why the others do not.

    Each run is held against the first of each set that was found before it; of sets of the same size the first one counts.

    Args:
        sides: The runs.
        names: Tasks and groups that count; None for all that two runs share.
        allowed: Blocking fields that the user allows.

    Returns:
        The runs in their order, and label -> what is different.
    """
    sets: list[list[Side]] = []
    for side in sides:
        for one in sets:
            if not _blocking(one[0].run, side.run, names, allowed):
                one.append(side)
                break
        else:
            sets.append([side])
    chosen = max(sets, key=len)
    return tuple(chosen), {
        side.label: "; ".join(_blocking(chosen[0].run, side.run, names, allowed))
        for one in sets
        for side in one
        if one is not chosen
    }


def _blocking(first: Run, second: Run, names: Sequence[str] | None, allowed: frozenset[str]) -> list[str]:
    """What makes two runs answer different questions, in words."""
    tasks = [task for task in first.tasks if task in second.tasks]
    if names is not None:
        wanted = {task for name in names for task in leaves(first, name)}
        tasks = [task for task in tasks if task in wanted]
    pairs = {task: pair(first.tasks[task], second.tasks[task]) for task in tasks}
    metrics = {task: main_metric(first, task)[0] for task in tasks}
    unlike = [task for task in tasks if metrics[task] not in second.tasks[task].metrics]
    found = [f"{task} has no {metrics[task]}" for task in unlike]
    pairs = {task: one for task, one in pairs.items() if task not in unlike}
    for one in conditions(first, second, pairs, metrics, allowed):
        if one.blocks and not one.allowed:
            where = f" ({', '.join(one.tasks[:3])}{' ...' if len(one.tasks) > 3 else ''})" if one.tasks else ""
            found.append(f"{one.field} {one.after}, not {one.before}{where}")
    return found
