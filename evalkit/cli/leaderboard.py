"""`evalkit leaderboard`: rank models by their results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.cli.output import check_outputs
from evalkit.errors import UsageError

if TYPE_CHECKING:
    from evalkit.ranking import Ranking, Standing


class Format(StrEnum):
    """What the leaderboard is written as."""

    terminal = "terminal"
    markdown = "markdown"
    csv = "csv"
    latex = "latex"
    json = "json"
    html = "html"


class By(StrEnum):
    """Which scores have columns of their own."""

    benchmark = "benchmark"
    category = "category"
    task = "task"


ENDINGS = {
    ".md": Format.markdown,
    ".csv": Format.csv,
    ".tex": Format.latex,
    ".json": Format.json,
    ".html": Format.html,
}


WHAT = {
    Format.terminal: "text",
    Format.markdown: "Markdown",
    Format.csv: "CSV",
    Format.latex: "LaTeX",
    Format.json: "JSON",
    Format.html: "HTML",
}
"""What each format is, in words."""
SAYS_ITSELF = (Format.terminal, Format.markdown)
"""Formats that tell which runs are not ranked where a reader sees it."""


def command(
    files: Annotated[list[Path], typer.Argument(metavar="RUN.json", help="Result files.", show_default=False)],
    tasks: Annotated[
        str | None,
        typer.Option(
            "--tasks", "-t", metavar="NAMES", help="Rank by these tasks or groups.  [default: all that the runs share]"
        ),
    ] = None,
    by: Annotated[
        By,
        typer.Option(help="Columns: ranked tasks and groups; groups' members (MMLU's categories); every single task."),
    ] = By.benchmark,
    sort: Annotated[
        str,
        typer.Option(
            metavar="COLUMN",
            help="Order of the rows: average, chance-corrected, name, or a column's name. Ranks stay those of the average.",
        ),
    ] = "average",
    allow: Annotated[
        str | None,
        typer.Option(
            metavar="FIELDS",
            help="Rank runs together although these differ: prompt, shots, data ..., comma-separated, or all.",
        ),
    ] = None,
    alpha: Annotated[float, typer.Option(help="Level of the tests, for all pairs together.")] = 0.05,
    output_format: Annotated[
        Format | None,
        typer.Option("--format", help="[default: by the ending of -o; else terminal]", show_default=False),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write it there; HTML needs a file.")
    ] = None,
) -> None:
    """Rank models by the mean over the tasks that all runs have, and say which cannot be told apart.

    \b
    evalkit leaderboard runs/*.json
    evalkit leaderboard runs/*.json --tasks mmlu,arc --by category
    evalkit leaderboard runs/*.json --format latex -o table.tex

    Ties come from paired tests over the documents that all runs have, not from overlapping intervals. Runs that were
    asked different questions (other prompts, shots, data) are named and not ranked with the others.
    """
    from evalkit.comparing.ranking import rank
    from evalkit.comparing.sides import load_sides

    chosen = _format(output_format, output)
    check_outputs({"-o": output}, files)
    if len(files) < 2:
        raise UsageError("a leaderboard needs at least two result files", hint="evalkit leaderboard runs/*.json")
    ranking = rank(load_sides(files), tasks=_names(tasks), by=by.value, alpha=alpha, allow=_names(allow) or ())
    for label, why in ranking.not_ranked.items() if output is not None or chosen not in SAYS_ITSELF else ():
        typer.echo(f"note: {label} is not ranked: {why}", err=True)
    _write(_sorted(ranking, sort), chosen, output)


def _names(text: str | None) -> list[str] | None:
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def _format(given: Format | None, output: Path | None) -> Format:
    if given is not None and output is not None:
        from evalkit.cli.endings import check_ending

        check_ending(output, WHAT[given], "leave --format out: the ending says it; or give the file another one")
    if given is None and output is not None:
        if output.suffix not in ENDINGS and not output.is_dir():
            raise UsageError(f"{output} has no ending that says what to write", hint="add --format, or use .md or .csv")
        return ENDINGS.get(output.suffix, Format.terminal)
    chosen = given or Format.terminal
    if chosen is Format.html and output is None:
        raise UsageError("HTML goes to a file", hint="add -o leaderboard.html")
    return chosen


def _sorted(ranking: Ranking, column: str) -> Ranking:
    """The same runs and ranks in another order."""
    if column == "average":
        return ranking
    keys: dict[str, Callable[[Standing], float | str]] = {
        "chance-corrected": lambda one: -(one.normalized_score or 0.0),
        "name": lambda one: one.side.label.casefold(),
        **{name: lambda one, name=name: -one.scores.get(name, 0.0) for name in ranking.columns},  # type: ignore[misc]
    }
    if column not in keys:
        raise UsageError(f"there is no column {column!r} to sort by", hint=f"columns are average, {', '.join(keys)}")
    return replace(ranking, standings=tuple(sorted(ranking.standings, key=keys[column])))


def _write(ranking: Ranking, chosen: Format, output: Path | None) -> None:
    from evalkit.cli.output import print_text
    from evalkit.files import write_text

    if chosen is Format.html:
        assert output is not None
        ranking.to_html(output)
    elif chosen is Format.terminal and output is None:
        from evalkit.cli.progress import standard_output
        from evalkit.reports.leaderboard import render

        render(ranking, standard_output())
        return
    elif output is None:
        print_text(_text(ranking, chosen))
        return
    else:
        write_text(output, _text(ranking, chosen))
    typer.echo(str(output))


def _text(ranking: Ranking, chosen: Format) -> str:
    from evalkit.reports.leaderboard import markdown, plain_text, ranking_csv, ranking_latex

    if chosen is Format.json:
        import json

        return json.dumps(ranking.to_json(), ensure_ascii=False, indent=1) + "\n"
    writers = {
        Format.terminal: plain_text,
        Format.markdown: markdown,
        Format.csv: ranking_csv,
        Format.latex: ranking_latex,
    }
    return writers[chosen](ranking)
