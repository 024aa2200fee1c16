"""Verdicts and rows of a comparison, in the order and the words of the page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from evalkit.comparison import Change, Comparison, TaskChange, Verdict
from evalkit.reports.html import figures
from evalkit.reports.html.forest import ForestRow
from evalkit.reports.rows import FOLDED_FROM
from evalkit.reports.text import visible

KIND = {
    Verdict.IMPROVED: "better",
    Verdict.REGRESSED: "worse",
    Verdict.WITHIN_MARGIN: "within",
    Verdict.UNDECIDED: "undecided",
    Verdict.NOT_COMPARABLE: "none",
}
"""Verdict -> class of its mark."""


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """One line of the table of differences, each cell as text; `sort` has the numbers that columns are sorted by."""

    name: str
    parent: str
    depth: int
    is_group: bool
    metric: str
    lower_is_better: bool
    n: str
    before: str
    after: str
    difference: str
    interval: str
    fixed: str
    broken: str
    p: str
    detectable: str
    kind: str
    verdict: str
    reason: str
    sort: dict[str, float]


def share(change: Change) -> bool:
    """Whether a metric is shown in percent, its difference in points."""
    return figures.is_share(change.bounds, change.higher_is_better, change.before, change.after)


def tree(comparison: Comparison) -> Iterator[tuple[str, str, int]]:
    """(name, parent, depth) of every task and group, each beneath the group it is in; the parent of a root is empty."""
    for root in comparison.roots:
        yield from _branch(comparison, root, "", 0)


def _branch(comparison: Comparison, name: str, parent: str, depth: int) -> Iterator[tuple[str, str, int]]:
    yield name, parent, depth
    for member in comparison.tasks[name].members:
        if member in comparison.tasks:
            yield from _branch(comparison, member, name, depth + 1)


def is_large(comparison: Comparison, task: TaskChange) -> bool:
    """Whether a group stands for its members in a plot: many tasks, no groups among them."""
    members = [comparison.tasks[name] for name in task.members if name in comparison.tasks]
    return len(members) > FOLDED_FROM and not any(member.members for member in members)


MEAN = "mean over tasks"
"""Name of the row of the mean; no task's name has spaces."""


def table(comparison: Comparison) -> list[ChangeRow]:
    """The mean over tasks, where there is one, then the main metric of every task and group."""
    overall = comparison.overall
    mean = [] if overall is None else [change_row(MEAN, "", 0, True, overall)]
    return mean + [
        change_row(name, parent, depth, bool(comparison.tasks[name].members), comparison.tasks[name].change)
        for name, parent, depth in tree(comparison)
    ]


def other_rows(comparison: Comparison) -> list[ChangeRow]:
    """The other metrics of every task and group."""
    return [
        change_row(name, parent, 0, bool(comparison.tasks[name].members), change)
        for name, parent, _ in tree(comparison)
        for change in comparison.tasks[name].others.values()
    ]


def change_row(name: str, parent: str, depth: int, is_group: bool, change: Change) -> ChangeRow:
    """A change as a line of the table."""
    percent = share(change)
    numbers = {
        "n": float(change.n),
        "before": change.before,
        "after": change.after,
        "difference": change.gain,
        "p": 2.0 if change.p_adjusted is None else change.p_adjusted,
        "detectable": -1.0 if change.detectable is None else change.detectable,
    }
    return ChangeRow(
        name=visible(name),
        parent=visible(parent),
        depth=depth,
        is_group=is_group,
        metric=visible(change.metric),
        lower_is_better=not change.higher_is_better,
        n=figures.count(change.n),
        before=figures.score(change.before, percent),
        after=figures.score(change.after, percent),
        difference=figures.difference(change.difference, percent),
        interval=figures.difference_limits(change.interval, percent),
        fixed=figures.count(change.fixed),
        broken=figures.count(change.broken),
        p=figures.probability(change.p_adjusted),
        detectable="" if change.detectable is None else figures.difference(change.detectable, percent).lstrip("+"),
        kind=KIND[change.verdict],
        verdict=change.verdict.value,
        reason=re.sub(r"(?<![\w.])-(?=\d)", figures.MINUS, visible(change.reason)),
        sort=numbers,
    )


def forest_rows(comparison: Comparison, *, percent: bool) -> list[ForestRow]:
    """Rows of the plot of gains, siblings sorted by effect; either the metrics in percent or the others."""
    rows = []
    if percent and comparison.overall is not None:
        rows.append(_forest_row(MEAN, 0, True, comparison.overall))
    return rows + list(_forest_branch(comparison, comparison.roots, 0, percent))


def _forest_branch(comparison: Comparison, names: tuple[str, ...], depth: int, percent: bool) -> Iterator[ForestRow]:
    known = [name for name in names if name in comparison.tasks]
    for name in sorted(known, key=lambda one: -comparison.tasks[one].change.gain):
        task = comparison.tasks[name]
        if share(task.change) == percent:
            yield _forest_row(name, depth, bool(task.members), task.change)
        if not is_large(comparison, task):
            yield from _forest_branch(comparison, task.members, depth + 1, percent)


def _forest_row(name: str, depth: int, is_group: bool, change: Change) -> ForestRow:
    percent = share(change)
    scale = 100 if percent else 1
    limits = change.gain_interval
    word = change.verdict.value
    gain = figures.difference(change.gain, percent)
    ends = figures.difference_limits(limits, percent)
    about = f"{name}: {gain}{' points' if percent else ''}"
    about += f", interval {ends}" if ends else ""
    about += f", {figures.count(change.n)} documents, {word}"
    return ForestRow(
        name=name,
        depth=depth,
        is_group=is_group,
        value=scale * change.gain,
        limits=None if limits is None else (scale * limits[0], scale * limits[1]),
        kind=KIND[change.verdict],
        text=f"{gain}  {word}",
        short=gain,
        about=about,
        margin=scale * change.margin if change.margin else None,
    )
