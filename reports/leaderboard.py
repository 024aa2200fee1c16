"""Several runs in the order of their scores: for the terminal, as Markdown, LaTeX and CSV."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.ranking import Ranking
from evalkit.reports import latex
from evalkit.reports.csv import Cell, csv_text, side_cells
from evalkit.reports.markdown import escape
from evalkit.reports.ranking_rows import (
    AVERAGE,
    CORRECTED,
    RankingRow,
    ranking_notes,
    ranking_rows,
    shown_columns,
    tie_letters,
)
from evalkit.reports.terminal import _characters, _is_ascii
from evalkit.reports.text import visible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

BAR_WIDTH = 20


def render(ranking: Ranking, console: Console, paths: Sequence[Path] = ()) -> None:
    """Prints the table, then how to read it.

    Args:
        ranking: Runs, ranked.
        console: Where to print; its width, colours and character set are respected.
        paths: Files that were written, named last.
    """
    from rich.text import Text

    plain = _is_ascii(console)
    rows = ranking_rows(ranking)
    columns = shown_columns(ranking)
    shown = _fitting(columns, rows, console.width)
    console.print(Text(_characters(headline(ranking), plain), style="bold"))
    console.print()
    console.print(_table(columns, rows, shown, plain, width=console.width))
    console.print()
    notes = ranking_notes(ranking)
    if shown < len(columns):
        notes.insert(0, f"{len(columns) - shown} more columns in a wider terminal, or with --format csv")
    for note in notes:
        console.print(Text.assemble(("note: ", "yellow"), _characters(note, plain)))
    if paths:
        console.print()
    for path in paths:
        console.print(Text(_characters(visible(str(path)), plain), style="cyan"), soft_wrap=True)


def plain_text(ranking: Ranking) -> str:
    """What the terminal shows, without colours, 120 columns wide: for a file."""
    import io

    from rich.console import Console

    stream = io.StringIO()
    render(ranking, Console(file=stream, width=120, color_system=None, highlight=False, legacy_windows=False))
    return stream.getvalue()


def headline(ranking: Ranking) -> str:
    """Who is best, in a sentence."""
    best = ranking.standings[0]
    leaders = [one for one in ranking.standings if one.rank == 1]
    name = visible(best.side.label)
    if len(leaders) == 1:
        return f"{name} is best, beyond chance"
    if len(leaders) == len(ranking.standings):
        if len({one.score for one in leaders}) == 1:
            return "all runs have the same score"
        return f"{name} has the highest score, but no run can be told from it"
    others = len(leaders) - 1
    return f"{name} has the highest score; {others} other {'run' if others == 1 else 'runs'} may be as good"


def markdown(ranking: Ranking) -> str:
    """The ranking as a Markdown section."""
    columns = shown_columns(ranking)
    headings = [
        *("rank", "run", AVERAGE, "95 % interval", "ties", CORRECTED),
        *(escape(name) for name in columns),
    ]
    lines = [f"**{escape(headline(ranking))}**", "", _line(headings)]
    lines.append(_line(["---:", "---", "---:", "---:", "---", *["---:"] * (1 + len(columns))]))
    for row in ranking_rows(ranking):
        lines.append(_line([row.rank, escape(row.run), row.score, row.interval, row.ties, row.corrected, *row.scores]))
    lines += ["", *(f"- {escape(note)}" for note in ranking_notes(ranking))]
    return "\n".join(lines) + "\n"


def ranking_latex(ranking: Ranking) -> str:
    r"""The ranking as a `table` with booktabs' rules; the letters of ties are superscripts."""
    shown = shown_columns(ranking)
    headings = ["", "Model", "Average", r"95\,\% interval", "Corrected", *map(latex.escape, shown)]
    rows = []
    for row in ranking_rows(ranking):
        score = row.score + (rf"\textsuperscript{{{row.ties}}}" if row.ties else "")
        cells = [row.rank, latex.escape(row.run), score, latex.number(row.interval), row.corrected, *row.scores]
        rows.append(cells)
    single = len(ranking.tasks) == 1
    what = latex.escape(ranking.tasks[0]) if single else f"{len(ranking.tasks)} tasks"
    caption = (
        rf"{'Score of ' if single else 'Mean over '}{what} in percent, {ranking.n:,} documents. Models that share a letter "
        rf"are not told apart by paired tests (Holm, $\alpha = {ranking.alpha:g}$). "
        r"Corrected: mean of $(s - c) / (1 - c)$ with chance $c$, negative values as 0."
    )
    columns = "rlrrr" + "r" * len(shown)
    return latex.render(latex.Table(columns, headings, rows, caption, "tab:leaderboard"))


def ranking_csv(ranking: Ranking) -> str:
    """The ranking as CSV, unrounded: a row a run; runs that could not be ranked come last, without a rank."""
    letters = tie_letters(ranking)
    rows: list[Mapping[str, Cell]] = []
    for one in ranking.standings:
        low, high = one.interval if one.interval is not None else (None, None)
        rows.append(
            {
                "rank": one.rank,
                **side_cells(one.side),
                AVERAGE: one.score,
                "ci95_low": low,
                "ci95_high": high,
                "average_chance_corrected": one.normalized_score,
                "n": ranking.n,
                "tie_letters": letters[one.side.label],
                "not_told_from": "; ".join(one.ties),
                **{f"score: {name}": value for name, value in one.scores.items()},
                **{f"chance_corrected: {name}": value for name, value in one.normalized.items()},
                "not_ranked_because": None,
            }
        )
    rows += [{"run": label, "not_ranked_because": why} for label, why in ranking.not_ranked.items()]
    return csv_text(rows)


def _table(columns: Sequence[str], rows: Sequence[RankingRow], shown: int, plain: bool, width: int) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 0))
    table.add_column("rank", justify="right", no_wrap=True)
    table.add_column("run", overflow="fold", min_width=10)
    table.add_column(AVERAGE, justify="right", no_wrap=True)
    table.add_column("95% interval", justify="right", no_wrap=True)
    table.add_column("ties", no_wrap=True)
    corrected = any(row.corrected for row in rows)
    if corrected:
        table.add_column("chance-\ncorrected", justify="right", no_wrap=True)
    for name in columns[:shown]:
        table.add_column(Text(_characters(visible(name), plain)), justify="right", overflow="fold", min_width=5)
    room = width - _fixed(rows) - sum(map(_column_width, columns))
    wide = shown == len(columns) and room >= BAR_WIDTH + 2
    if wide:
        table.add_column("", no_wrap=True, width=BAR_WIDTH)
    for row in rows:
        cells = [row.rank, row.run, row.score, row.interval, row.ties]
        cells += [*([row.corrected] if corrected else []), *row.scores[:shown]]
        bar = ["█" * round((row.share or 0.0) * BAR_WIDTH)] if wide else []
        table.add_row(*(Text(_characters(cell, plain)) for cell in [*cells, *bar]))
    return table


def _fitting(columns: Sequence[str], rows: Sequence[RankingRow], width: int) -> int:
    """How many of the columns fit into a line."""
    room = width - _fixed(rows)
    shown = 0
    for name in columns:
        room -= _column_width(name)
        if room < 0:
            break
        shown += 1
    return shown


def _fixed(rows: Sequence[RankingRow]) -> int:
    """Width of the columns that are always there: rank, run, average, interval, ties, corrected."""
    label = min(30, max(10, *(len(row.run) for row in rows)))
    return 5 + label + 1 + 8 + 13 + max(5, *(len(row.ties) + 1 for row in rows)) + 9


def _column_width(name: str) -> int:
    return 1 + max(5, min(len(name), 14))


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
