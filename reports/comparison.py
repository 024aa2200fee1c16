"""A comparison for the terminal: the verdict, the table, why, what else to know, flips; files come last."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.comparison import Comparison, Side
from evalkit.ranking import Comparisons
from evalkit.reports.changes import change_rows, listed_flips, reasons, remarks, unpaired
from evalkit.reports.comparison_table import print_changes, print_flips, print_pairs, print_standings
from evalkit.reports.terminal import _characters, _is_ascii
from evalkit.reports.text import visible

if TYPE_CHECKING:
    from rich.console import Console


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
    print_changes(change_rows(comparison, expand=expand), comparison.alpha, console, plain)
    console.print()
    for text in reasons(comparison):
        line(text)
    for text in remarks(comparison):
        console.print(Text.assemble(("note: ", "yellow"), _characters(text, plain)))
    shown = listed_flips(comparison, flips)
    if shown:
        console.print()
        print_flips(shown, sum(len(task.flips) for task in comparison.tasks.values()), console, plain)
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
        print_standings(ranking, console, plain)
        for group in ranking.tie_groups:
            if len(group) > 1:
                line(f"cannot be told apart: {', '.join(group)}")
    console.print()
    rows = [
        (pair.before.label, pair.after.label, row)
        for pair in comparisons.pairs
        for row in change_rows(pair, expand=expand)
        if row.depth == 0 or expand
    ]
    print_pairs(rows, comparisons.pairs[0].alpha, console, plain)
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


def _side(side: Side) -> str:
    model = side.run.model
    parts = [side.label, model.dtype, side.run.created[:10]]
    if side.origin != "evalkit":
        parts.append(f"written by {side.origin}")
    return visible(" ".join(part for part in parts if part))


def _ascii_sides(comparison: Comparison) -> str:
    return f"{_side(comparison.before)} -> {_side(comparison.after)}"


def _print_unpaired(comparison: Comparison, console: Console) -> None:
    from rich.text import Text

    for name, task in comparison.tasks.items():
        if task.members:
            continue
        for what, identity in unpaired(task):
            console.print(Text(visible(f"{name} {identity} {what}")), soft_wrap=True)
