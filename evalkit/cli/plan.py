"""`evalkit plan`: what a run would take, before it runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evalkit.cli.evaluation_options import takes_evaluation_options
from evalkit.cli.output import Format
from evalkit.errors import UsageError

if TYPE_CHECKING:
    from evalkit.run_plan import RunPlan


@takes_evaluation_options
def command(
    options: dict[str, Any],
    tuned: Annotated[
        Path | None,
        typer.Argument(metavar="[TUNED.json]", help="With --baseline: a second result.", show_default=False),
    ] = None,
    baseline: Annotated[
        Path | None,
        typer.Option(
            "--baseline",
            metavar="BASE.json",
            help="An earlier result of the same tasks, for the smallest visible differences; with a second file after it "
            "(TUNED.json), how often the two disagree counts.",
        ),
    ] = None,
    output_format: Annotated[Format, typer.Option("--format", help="Of the plan.")] = Format.terminal,
) -> None:
    """Say what a run would take: tokens, minutes, memory, and the smallest difference it could show.

    \b
    evalkit plan --model smollm2 --tasks mmlu,hellaswag:10shot
    evalkit plan --model ./tuned --tasks mmlu --limit 500 --baseline base.json tuned.json

    Takes the options of `evalkit run`. Data is read, the model is loaded, prompts are built, and about ten seconds of
    the run's own batches are computed to measure this machine. Nothing is written.
    """
    from evalkit.api import Evaluation
    from evalkit.cli.progress import progress_display
    from evalkit.results import Run

    if tuned is not None and baseline is None:
        raise UsageError(f"{tuned} stands alone", hint=f"put --baseline BASE.json before it, or --baseline {tuned}")
    baselines = [Run.load(path) for path in (baseline, tuned) if path is not None]
    with progress_display() as progress:
        result = Evaluation(**options, progress=progress).plan(baselines)
    _print(result, output_format)


def _print(plan: RunPlan, output_format: Format) -> None:
    if output_format is Format.json:
        import json

        typer.echo(json.dumps(plan.to_json(), ensure_ascii=False, indent=1))
        return
    from evalkit.cli.progress import standard_output
    from evalkit.reports.plan import markdown, render

    if output_format is Format.markdown:
        typer.echo(markdown(plan), nl=False)
    else:
        render(plan, standard_output())
