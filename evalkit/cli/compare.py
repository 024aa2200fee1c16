"""`evalkit compare`: what changed between two results, and whether it is real."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evalkit.comparison import Verdict
from evalkit.errors import NotComparableError, UsageError

if TYPE_CHECKING:
    from evalkit.comparison import Comparison

SECTIONS = {
    "What is compared": ("tasks", "metric", "allow"),
    "How it is judged": ("margin", "alpha"),
    "What is shown": ("output_format", "expand", "flips", "unpaired"),
    "Files": ("output", "html"),
}


class Format(StrEnum):
    """How a comparison is printed."""

    terminal = "terminal"
    markdown = "markdown"
    json = "json"


def command(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="BASE.json TUNED.json [MORE.json ...]",
            help="Results of evalkit run, or logs of lm-eval and others, by file or folder; the first is the baseline.",
            show_default=False,
        ),
    ],
    tasks: Annotated[
        str | None, typer.Option("--tasks", "-t", metavar="NAMES", help="Only these tasks or groups, comma-separated.")
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            "--metric", "-m", metavar="NAMES", help="Only these metrics; the first that a task has decides its verdict."
        ),
    ] = None,
    allow: Annotated[
        str | None,
        typer.Option(
            metavar="FIELDS",
            help="Compare although these differ: prompt, shots, decoding, data ..., comma-separated, or all.",
        ),
    ] = None,
    margin: Annotated[
        str,
        typer.Option(
            metavar="LOSS",
            help="Tolerated loss: 2pt or 0.02 of a metric's range; of a perplexity, that share of the first one.",
        ),
    ] = "1pt",
    alpha: Annotated[float, typer.Option(metavar="P", help="Level of all tests.")] = 0.05,
    output_format: Annotated[Format, typer.Option("--format", help="Of what is printed.")] = Format.terminal,
    expand: Annotated[bool, typer.Option("--expand", help="Show every member of large groups.")] = False,
    flips: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="Changed documents that are listed.  [default: 10]", show_default=False),
    ] = None,
    unpaired: Annotated[bool, typer.Option("--unpaired", help="List the documents that are in no pair.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE.json", help="Write the comparison as JSON.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE.html", help="Write one self-contained page.")
    ] = None,
) -> None:
    """Compare results: which tasks got better or worse, by how much, and whether that is more than chance.

    \b
    evalkit compare base.json tuned.json
    evalkit compare base.json tuned.json --margin 2pt --html diff.html
    evalkit compare base.json tuned.json --tasks mmlu --expand
    evalkit compare a.json b.json c.json

    Documents are paired by content. Results that were asked different questions are not judged; see --allow.
    """
    if len(files) < 2:
        raise UsageError("a comparison needs two results", hint="evalkit compare base.json tuned.json")
    options: dict[str, Any] = {
        "margin": parse_margin(margin),
        "alpha": alpha,
        "allow": _names(allow) or (),
        "metrics": _names(metric),
        "tasks": _names(tasks),
    }
    paths = _check_places(output, html, files)
    if len(files) > 2:
        for option, given in (("--html", html), ("--flips", flips), ("--unpaired", unpaired or None)):
            if given is not None:
                raise UsageError(f"{option} shows two results", hint="leave it out, or give two files")
        _several(files, options, output_format, output, paths, expand)
        return
    from evalkit.comparing.compare import compare

    found = compare(files[0], files[1], **options)
    if output is not None:
        _write_json(found.to_json(), output)
    if html is not None:
        from evalkit.cli.output import print_note
        from evalkit.reports.html import write_comparison

        write_comparison(found, html, print_note)
    _show(found, output_format, paths, expand, 10 if flips is None else flips, unpaired)
    _check_compared([found])


def parse_margin(text: str) -> float:
    """A tolerated loss, as `2pt`, `2%` or `0.02`, as a share of the metric's range.

    Raises:
        UsageError: It is none of these, or not between 0 and 1.
    """
    match = re.fullmatch(r"\s*(\d*\.?\d+)\s*(pt|pp|points?|%)?\s*", text)
    share = float(match[1]) / (100 if match[2] else 1) if match else -1.0
    if not 0 <= share < 1:
        raise UsageError(f"--margin {text!r} is no loss", hint="write 2pt for two points, or 0.02 for the same")
    return share


def _names(text: str | None) -> list[str] | None:
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def _check_places(output: Path | None, html: Path | None, files: list[Path]) -> list[Path]:
    """The files to write, once it is sure that they can be, and that no result is overwritten."""
    from evalkit.files import check_writable

    wanted = [path for path in (output, html) if path is not None]
    for path in wanted:
        if path.resolve() in {file.resolve() for file in files}:
            raise UsageError(f"{path} is one of the results to compare", hint="write to another file")
        check_writable(path)
    return wanted


def _show(
    found: Comparison, output_format: Format, paths: list[Path], expand: bool, flips: int, unpaired: bool
) -> None:
    if output_format is Format.json:
        _print_json(found.to_json())
    elif output_format is Format.markdown:
        from evalkit.reports.comparison_markdown import markdown

        typer.echo(markdown(found, expand=expand, flips=flips, list_unpaired=unpaired), nl=False)
    else:
        from evalkit.cli.progress import standard_output
        from evalkit.reports.comparison import render

        render(found, standard_output(), paths, expand=expand, flips=flips, list_unpaired=unpaired)


def _several(
    files: list[Path],
    options: dict[str, Any],
    output_format: Format,
    output: Path | None,
    paths: list[Path],
    expand: bool,
) -> None:
    from evalkit.comparing.compare import compare_all
    from evalkit.comparing.to_json import comparisons_to_json

    found = compare_all(files, **options)
    if output is not None:
        _write_json(comparisons_to_json(found), output)
    if output_format is Format.json:
        _print_json(comparisons_to_json(found))
    elif output_format is Format.markdown:
        from evalkit.reports.comparison_markdown import markdown_all

        typer.echo(markdown_all(found, expand=expand), nl=False)
    else:
        from evalkit.cli.progress import standard_output
        from evalkit.reports.comparison import render_all

        render_all(found, standard_output(), paths, expand=expand)
    _check_compared(found.pairs)


def _check_compared(pairs: Sequence[Comparison]) -> None:
    """Ends the command where no task of any pair could be compared."""
    if all(pair.counts()[Verdict.NOT_COMPARABLE] == len(pair.roots) for pair in pairs):
        raise _nothing_compared(pairs[0])


def _nothing_compared(found: Comparison) -> NotComparableError:
    fields = list(dict.fromkeys(one.field for one in found.conditions if one.blocks and not one.allowed))
    if not fields:
        return NotComparableError(
            f"{found.before.label} and {found.after.label} share no document",
            hint="run both on the same data, with limits that overlap",
        )
    names = ",".join(field for field in fields if field != "group")
    return NotComparableError(
        f"{found.before.label} and {found.after.label} were asked different questions: {', '.join(fields)} differ",
        hint="run both in the same way" + (f', or compare all the same with --allow "{names}"' if names else ""),
    )


def _print_json(document: dict[str, Any]) -> None:
    import json

    typer.echo(json.dumps(document, ensure_ascii=False, indent=1))


def _write_json(document: dict[str, Any], path: Path) -> None:
    import json

    from evalkit.files import atomic_writer

    with atomic_writer(path) as stream:
        stream.write(json.dumps(document, ensure_ascii=False, indent=1).encode("utf-8", "surrogatepass") + b"\n")
