"""A run as a table for the terminal: readable at 80 columns, without colour and in a log file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.reports.notes import notes
from evalkit.reports.rows import ScoreRow, score_rows
from evalkit.reports.text import visible
from evalkit.results import ModelInfo, Run

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

BAR_WIDTH = 20
WIDE = 104
"""Columns from which on there is room for bars."""


def render(run: Run, console: Console, paths: Sequence[Path] = (), *, expand: bool = False) -> None:
    """Prints a run: the model, a row for each task and metric, notes, and where the files are.

    Args:
        run: Finished run.
        console: Where to print; its width, colours and character set are respected.
        paths: Files that were written, named last.
        expand: Show the members of large groups (MMLU's subjects) too.
    """
    from rich.text import Text

    plain = _is_ascii(console)
    rows = score_rows(run, expand=expand)
    console.print(Text(_characters(_model_line(run.model, run.environment.get("workers")), plain), style="bold"))
    console.print()
    console.print(_table(rows, bars=console.width >= WIDE, plain=plain))
    remarks = notes(run)
    if any(row.lower_is_better for row in rows) and not plain:
        remarks.append("↓ less is better")
    if remarks:
        console.print()
    for remark in remarks:
        console.print(Text.assemble(("note: ", "yellow"), _characters(remark, plain)))
    if paths:
        console.print()
    for path in paths:
        # a wrapped path cannot be copied
        console.print(Text(_characters(visible(str(path)), plain), style="cyan"), soft_wrap=True)


def _model_line(model: ModelInfo, workers: object) -> str:
    parts = [model.name]
    if model.adapter:
        parts.append(f"adapter {model.adapter}")
    if model.parameters is not None:
        parts.append(f"{_count(model.parameters)} parameters")
    parts.append(model.dtype)
    parts.append(model.source + (f" at {model.revision[:12]}" if model.revision else ""))
    if isinstance(workers, int) and workers > 1:
        parts.append(f"{workers} workers")
    return visible(", ".join(parts))


def _count(number: int) -> str:
    for size, unit in ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "K")):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return str(number)


def _table(rows: Sequence[ScoreRow], *, bars: bool, plain: bool) -> Table:
    from rich import box
    from rich.table import Table

    # between columns the box puts a space of its own
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1 if bars else 0))
    table.add_column("task", overflow="fold", min_width=12)
    for heading in ("v", "shots", "n"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("metric", overflow="fold", min_width=8)
    seeds = any(row.spread for row in rows)
    for heading in ("value", "95% interval", *(["seeds"] if seeds else []), "chance"):
        table.add_column(heading, justify="right", no_wrap=True)
    if bars:
        table.add_column("", no_wrap=True, width=BAR_WIDTH)
    for row in rows:
        table.add_row(*_cells(row, bars, plain, seeds), style="bold" if row.is_group else None)
    return table


def _cells(row: ScoreRow, bars: bool, plain: bool, seeds: bool) -> list[Text]:
    from rich.text import Text

    metric = row.metric + (" ↓" if row.lower_is_better else "")
    texts = ["  " * row.depth + row.name, row.version, row.shots, row.n, metric, row.value, row.interval]
    texts += [*([row.spread] if seeds else []), row.chance]
    # Text, not str: a name with brackets must not be read as markup
    cells = [Text(_characters(text, plain)) for text in texts]
    return [*cells, Text(_characters(_bar(row), plain), style="cyan")] if bars else cells


def _bar(row: ScoreRow) -> str:
    """The score as a bar in eighths of a character, the chance level as a line across it."""
    if row.share is None:
        return ""
    eighths = round(row.share * BAR_WIDTH * 8)
    bar = "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()
    if row.chance_share is not None and 0 < row.chance_share < 1:
        mark = min(int(row.chance_share * BAR_WIDTH), BAR_WIDTH - 1)
        bar = bar.ljust(mark + 1)
        bar = f"{bar[:mark]}│{bar[mark + 1 :]}"
    return bar


def _characters(text: str, plain: bool) -> str:
    """The text in what the output's character set can hold: where that is not Unicode, in ASCII."""
    if not plain:
        return text
    simple = (
        text.replace("–", "-").replace("↓", "(less is better)").replace("±", "+-").replace("│", "|").replace("█", "#")
    )
    for partial in "▏▎▍▌▋▊▉":
        simple = simple.replace(partial, "#" if partial in "▌▋▊▉" else "")
    return simple.encode("ascii", "backslashreplace").decode()


def _is_ascii(console: Console) -> bool:
    return not console.encoding.lower().startswith("utf")
