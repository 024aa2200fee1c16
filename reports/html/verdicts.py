"""Verdicts and rows of a comparison, in the order and the words of the page."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from evalkit.comparison import Change, Comparison, TaskChange, Verdict
from evalkit.reports.html import figures
from evalkit.reports.html.forest import ForestRow
from evalkit.reports.html.room import PLOT_ROWS, TABLE_ROWS, most
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
    moved: str
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
    """A change as a line of the table; what cannot be compared has its two scores and no difference."""
    percent = share(change)
    compared = change.verdict is not Verdict.NOT_COMPARABLE
    numbers = {
        "n": float(change.n),
        "before": change.before,
        "after": change.after,
        "difference": change.gain if compared else 0.0,
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
        difference=figures.difference(change.difference, percent) if compared else "",
        interval=figures.difference_limits(change.interval, percent) if compared else "",
        moved=f"{figures.count(change.fixed)} / {figures.count(change.broken)}" if compared else "",
        p=figures.probability(change.p_adjusted) if compared else "",
        detectable=""
        if change.detectable is None or not compared
        else figures.difference(change.detectable, percent).lstrip("+"),
        kind=KIND[change.verdict],
        verdict=change.word,
        reason=re.sub(r"(?<![\w.])-(?=\d)", figures.MINUS, visible(change.reason)),
        sort=numbers,
    )


@dataclass(frozen=True, slots=True)
class Panel:
    """A plot of differences that have one unit.

    Attributes:
        metric: The metric's name; empty for all that are in percent.
        lower_is_better: Its direction.
        is_relative: Whether differences are log ratios, after to before, in percent.
        rows: Siblings sorted by effect; of very many those that were decided, then the largest differences.
        total: How many there are.
    """

    metric: str
    lower_is_better: bool
    is_relative: bool
    rows: list[ForestRow]
    total: int = 0


def panels(comparison: Comparison, words: Mapping[str, str] | None = None) -> list[Panel]:
    """Metrics in percent share a plot; each of the others has one, for it has a unit of its own.

    What cannot be compared is in none.

    Args:
        comparison: Two runs.
        words: Verdict -> what to call it, where that is not its own name.
    """
    found: dict[str, Panel] = {}
    for row, change in _forest_rows(comparison, words or {}):
        if change.verdict is Verdict.NOT_COMPARABLE:
            continue
        key = "" if share(change) else change.metric
        panel = Panel(key, bool(key) and not change.higher_is_better, is_relative(change), [])
        found.setdefault(key, panel).rows.append(row)
    return [
        replace(panel, rows=most(panel.rows, PLOT_ROWS, _weight), total=len(panel.rows)) for panel in found.values()
    ]


WHICH = "groups, then what improved or regressed, then the largest differences"


def _weight(row: ForestRow) -> tuple[float, ...]:
    return float(row.is_group), float(row.kind in ("better", "worse")), abs(row.value)


def shown_rows(rows: list[ChangeRow]) -> list[ChangeRow]:
    """Those that a page has room for."""
    return most(
        rows,
        TABLE_ROWS,
        lambda row: (float(row.is_group), float(row.kind in ("better", "worse")), abs(row.sort["difference"])),
    )


def is_relative(change: Change) -> bool:
    """Whether its difference is shown as a ratio: perplexities of two texts may be a thousandfold apart."""
    return "perplexity" in change.metric and min(change.before, change.after) > 0


def _forest_rows(comparison: Comparison, words: Mapping[str, str]) -> Iterator[tuple[ForestRow, Change]]:
    overall = comparison.overall
    if overall is not None:
        yield _forest_row(MEAN, 0, True, overall, words), overall
    yield from _forest_branch(comparison, comparison.roots, 0, words)


def _forest_branch(
    comparison: Comparison, names: tuple[str, ...], depth: int, words: Mapping[str, str]
) -> Iterator[tuple[ForestRow, Change]]:
    known = [name for name in names if name in comparison.tasks]
    for name in sorted(known, key=lambda one: -comparison.tasks[one].change.gain):
        task = comparison.tasks[name]
        yield _forest_row(name, depth, bool(task.members), task.change, words), task.change
        if not is_large(comparison, task):
            yield from _forest_branch(comparison, task.members, depth + 1, words)


def _forest_row(name: str, depth: int, is_group: bool, change: Change, words: Mapping[str, str]) -> ForestRow:
    """A row with the difference as the table has it, its sign too."""
    percent = share(change)
    relative = is_relative(change)
    word = words.get(change.verdict.value, change.word)
    if relative:
        value, limits, margin = _log_ratio(change)
        shown, ends = (
            f"{figures.difference(value / 100, True)}%",
            figures.difference_limits(None if limits is None else (limits[0] / 100, limits[1] / 100), True),
        )
    else:
        scale = 100 if percent else 1
        value, margin = scale * change.difference, scale * change.margin
        limits = None if change.interval is None else (scale * change.interval[0], scale * change.interval[1])
        shown, ends = (
            figures.difference(change.difference, percent),
            figures.difference_limits(change.interval, percent),
        )
    unit = " points" if percent else f" in {change.metric}"
    about = f"{name}: {shown}{unit}" + (f", interval {ends}" if ends else "")
    if not percent:
        about += f", {figures.score(change.before, False)} to {figures.score(change.after, False)}"
    return ForestRow(
        name=name,
        depth=depth,
        is_group=is_group,
        value=value,
        limits=limits,
        kind=KIND[change.verdict],
        text=f"{shown}  {word}",
        short=shown,
        about=f"{about}, {figures.count(change.n)} documents, {word}",
        margin=margin if change.margin else None,
    )


def _log_ratio(change: Change) -> tuple[float, tuple[float, float] | None, float]:
    """100 ln(after / before), its limits, and the margin as the ratio that it is of the first run's score.

    The limits are those of the difference in the same proportion, so that they hold 0 just where those of the difference do.
    """
    value = 100 * math.log(change.after / change.before)
    margin = 100 * math.log1p(change.margin / change.before)
    if change.interval is None or change.difference == 0:
        scale = 100 / change.after
    else:
        scale = value / change.difference
    limits = None if change.interval is None else (scale * change.interval[0], scale * change.interval[1])
    return value, limits, margin
