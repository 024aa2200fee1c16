"""Tables of a comparison for the terminal: the columns that there is room for, and where there is too little, sentences.

A number that lost its end is another number, so nothing is ever cut: names go on in the next line, columns are left out in
the order +/-, plot, smallest visible difference, and p stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from evalkit.comparison import Flip, Verdict
from evalkit.ranking import Ranking
from evalkit.reports.changes import ChangeRow
from evalkit.reports.terminal import _characters
from evalkit.reports.text import visible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

PLOT_WIDTH = 21
NAME, SHORT_NAME = 24, 12
"""Columns from which on names may go on in the next line: to have room for more columns, and at all."""
FULL = ("n", "before", "after", "change", "interval", "+/-", "p", "visible", "plot")
COLUMNS = (FULL, FULL[:-1], FULL[:-2], (*FULL[:5], "p"))
"""What a table may show, the most first."""
STYLES = {
    Verdict.IMPROVED: "green",
    Verdict.REGRESSED: "bold red",
    Verdict.WITHIN_MARGIN: "",
    Verdict.UNDECIDED: "yellow",
    Verdict.NOT_COMPARABLE: "magenta",
}


def print_changes(rows: Sequence[ChangeRow], alpha: float, console: Console, plain: bool) -> None:
    """A row a task.

    Args:
        rows: The rows.
        alpha: Level of the intervals.
        console: Where to print.
        plain: ASCII only.
    """
    level = f"{100 * (1 - alpha):g}% interval"
    for names in COLUMNS:
        table = _changes(rows, names, level, plain)
        if _fits(table, console, SHORT_NAME if names is COLUMNS[-1] else NAME):
            console.print(table)
            return
    arrow = "->" if plain else "→"
    for row in rows:
        _print_line(f"{_name(row)}: n {row.n}, {row.before} {arrow} {row.after}, {_said(row, level)}", console, plain)


def print_pairs(pairs: Sequence[tuple[str, str, ChangeRow]], alpha: float, console: Console, plain: bool) -> None:
    """A row a pair of runs and task: labels of both, and the change."""
    level = f"{100 * (1 - alpha):g}% interval"
    names = {"from": "name", "to": "name", "task": "name"}
    table = _table(**names, change="number", **{level: "number"}, p="number", verdict="word")
    shown: tuple[str, str] | None = None
    for before, after, row in pairs:
        labels = ("", "") if shown == (before, after) else (before, after)
        shown = (before, after)
        cells = [*labels, "  " * row.depth + row.name, row.difference, row.interval, row.p, row.verdict]
        table.add_row(*_verdict_last(cells, row, plain))
    if _fits(table, console, SHORT_NAME):
        console.print(table)
        return
    for before, after, row in pairs:
        _print_line(f"{before} -> {after}, {_name(row)}: {_said(row, level)}", console, plain)


def print_standings(ranking: Ranking, console: Console, plain: bool) -> None:
    """A row a run."""
    level = "95% interval"
    mean = f"mean of {len(ranking.tasks)}"
    table = _table(rank="number", run="name", **{mean: "number", level: "number", "tied with": "name"})
    for one in ranking.standings:
        limits = "" if one.interval is None else f"{100 * one.interval[0]:.1f} to {100 * one.interval[1]:.1f}"
        cells = [str(one.rank), one.side.label, f"{100 * one.score:.1f}%", limits, ", ".join(one.ties)]
        table.add_row(*_texts(cells, plain))
    if _fits(table, console, SHORT_NAME):
        console.print(table)
        return
    for one in ranking.standings:
        limits = f", {level} {100 * one.interval[0]:.1f} to {100 * one.interval[1]:.1f}" if one.interval else ""
        ties = f", tied with {', '.join(one.ties)}" if one.ties else ""
        _print_line(f"{one.rank} {one.side.label}: {100 * one.score:.1f}%{limits}{ties}", console, plain)


def print_flips(shown: Sequence[tuple[str, Flip]], total: int, console: Console, plain: bool) -> None:
    """A row a document whose answer changed; above them, how many are shown of how many."""
    table = _table(task="name", **dict.fromkeys(("document", "", "before", "after", "cause"), "word"))
    rows = [
        [
            *(name, flip.id, "fixed" if flip.gain > 0 else "broken"),
            *(flip.outcome_before, flip.outcome_after, flip.cause.value),
        ]
        for name, flip in shown
    ]
    _print_line(f"{len(shown)} of {total:,} documents that changed", console, plain)
    for row in rows:
        table.add_row(*_texts([visible(cell) for cell in row], plain))
    if _fits(table, console, SHORT_NAME):
        console.print(table)
        return
    for name, identity, which, before, after, cause in rows:
        _print_line(f"{name} {identity}: {which}, {before} -> {after}, {cause}", console, plain)


def _changes(rows: Sequence[ChangeRow], names: Sequence[str], level: str, plain: bool) -> Table:
    kinds = {level if name == "interval" else name: "plot" if name == "plot" else "number" for name in names}
    table = _table(task="name", **kinds, verdict="word")
    scale = _scale(rows)
    for row in rows:
        texts = (row.n, row.before, row.after, row.difference, row.interval, row.moved, row.p, row.visible)
        cells = dict(zip(FULL, (*texts, _plot(row, scale, plain)), strict=True))
        arrow = " ↓" if row.lower_is_better and not plain else ""
        shown = ["  " * row.depth + row.name + arrow, *(cells[name] for name in names), row.verdict]
        table.add_row(*_verdict_last(shown, row, plain), style="bold" if row.is_group else None)
    return table


def _table(**columns: str) -> Table:
    """An empty table: heading -> what the column holds, `name` (may go on in the next line), `number`, `word` or `plot`."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 0))
    for heading, holds in columns.items():
        if holds == "name":
            table.add_column(heading, overflow="fold")
        elif holds == "plot":
            table.add_column("", no_wrap=True, width=PLOT_WIDTH)
        else:
            table.add_column(heading, justify="right" if holds == "number" else "left", no_wrap=True)
    return table


def _fits(table: Table, console: Console, name: int) -> bool:
    """Whether the table has room, names taking up to so many columns."""
    folding = [column for column in table.columns if not column.no_wrap]
    for column in folding:
        column.max_width = name
    needed = console.measure(table, options=console.options.update(width=10_000)).maximum
    for column in folding:
        column.max_width = None
    return needed <= console.width


def _said(row: ChangeRow, level: str) -> str:
    """The numbers of a change that a table has, in words."""
    known = [f"{level} {row.interval}" if row.interval else "", f"p {row.p}" if row.p else ""]
    evidence = ", ".join(text for text in known if text)
    return f"change {row.difference}" + (f" ({evidence})" if evidence else "") + f", {row.verdict}"


def _name(row: ChangeRow) -> str:
    return row.name + (" (less is better)" if row.lower_is_better else "")


def _print_line(text: str, console: Console, plain: bool) -> None:
    from rich.text import Text

    console.print(Text(_characters(visible(text), plain)))


def _verdict_last(cells: Sequence[str], row: ChangeRow, plain: bool) -> list[Text]:
    texts = _texts(cells, plain)
    texts[-1].stylize(STYLES[row.change.verdict])
    return texts


def _texts(cells: Sequence[str], plain: bool) -> list[Text]:
    from rich.text import Text

    # Text, not str: a name with brackets must not be read as markup
    return [Text(_characters(cell, plain)) for cell in cells]


def _scale(rows: Sequence[ChangeRow]) -> float:
    """The largest relative gain or limit of one, so that all rows share an axis."""
    ends = [abs(end) for row in rows for end in _gains(row)]
    return max(ends, default=0.0)


def _gains(row: ChangeRow) -> list[float]:
    """Lower limit, gain and upper limit as shares of the metric's range, or of the score before."""
    change = row.change
    limits = change.gain_interval
    if limits is None:
        return []
    unit = change.margin if change.margin else 1.0
    return [value / unit for value in (limits[0], change.gain, limits[1])]


def _plot(row: ChangeRow, scale: float, plain: bool) -> str:
    """The gain as a point on its interval, left of the zero line a loss, right of it a gain."""
    gains = _gains(row)
    if not gains or scale <= 0:
        return ""
    line, zero, crossed, dot = "-|+o" if plain else "─│┼●"
    half = PLOT_WIDTH // 2
    low, point, high = (half + round(gain / scale * half) for gain in gains)
    cells = [" "] * PLOT_WIDTH
    cells[low : high + 1] = line * (high - low + 1)
    cells[half] = crossed if low <= half <= high else zero
    cells[point] = dot
    return "".join(cells)
