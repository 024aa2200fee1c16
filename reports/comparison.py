"""A comparison for the terminal: the verdict, the table, why, what else to know, flips; files come last."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.comparison import Comparison, Comparisons, Flip, Ranking, Side, Verdict
from evalkit.reports.changes import ChangeRow, change_rows, listed_flips, reasons, remarks, unpaired
from evalkit.reports.terminal import _characters, _is_ascii
from evalkit.reports.text import visible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

WIDE = 118
"""Columns from which on there is room for the plot, p and the smallest visible difference."""
PLOT_WIDTH = 21
STYLES = {
    Verdict.IMPROVED: "green",
    Verdict.REGRESSED: "bold red",
    Verdict.WITHIN_MARGIN: "",
    Verdict.UNDECIDED: "yellow",
    Verdict.NOT_COMPARABLE: "magenta",
}


def render(
    comparison: Comparison,
    console: Console,
    paths: Sequence[Path] = (),
    *,
    expand: bool = False,
    flips: int = 10,
    list_unpaired: bool = False,
) -> None:
    """Prints two runs side by side.

    Args:
        comparison: Two runs.
        console: Where to print; its width, colours and character set are respected.
        paths: Files that were written, named last.
        expand: Show the members of large groups too.
        flips: Documents listed at most.
        list_unpaired: List the documents that are in no pair.
    """
    from rich.text import Text

    plain = _is_ascii(console)

    def line(text: str, style: str = "") -> None:
        console.print(Text(_characters(text, plain), style=style))

    line(visible(comparison.headline()), "bold")
    line(f"{_side(comparison.before)} → {_side(comparison.after)}" if not plain else _ascii_sides(comparison), "dim")
    console.print()
    console.print(_table(change_rows(comparison, expand=expand), comparison, console.width, plain))
    console.print()
    for text in reasons(comparison):
        line(text)
    for text in remarks(comparison):
        console.print(Text.assemble(("note: ", "yellow"), _characters(text, plain)))
    shown = listed_flips(comparison, flips)
    if shown:
        console.print()
        console.print(_flips(comparison, shown, plain))
    if list_unpaired:
        _print_unpaired(comparison, console)
    if paths:
        console.print()
    for path in paths:
        # a wrapped path cannot be copied
        console.print(Text(_characters(visible(str(path)), plain), style="cyan"), soft_wrap=True)


def render_all(comparisons: Comparisons, console: Console, paths: Sequence[Path] = (), *, expand: bool = False) -> None:
    """Prints several runs: their ranking, every pair's verdicts, and what to know of it."""
    from rich.text import Text

    plain = _is_ascii(console)
    arrow = "->" if plain else "→"

    def line(text: str, style: str = "") -> None:
        console.print(Text(_characters(visible(text), plain), style=style))

    ranking = comparisons.ranking
    if ranking is None:
        line(f"no ranking: {comparisons.unranked}", "bold")
    else:
        best = ranking.standings[0]
        rivals = f", tied with {', '.join(best.ties)}" if best.ties else ""
        line(f"best of {len(ranking.standings)}: {best.side.label}{rivals}", "bold")
        console.print()
        console.print(_standings(ranking, plain))
        for group in ranking.tie_groups:
            if len(group) > 1:
                line(f"cannot be told apart: {', '.join(group)}")
    console.print()
    console.print(_pairs(comparisons, plain, expand))
    for pair in comparisons.pairs:
        found = remarks(pair)
        if found:
            line(f"{pair.before.label} {arrow} {pair.after.label}")
        for text in found:
            console.print(Text.assemble(("  note: ", "yellow"), _characters(text, plain)))
    if paths:
        console.print()
    for path in paths:
        console.print(Text(_characters(visible(str(path)), plain), style="cyan"), soft_wrap=True)


def _pairs(comparisons: Comparisons, plain: bool, expand: bool) -> Table:
    """A row a pair and root: differences with p adjusted for all pairs."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 0))
    table.add_column("from", overflow="fold")
    table.add_column("to", overflow="fold")
    table.add_column("task", overflow="fold", min_width=10)
    for heading in ("change", "interval", "p"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for pair in comparisons.pairs:
        labels = [pair.before.label, pair.after.label]
        for row in change_rows(pair, expand=expand):
            if row.depth == 0 or expand:
                texts = _texts(
                    [*labels, "  " * row.depth + row.name, row.difference, row.interval, row.p, row.verdict], plain
                )
                texts[-1].stylize(STYLES[row.change.verdict])
                table.add_row(*texts)
                labels = ["", ""]
    return table


def _standings(ranking: Ranking, plain: bool) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1))
    table.add_column("rank", justify="right")
    table.add_column("run", overflow="fold", min_width=8)
    for heading in (f"mean of {len(ranking.tasks)}", "95% interval"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("tied with", overflow="fold")
    for one in ranking.standings:
        limits = "" if one.interval is None else f"{100 * one.interval[0]:.1f} to {100 * one.interval[1]:.1f}"
        cells = [str(one.rank), one.side.label, f"{100 * one.score:.1f}%", limits, ", ".join(one.ties)]
        table.add_row(*_texts(cells, plain))
    return table


def _side(side: Side) -> str:
    model = side.run.model
    parts = [side.label, model.dtype, side.run.created[:10]]
    if side.origin != "evalkit":
        parts.append(f"written by {side.origin}")
    return visible(" ".join(part for part in parts if part))


def _ascii_sides(comparison: Comparison) -> str:
    return f"{_side(comparison.before)} -> {_side(comparison.after)}"


def _table(rows: Sequence[ChangeRow], comparison: Comparison, width: int, plain: bool) -> Table:
    from rich import box
    from rich.table import Table

    wide = width >= WIDE
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 0))
    table.add_column("task", overflow="fold", min_width=12)
    level = f"{100 * (1 - comparison.alpha):g}% interval"
    columns = ["n", "before", "after", "change", level, "+/-"]
    for heading in columns + (["p", "visible"] if wide else []):
        # what is too long for its column goes on in the next line: a number that lost its end is another number
        table.add_column(heading, justify="right", no_wrap=heading != level, overflow="fold")
    if wide:
        table.add_column("", no_wrap=True, width=PLOT_WIDTH)
    table.add_column("verdict", no_wrap=True)
    scale = _scale(rows)
    for row in rows:
        arrow = " ↓" if row.lower_is_better and not plain else ""
        cells = [
            "  " * row.depth + row.name + arrow,
            row.n,
            row.before,
            row.after,
            row.difference,
            row.interval,
            row.moved,
        ]
        cells += [row.p, row.visible, _plot(row, scale, plain)] if wide else []
        texts = _texts([*cells, row.verdict], plain)
        texts[-1].stylize(STYLES[row.change.verdict])
        table.add_row(*texts, style="bold" if row.is_group else None)
    return table


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


def _flips(comparison: Comparison, shown: Sequence[tuple[str, Flip]], plain: bool) -> Table:
    from rich import box
    from rich.table import Table

    total = sum(len(task.flips) for task in comparison.tasks.values())
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 0))
    table.add_column(f"{len(shown)} of {total:,} that changed", overflow="fold", min_width=12)
    for heading in ("document", "", "before", "after", "cause"):
        table.add_column(heading, no_wrap=True, overflow="fold")
    for name, flip in shown:
        which = "fixed" if flip.gain > 0 else "broken"
        cells = [name, flip.id, which, flip.outcome_before, flip.outcome_after, flip.cause.value]
        table.add_row(*_texts([visible(cell) for cell in cells], plain))
    return table


def _print_unpaired(comparison: Comparison, console: Console) -> None:
    from rich.text import Text

    for name, task in comparison.tasks.items():
        if task.members:
            continue
        for what, identity in unpaired(task):
            console.print(Text(visible(f"{name} {identity} {what}")), soft_wrap=True)
