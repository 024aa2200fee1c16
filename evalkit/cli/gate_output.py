"""Where a gate's decision goes: files, the terminal, and what GitHub reads."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from evalkit.cli.github import in_github, print_order

if TYPE_CHECKING:
    from evalkit.errors import EvalkitError
    from evalkit.gating.result import GateResult


def write_files(result: GateResult, paths: Mapping[str, Path | None], *, step_summary: bool) -> list[Path]:
    """Writes the decision where it is asked for, and adds it to the step's summary.

    Args:
        result: The decision.
        paths: `json`, `junit` and `summary` -> the file, None for none.
        step_summary: Add the Markdown to the file that GITHUB_STEP_SUMMARY names.

    Returns:
        The files that were asked for.

    Raises:
        OutputError: One cannot be written.
    """
    from evalkit.files import atomic_writer
    from evalkit.gating.result_json import write_gate

    if (path := paths["json"]) is not None:
        write_gate(result, path)
    if (path := paths["junit"]) is not None:
        from evalkit.reports.junit import junit

        with atomic_writer(path) as stream:
            stream.write(junit(result))
    if (path := paths["summary"]) is not None:
        with atomic_writer(path) as stream:
            stream.write(_bytes(result.to_markdown()))
    if step_summary and (place := os.environ.get("GITHUB_STEP_SUMMARY")):
        try:
            with open(place, "ab") as stream:  # the steps before have written to it
                stream.write(_bytes(result.to_markdown()))
        except OSError as error:
            typer.echo(f"note: the step summary {place} cannot be written: {error.strerror}", err=True)
    return [path for path in paths.values() if path is not None]


def announce(error: EvalkitError) -> None:
    """An annotation for a gate that came to no decision, where GitHub runs this."""
    if in_github():
        from evalkit.reports.annotations import error_command

        print_order(error_command(error.message), sys.stderr)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")


def show(result: GateResult, output_format: str, written: Sequence[Path], *, annotate: bool) -> None:
    """Prints the decision, and annotations where GitHub runs this."""
    if output_format == "json":
        import json

        typer.echo(json.dumps(result.to_json(), indent=1))
    elif output_format == "markdown":
        typer.echo(result.to_markdown(), nl=False)
    else:
        from evalkit.cli.progress import standard_output
        from evalkit.reports.gate import render

        render(result, standard_output(), written)
    if annotate and in_github():
        from evalkit.reports.annotations import workflow_commands

        # the runner reads both streams; standard output may be a document that they would break
        stream = sys.stdout if output_format == "terminal" else sys.stderr
        for line in workflow_commands(result):
            print_order(line, stream)
