"""`evalkit rate`: people compare or score what the models wrote."""

from __future__ import annotations

import getpass
import os
import sys
import webbrowser
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.cli.output import Format
from evalkit.errors import UsageError

if TYPE_CHECKING:
    from evalkit.ratings.session import Session


class RatingMode(StrEnum):
    """What raters are asked."""

    choice = "choice"
    score = "score"


def command(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="BASE.json [TUNED.json]",
            help="Result files; with --report or --merge, ratings files.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE.jsonl",
            help="Ratings file, gone on with if it is there.  [default: ratings.jsonl]",
        ),
    ] = None,
    mode: Annotated[
        RatingMode | None,
        typer.Option(
            help="A choice between two answers, or 1 to 5 for fluency, coherence and relevance.  "
            "[default: choice; score for one file]",
            show_default=False,
        ),
    ] = None,
    tasks: Annotated[
        str | None, typer.Option("--tasks", "-t", metavar="NAMES", help="Only these tasks or groups, comma-separated.")
    ] = None,
    rater: Annotated[
        str | None, typer.Option(metavar="NAME", help="Who rates.  [default: your login name]", show_default=False)
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Documents to ask about, drawn by the seed; same for all raters."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of that sample, of the order, and of the sides.")] = 0,
    reference: Annotated[bool, typer.Option(help="Let raters look at the reference answer.")] = True,
    different_prompts: Annotated[
        bool,
        typer.Option(
            "--different-prompts", help="Rate documents that the models were asked with different prompts too."
        ),
    ] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, metavar="N", help="Port of the page; 0 takes a free one.")] = 0,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page.")] = True,
    report: Annotated[bool, typer.Option("--report", help="Print what ratings files add up to.")] = False,
    merge: Annotated[bool, typer.Option("--merge", help="Put several raters' files into one (-o).")] = False,
    output_format: Annotated[Format, typer.Option("--format", help="Of the summary.")] = Format.terminal,
) -> None:
    """Rate what models wrote, blind, in a page on this machine.

    \b
    evalkit rate base.json tuned.json --limit 50 --rater ann -o ann.jsonl
    evalkit rate base.json tuned.json --mode score
    evalkit rate --merge ann.jsonl bob.jsonl -o all.jsonl
    evalkit rate --report all.jsonl --format markdown

    Every rating is saved at once. The same command goes on where a rater stopped.
    """
    if report and merge:
        raise UsageError("--report and --merge do not go together", hint="merge first, then report the merged file")
    if merge:
        _merge(files, output)
    elif report:
        _report(files, output_format)
    else:
        if len(files) > 2:
            raise UsageError(
                f"{len(files)} result files were given", hint="give one or two; for ratings files, --merge"
            )
        chosen = mode or (RatingMode.choice if len(files) == 2 else RatingMode.score)
        if chosen is RatingMode.choice and len(files) == 1:
            raise UsageError("a choice needs two result files", hint="give a second one, or use --mode score")
        names = [name.strip() for name in (tasks or "").split(",") if name.strip()]
        path = output or Path("ratings.jsonl")
        _rate(files, path, chosen, names, rater or _login(), limit, seed, reference, different_prompts, port, browser)
        _report_session(path, output_format)


def _rate(
    files: Sequence[Path],
    output: Path,
    mode: RatingMode,
    tasks: Sequence[str],
    rater: str,
    limit: int | None,
    seed: int,
    reference: bool,
    different_prompts: bool,
    port: int,
    browser: bool,
) -> None:
    """Runs the page until the rater finishes or presses Ctrl-C."""
    from evalkit.ratings.file import RatingLog
    from evalkit.ratings.items import load_items
    from evalkit.ratings.session import Session

    _check_results(files)
    rateable = load_items(files[0], files[1] if len(files) == 2 else None, tasks, different_prompts=different_prompts)
    for note in rateable.notes:
        typer.echo(f"note: {note}", err=True)
    with RatingLog(output, rateable.base, rateable.tuned) as log:
        session = Session(
            rateable.items,
            rater,
            mode.value,
            log.add,
            earlier=log.ratings.ratings,
            seed=seed,
            limit=limit,
            show_reference=reference,
        )
        if session.identical:
            typer.echo(f"note: {session.identical} pairs of identical answers are counted as ties, not asked", err=True)
        if session.asked:
            _serve(session, port, browser)


def _check_results(files: Sequence[Path]) -> None:
    """Slips in which files were meant, told before any is read."""
    for file in files:
        if file.name.endswith(".samples.parquet"):
            result = file.with_name(file.name.removesuffix(".samples.parquet") + ".json")
            raise UsageError(f"{file} is a sample log, not a result file", hint=f"give {result}, which belongs to it")
    if len(files) == 2 and all(file.is_file() for file in files) and files[0].read_bytes() == files[1].read_bytes():
        raise UsageError(
            f"{files[0]} and {files[1]} are the same result",
            hint="give two different results, or one with --mode score",
        )


def _serve(session: Session, port: int, browser: bool) -> None:
    from evalkit.ratings.server import RatingServer

    progress = _Progress(session)
    with RatingServer(session, port, progress.show) as server:
        # Ctrl-C ends the session from the moment on that the page can be reached
        try:
            typer.echo(f"Rate here, as {session.rater}: {server.address}", err=True)
            typer.echo('"Finish" on the page or Ctrl-C ends it; every rating is saved at once.', err=True)
            progress.show()
            if browser and _has_screen():
                webbrowser.open(server.address)
            server.finished.wait()
        except KeyboardInterrupt:
            pass
        finally:
            progress.end()
    if server.failure is not None:
        raise server.failure


class _Progress:
    """How far the rater is, on stderr: one line redrawn in place, or in a log a line each time it moves."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.live = sys.stderr.isatty()
        self.shown = -1

    def show(self) -> None:
        """Prints the number of documents rated, when it has changed."""
        rated = self.session.rated
        if rated != self.shown:
            self.shown = rated
            line = f"{rated} of {len(self.session.asked)} rated"
            typer.echo(f"\r{line} " if self.live else line, err=True, nl=not self.live)

    def end(self) -> None:
        """Leaves the line."""
        if self.live:
            typer.echo(err=True)


def _merge(files: Sequence[Path], output: Path | None) -> None:
    from evalkit.ratings.file import merge, read_ratings, write_ratings

    if output is None:
        raise UsageError("--merge needs a place for the merged file", hint="add -o all.jsonl")
    merged = merge([read_ratings(path) for path in files], [str(path) for path in files])
    write_ratings(merged, output)
    raters = len({rating.rater for rating in merged.ratings})
    replaced = f", {merged.replaced} replaced by a later one of the same rater" if merged.replaced else ""
    typer.echo(f"{output}\t{len(merged.ratings)} ratings of {raters} raters{replaced}")


def _report(files: Sequence[Path], output_format: Format) -> None:
    from evalkit.ratings.summary import summarize

    summary = summarize(*files)
    if output_format is Format.json:
        import json

        typer.echo(json.dumps(summary.to_json(), ensure_ascii=False, indent=1))
        return
    from evalkit.reports.ratings import markdown, render

    if output_format is Format.markdown:
        typer.echo(markdown(summary), nl=False)
    else:
        from evalkit.cli.progress import standard_output

        render(summary, standard_output())


def _report_session(path: Path, output_format: Format) -> None:
    """What the file adds up to, unless the rater has only looked."""
    from evalkit.ratings.file import read_ratings

    if read_ratings(path).ratings:
        _report([path], output_format)
    else:
        typer.echo("nothing is rated yet; the same command begins again", err=True)


def _login() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no name for the user's number, as in some containers
        return "rater"


def _has_screen() -> bool:
    """Whether a browser has a window to open in: elsewhere a text browser would take the terminal over."""
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
