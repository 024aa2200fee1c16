"""`evalkit verify`: does a result follow from its answers, and are they the model's?"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from evalkit.cli.evaluation_options import takes_evaluation_options
from evalkit.cli.output import Format

DIFFERS = 1
"""Exit code where something differs."""

SECTIONS: Mapping[str, Sequence[str]] = {
    "What": ("result", "samples", "tasks", "data_dir", "retrieve", "output_format"),
    "The model again": ("model", "rerun", "share", "choice", "device", "device_map", "tensor_parallel"),
    "Permissions": ("offline", "trust_remote_code", "allow_pickle"),
}
"""The sections of the help (`evalkit.cli.sections`)."""

OPTIONS = (
    *("model", "tasks", "device", "device_map", "tensor_parallel", "data_dir", "retrieve"),
    *("offline", "trust_remote_code", "allow_pickle"),
)


@partial(takes_evaluation_options, only=OPTIONS, optional=("model", "tasks"))
def command(
    options: dict[str, Any],
    result: Annotated[Path, typer.Argument(metavar="RUN.json", help="A result that evalkit run wrote.")],
    samples: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Its sample log.  [default: RUN.samples.parquet]", show_default=False),
    ] = None,
    rerun: Annotated[
        bool, typer.Option("--rerun/--no-rerun", help="Answer some documents again, if the model is on this machine.")
    ] = True,
    share: Annotated[
        float, typer.Option(metavar="SHARE", help="Share of each task's documents that is; at least 10 in all.")
    ] = 0.01,
    choice: Annotated[int, typer.Option("--seed", help="Of the choice of these documents.")] = 0,
    output_format: Annotated[Format, typer.Option("--format", help="Of what was found.")] = Format.terminal,
) -> None:
    """Verify a result: recompute every score from the sample log, check hashes, ask the model some documents again.

    \b
    evalkit verify base.json
    evalkit verify base.json --data-dir ./hub --model ./checkpoint
    evalkit verify base.json --tasks ./mine.yaml --no-rerun --format json

    What cannot be checked here (data, a task's file, the model are missing) is said with its reason, and is no difference.
    Nothing is downloaded but what --model names. The exit code is 1 where anything differs.
    """
    from evalkit.cli.progress import progress_display, standard_output
    from evalkit.reports.verification import markdown, render
    from evalkit.verifying.verify import verify

    given = {name: value for name, value in options.items() if name in OPTIONS and value not in (None, False, "auto")}
    with progress_display() as progress:
        found = verify(result, samples=samples, rerun=rerun, share=share, seed=choice, progress=progress, **given)
    if output_format is Format.json:
        typer.echo(json.dumps(found.to_json(), ensure_ascii=False, indent=1))
    elif output_format is Format.markdown:
        typer.echo(markdown(found), nl=False)
    else:
        render(found, standard_output())
    if not found.agrees:
        raise typer.Exit(DIFFERS)
