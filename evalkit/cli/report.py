"""`evalkit report`: a result, or what changed between two, in other formats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.cli.output import check_outputs
from evalkit.errors import UsageError

if TYPE_CHECKING:
    from evalkit.comparison import Comparison, Side

FORMATS: Mapping[str, str] = {
    "html": ".html",
    "md": ".md",
    "junit": ".junit.xml",
    "csv": ".csv",
    "latex": ".tex",
    "json": ".comparison.json",
}
"""Format -> ending of its file."""
WHAT = {"html": "HTML", "md": "Markdown", "junit": "XML", "csv": "CSV", "latex": "LaTeX", "json": "JSON"}
"""Format -> what it is, in words."""
OTHER_NAMES = {"markdown": "md", "tex": "latex", "xml": "junit"}


def command(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="RUN.json [TUNED.json]", help="One result, or two to compare.", show_default=False),
    ],
    formats: Annotated[
        str,
        typer.Option(
            "--format", "-f", metavar="NAMES", help="Comma-separated: html, md, junit, csv, latex; json of two."
        ),
    ] = "html",
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE|DIR/",
            help="A file for one format; a folder, or a name without ending, for several.  [default: beside the result]",
        ),
    ] = None,
    expand: Annotated[bool, typer.Option("--expand", help="Every subject of a group in the tables.")] = False,
) -> None:
    """Write a result, or a comparison of two, in other formats.

    \b
    evalkit report base.json --format html,md,junit,csv,latex
    evalkit report base.json --format csv -o scores.csv
    evalkit report base.json tuned.json --format html,md -o reports/

    The files stand beside the result unless -o says otherwise; their names are printed. Of two results, the second is
    compared with the first, as `evalkit compare` does.
    """
    if len(files) > 2:
        raise UsageError(
            f"{len(files)} result files were given", hint="give one, or two; `evalkit leaderboard` ranks more"
        )
    names = _formats(formats)
    if len(files) == 1 and "json" in names:
        raise UsageError(f"{files[0]} is a result in JSON already", hint="leave json out, or give two results")
    if len(files) == 2 and "junit" in names:
        raise UsageError("a comparison has no JUnit form", hint="evalkit gate writes one: it knows what is a failure")
    places = _places(files, names, output)
    check_outputs({f"--format {name}": path for name, path in places.items()}, files)
    if len(files) == 1:
        from evalkit.comparing.sides import load_sides

        (side,) = load_sides(files)
        for name, path in places.items():
            _write_run(side, name, path, expand)
            typer.echo(str(path))
        return
    from evalkit.comparing.compare import compare

    comparison = compare(files[0], files[1])
    for name, path in places.items():
        _write_comparison(comparison, name, path)
        typer.echo(str(path))


def _formats(text: str) -> list[str]:
    names = [OTHER_NAMES.get(name, name) for part in text.split(",") if (name := part.strip().lower())]
    unknown = [name for name in names if name not in FORMATS]
    if unknown or not names:
        raise UsageError(
            f"--format {unknown[0] if unknown else text!r} is not known", hint=f"formats are {', '.join(FORMATS)}"
        )
    return list(dict.fromkeys(names))


def _places(files: Sequence[Path], names: Sequence[str], wanted: str | None) -> dict[str, Path]:
    """Where each format goes.

    Raises:
        UsageError: One file was named for several formats.
    """
    stem = "_".join(path.name.removesuffix(".json") for path in files)
    folder = files[-1].parent
    output = None if wanted is None else Path(wanted)
    if wanted is not None and output is not None and (output.is_dir() or wanted.endswith(("/", "\\"))):
        folder = output
    elif output is not None and output.suffix and len(names) == 1:
        from evalkit.cli.endings import check_ending

        check_ending(output, WHAT[names[0]], f"name it {output.with_suffix(FORMATS[names[0]]).name}, or add --format")
        return {names[0]: output}
    elif output is not None and output.suffix in (*FORMATS.values(), ".xml", ".json", ".pdf"):
        raise UsageError(f"{output} is one file, and {len(names)} formats were asked for", hint="use -o DIR/")
    elif output is not None:
        folder, stem = output.parent, output.name
    return {name: folder / (stem + FORMATS[name]) for name in names}


def _write_run(side: Side, name: str, path: Path, expand: bool) -> None:
    from evalkit.cli.output import print_note
    from evalkit.files import write_text

    run = side.run
    if name == "html":
        from evalkit.reports.html import write_run
        from evalkit.results import samples_path

        log = None if side.path is None else samples_path(side.path)
        write_run(run, path, log if log is not None and log.is_file() else None, print_note)
    elif name == "md":
        from evalkit.reports.markdown import markdown

        write_text(path, markdown(run, expand=expand))
    elif name == "junit":
        from evalkit.reports.run_junit import run_junit

        write_text(path, run_junit(run))
    elif name == "csv":
        from evalkit.reports.csv import run_csv

        write_text(path, run_csv(run))
    else:
        from evalkit.reports.latex import run_latex

        write_text(path, run_latex(run, expand=expand))


def _write_comparison(comparison: Comparison, name: str, path: Path) -> None:
    from evalkit.cli.output import print_note
    from evalkit.files import write_text

    if name == "html":
        from evalkit.reports.html import write_comparison

        write_comparison(comparison, path, print_note)
    elif name == "md":
        write_text(path, comparison.to_markdown())
    elif name == "csv":
        from evalkit.reports.csv import comparison_csv

        write_text(path, comparison_csv(comparison))
    elif name == "json":
        import json

        write_text(path, json.dumps(comparison.to_json(), ensure_ascii=False, indent=1) + "\n")
    else:
        from evalkit.reports.comparison_latex import comparison_latex

        write_text(path, comparison_latex(comparison))
