"""`evalkit compare`: what changed between two results, and whether it is real."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from evalkit.cli import compare_options as options
from evalkit.cli.output import Format, check_outputs
from evalkit.comparison import Verdict
from evalkit.errors import NotComparableError, UsageError

if TYPE_CHECKING:
    from evalkit.comparison import Comparison


def command(
    files: options.Files = None,
    tasks: options.Tasks = None,
    metric: options.Metrics = None,
    allow: options.Allow = None,
    margin: options.Margin = "1pt",
    alpha: options.Alpha = 0.05,
    output_format: options.OutputFormat = Format.terminal,
    expand: options.Expand = False,
    flips: options.Flips = None,
    unpaired: options.Unpaired = False,
    output: options.Output = None,
    html: options.Html = None,
) -> None:
    """Compare results: which tasks got better or worse, by how much, and whether that is more than chance.

    \b
    evalkit compare base.json tuned.json
    evalkit compare base.json tuned.json --margin 2pt --html diff.html
    evalkit compare base.json tuned.json --tasks mmlu --expand
    evalkit compare a.json b.json c.json

    Documents are paired by content. Results that were asked different questions are not judged; see --allow.
    """
    if files is None or len(files) < 2:
        raise UsageError("a comparison needs two results", hint="evalkit compare base.json tuned.json")
    chosen: dict[str, Any] = {
        "margin": parse_margin(margin),
        "alpha": alpha,
        "allow": _names(allow) or (),
        "metrics": _names(metric),
        "tasks": _names(tasks),
    }
    paths = check_outputs({"-o": output, "--html": html}, files)
    _check_endings(output, html)
    if len(files) > 2:
        for option, given in (("--html", html), ("--flips", flips), ("--unpaired", unpaired or None)):
            if given is not None:
                raise UsageError(f"{option} shows two results", hint="evalkit leaderboard -o FILE.html shows several")
        _several(files, chosen, output_format, output, paths, expand)
        return
    from evalkit.comparing.compare import compare

    found = compare(files[0], files[1], **chosen)
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
    from evalkit.gating.amount import parse_margin

    amount = parse_margin(text)
    try:
        return amount.share()
    except ValueError:
        hint = "evalkit gate takes it; here write 2pt for two points, or 0.02 for the same"
        raise UsageError(f"--margin {text!r} is of the first score, not of the range", hint=hint) from None


def _check_endings(output: Path | None, html: Path | None) -> None:
    from evalkit.cli.endings import check_ending

    if output is not None:
        check_ending(output, "JSON", "-o writes the numbers as NAME.json, --html a page; --format markdown prints")
    if html is not None:
        check_ending(html, "HTML", "--html writes a page as NAME.html, -o the numbers as NAME.json")


def _names(text: str | None) -> list[str] | None:
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


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
    chosen: dict[str, Any],
    output_format: Format,
    output: Path | None,
    paths: list[Path],
    expand: bool,
) -> None:
    from evalkit.comparing.compare import compare_all
    from evalkit.comparing.to_json import comparisons_to_json

    found = compare_all(files, **chosen)
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
            f"{found.before.source} and {found.after.source} share no document",
            hint="run both on the same data, with limits that overlap",
        )
    names = ",".join(field for field in fields if field != "group")
    return NotComparableError(
        f"{found.before.source} and {found.after.source} were asked different questions: {', '.join(fields)} "
        f"{'differs' if len(fields) == 1 else 'differ'}",
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
