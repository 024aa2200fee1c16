"""`evalkit run`: evaluate a model on tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from evalkit.cli.evaluation_options import takes_evaluation_options
from evalkit.errors import EvaluationError


@takes_evaluation_options
def command(
    options: dict[str, Any],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE.json",
            help="Result file; FILE.samples.parquet stands beside it. By default runs/MODEL_TASKS.json.",
        ),
    ] = None,
    expand: Annotated[bool, typer.Option("--expand", help="Show every subject of a group in the table.")] = False,
) -> None:
    """Evaluate a model: read data, let it score or answer every prompt, print the table, write the result.

    \b
    evalkit run --model smollm2 --tasks arc_easy,hellaswag --limit 200 -o base.json
    evalkit run --model ./checkpoint --tasks leaderboard --data-dir ./hub --offline
    evalkit run --model org/name --tasks mmlu:5shot,perplexity:book.txt --dtype bfloat16
    evalkit run --model org/chat --tasks gsm8k,mmlu:cot
    evalkit run --model openai:my-model@http://127.0.0.1:8000/v1 --tasks gsm8k,mmlu:cot

    A run that is cut off continues with the same command. Where documents could not be answered, the exit code is 5;
    the result is written all the same, and the same command asks them again.
    """
    from evalkit import api
    from evalkit.cli.progress import progress_display, standard_output
    from evalkit.results import samples_path

    path = output or api.default_output(options["model"], options["tasks"])
    with progress_display() as progress:
        result = api.run(**options, output=path, progress=progress)
    from evalkit.reports.terminal import render

    render(result, standard_output(), [path, samples_path(path)], expand=expand)
    errored = sum(task.outcomes.get("errored", 0) for task in result.tasks.values())
    if errored:
        raise EvaluationError(
            f"{errored:,} of {sum(task.n for task in result.tasks.values()):,} documents could not be answered and have "
            "no score",
            hint="the result is written all the same; the same command asks them again",
        )
