"""A fine-tuning for the terminal: the outcome, what makes it doubtful, verdicts, then how it came about; files last."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from evalkit.fine_tuning import FineTuning
from evalkit.reports.changes import listed_flips, remarks
from evalkit.reports.comparison_table import _fits, print_changes, print_flips
from evalkit.reports.fine_tuning_sections import sections
from evalkit.reports.fine_tuning_words import gate_reasons, headline, reasons, verdict_rows
from evalkit.reports.tables import Section, Table
from evalkit.reports.terminal import _characters, _is_ascii
from evalkit.reports.text import visible

if TYPE_CHECKING:
    from rich.console import Console

FLIPS = 6
"""Documents listed whose answer changed."""
_CELL = 40
"""Columns of a table's cell; longer texts go on in the next line."""


def render(result: FineTuning, console: Console, folder: Path | None = None) -> None:
    """Prints what a fine-tuning did.

    Args:
        result: It.
        console: Where to print; its width, colours and character set are respected.
        folder: Where its files are, which are then named.
    """
    from rich.text import Text

    plain = _is_ascii(console)

    def line(text: str, style: str = "") -> None:
        console.print(Text(_characters(_ascii_arrows(text, plain), plain), style=style))

    line(visible(headline(result)), "bold")
    line(f"{visible(result.base)} → {visible(result.tuned)}", "dim")
    for alarm in result.alarms:
        console.print(Text.assemble(("ALARM: ", "bold red"), _characters(visible(alarm), plain)))
    if result.gate is not None:
        style = "green" if result.gate.exit_code == 0 else "bold red"
        line(f"gate: {visible(result.gate.headline())}", style)
        for text in gate_reasons(result):
            line(f"  {text}")
    if result.comparison is not None:
        console.print()
        print_changes(verdict_rows(result.comparison, result.targets), result.comparison.alpha, console, plain)
        console.print()
        for text in reasons(result):
            line(text)
        shown = listed_flips(result.comparison, FLIPS)
        if shown:
            console.print()
            total = sum(len(task.flips) for task in result.comparison.tasks.values())
            print_flips(shown, total, console, plain)
    for section in sections(result):
        _print_section(section, console, plain)
    _print_notes(result, console, plain)
    if folder is not None and result.files:
        console.print()
        for what, name in result.files.items():
            path = _characters(visible(str(folder / name)), plain)
            console.print(Text.assemble((f"{what}: ", "dim"), (path, "cyan")), soft_wrap=True)


def _ascii_arrows(text: str, plain: bool) -> str:
    return text.replace("→", "->") if plain else text


def _print_notes(result: FineTuning, console: Console, plain: bool) -> None:
    from rich.text import Text

    compared = [] if result.comparison is None else remarks(result.comparison)
    found = list(dict.fromkeys([*compared, *map(visible, result.notes)]))
    if found:
        console.print()
    for text in found:
        console.print(Text.assemble(("note: ", "yellow"), _characters(text, plain)))


def _print_section(section: Section, console: Console, plain: bool) -> None:
    from rich.text import Text

    console.print()
    console.print(Text(_characters(section.heading, plain), style="bold"))
    for line in section.lines:
        console.print(Text(_characters(line, plain)))
    for table in section.tables:
        _print_table(table, console, plain)


def _print_table(table: Table, console: Console, plain: bool) -> None:
    """The table where it has room, else a sentence a row: a number that lost its end is another number."""
    from rich import box
    from rich.table import Table as Grid
    from rich.text import Text

    has_headings = any(table.headings[:1])
    grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 0), show_header=has_headings)
    for place, heading in enumerate(table.headings):
        justify: Literal["left", "right"] = "left" if table.is_text(place) or not has_headings else "right"
        grid.add_column(_characters(heading, plain), justify=justify, overflow="fold")
    for row in table.rows:
        grid.add_row(*(Text(_characters(cell, plain)) for cell in row))
    if not has_headings or _fits(grid, console, _CELL):
        console.print(grid)
        return
    for row in table.rows:
        told = [f"{heading} {cell}" for heading, cell in zip(table.headings[1:], row[1:], strict=True) if cell]
        console.print(Text(_characters(f"{row[0]}: {', '.join(told)}", plain)))
