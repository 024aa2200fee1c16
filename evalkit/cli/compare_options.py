"""The options of `evalkit compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evalkit.cli.output import Format

SECTIONS = {
    "What is compared": ("tasks", "metric", "allow"),
    "How it is judged": ("margin", "alpha"),
    "What is shown": ("output_format", "expand", "flips", "unpaired"),
    "Files": ("output", "html"),
}


Files = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="BASE.json TUNED.json [MORE.json ...]",
        help="Results of evalkit run, or logs of lm-eval and others, by file or folder; the first is the baseline.",
        show_default=False,
    ),
]
Tasks = Annotated[
    str | None, typer.Option("--tasks", "-t", metavar="NAMES", help="Only these tasks or groups, comma-separated.")
]
Metrics = Annotated[
    str | None,
    typer.Option(
        "--metric", "-m", metavar="NAMES", help="Only these metrics; the first that a task has decides its verdict."
    ),
]
Allow = Annotated[
    str | None,
    typer.Option(
        metavar="FIELDS",
        help="Compare although these differ: prompt, shots, decoding, data ..., comma-separated, or all.",
    ),
]
Margin = Annotated[
    str,
    typer.Option(
        metavar="LOSS",
        help="Tolerated loss: 2pt or 0.02 of a metric's range; of a perplexity, that share of the first one.",
    ),
]
Alpha = Annotated[float, typer.Option(metavar="P", help="Level of all tests.")]
OutputFormat = Annotated[Format, typer.Option("--format", help="Of what is printed.")]
Expand = Annotated[bool, typer.Option("--expand", help="Show every member of large groups.")]
Flips = Annotated[
    int | None,
    typer.Option(min=0, metavar="N", help="Changed documents that are listed.  [default: 10]", show_default=False),
]
Unpaired = Annotated[bool, typer.Option("--unpaired", help="List the documents that are in no pair.")]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE.json", help="Write the comparison as JSON.")
]
Html = Annotated[Path | None, typer.Option("--html", metavar="FILE.html", help="Write one self-contained page.")]
