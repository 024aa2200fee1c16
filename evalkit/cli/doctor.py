"""`evalkit doctor`: how much a model's scores move with things that should not matter."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evalkit.cli.evaluation_options import takes_evaluation_options
from evalkit.cli.output import Format, check_outputs, print_text

if TYPE_CHECKING:
    from evalkit.doctor.diagnosis import Diagnosis

OPTIONS = (
    *("model", "tasks", "limit", "seed", "data_dir", "dtype", "device", "batch_tokens", "max_length"),
    *("offline", "trust_remote_code", "allow_pickle"),
)


def command(
    options: dict[str, Any],
    output_format: Annotated[Format, typer.Option("--format", help="Of the diagnosis.")] = Format.terminal,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write the diagnosis here too, as JSON; .md as Markdown."),
    ] = None,
) -> None:
    """Measure, on this machine, how much a model's scores move with things that should not matter.

    \b
    evalkit doctor --model smollm2
    evalkit doctor --model ./checkpoint --dtype bfloat16 --tasks arc_easy --limit 40

    The same questions are computed one by one in float32, and then in batches of several sizes, padded on either side, in
    other types and with other attention; how far log-probabilities move and how many answers flip is shown, and what to do
    about it. The chat template is looked at too. Takes some minutes; findings do not change the exit code.
    """
    from evalkit.cli.progress import progress_display
    from evalkit.doctor.diagnose import Examination

    check_outputs({"-o": output})
    with progress_display() as progress:
        diagnosis = Examination(**options, progress=progress).run()
    if output is not None:
        from evalkit.files import write_text
        from evalkit.reports.doctor import markdown

        write_text(output, markdown(diagnosis) if output.suffix == ".md" else _json(diagnosis))
    _print(diagnosis, output_format)


command = takes_evaluation_options(command, only=OPTIONS, optional=("tasks",))


def _json(diagnosis: Diagnosis) -> str:
    import json

    return json.dumps(diagnosis.to_json(), ensure_ascii=False, indent=1) + "\n"


def _print(diagnosis: Diagnosis, output_format: Format) -> None:
    if output_format is Format.json:
        print_text(_json(diagnosis))
        return
    from evalkit.cli.progress import standard_output
    from evalkit.reports.doctor import markdown, render

    if output_format is Format.markdown:
        print_text(markdown(diagnosis))
    else:
        render(diagnosis, standard_output())
