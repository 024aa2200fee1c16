"""`evalkit plan`: what a run would take, before it runs."""

from __future__ import annotations

from typing import Any

from evalkit.cli.evaluation_options import takes_evaluation_options


@takes_evaluation_options
def command(options: dict[str, Any]) -> None:
    """Say what a run would take: tokens before and after sharing, minutes, memory.

    \b
    evalkit plan --model smollm2 --tasks mmlu,hellaswag:10shot

    Takes the options of `evalkit run`. Data is read, the model is loaded, prompts are built, and about ten seconds of
    the run's own batches are computed to measure this machine. Nothing is written.
    """
    from evalkit import api
    from evalkit.cli.progress import progress_display, standard_output

    with progress_display() as progress:
        result = api.plan(**options, progress=progress)
    from evalkit.reports.plan import render

    render(result, standard_output())
