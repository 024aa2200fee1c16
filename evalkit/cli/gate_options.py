"""What `evalkit gate` is given on the command line."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from evalkit.cli.output import Format


class Undecided(StrEnum):
    """What becomes of a task with too few documents to tell."""

    fail = "fail"
    warn = "warn"
    pass_ = "pass"


Files = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="[BASE.json] [CANDIDATE.json]",
        help="Baseline and candidate; with --baseline the candidate only, with --sequential the baseline only.",
        show_default=False,
    ),
]
Baseline = Annotated[
    str | None,
    typer.Option(metavar="FILE|git:REF:PATH", help="Baseline; git:origin/main:evals/base.json reads it from there."),
]
PolicyFile = Annotated[
    str | None,
    typer.Option(
        "--policy", "-p", metavar="FILE.yaml|git:REF:PATH", help="What is asked of the candidate (--print-policy)."
    ),
]
Margin = Annotated[
    str | None, typer.Option(metavar="2pt|0.02", help="Loss that is tolerated, on every task.  [default: 1pt]")
]
Alpha = Annotated[float | None, typer.Option(help="Level of the tests.  [default: 0.05]", show_default=False)]
OnUndecided = Annotated[
    Undecided | None,
    typer.Option(help="Too few documents to tell: exit code 3, or pass.  [default: fail]", show_default=False),
]
Allow = Annotated[
    list[str] | None,
    typer.Option(metavar="FIELD", help="A setting that may differ, as prompt; all for any. Can be repeated."),
]
Sequential = Annotated[
    bool, typer.Option("--sequential", help="Evaluate --model now, and stop as soon as the verdict is certain.")
]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE.json", help="Where the evaluated candidate's result goes."),
]
Seed = Annotated[int, typer.Option(help="Seed of the order in which documents are drawn.")]
OutputFormat = Annotated[Format, typer.Option("--format", help="Of what is printed.")]
JsonFile = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the decision as JSON.")]
Junit = Annotated[Path | None, typer.Option(metavar="FILE", help="Write it as JUnit XML.")]
Summary = Annotated[Path | None, typer.Option(metavar="FILE", help="Write it as Markdown.")]
StepSummary = Annotated[bool, typer.Option(help="Add the Markdown to $GITHUB_STEP_SUMMARY, where that is set.")]
Annotate = Annotated[
    bool, typer.Option("--annotations/--no-annotations", help="GitHub annotations, where GITHUB_ACTIONS is true.")
]
ExitZero = Annotated[bool, typer.Option("--exit-zero", help="End with 0 whatever the decision, to report only.")]
PrintPolicy = Annotated[bool, typer.Option("--print-policy", help="Print a policy to start from.")]
FromFile = Annotated[
    Path | None, typer.Option("--from", metavar="GATE.json", help="Show a decision that --json wrote, again.")
]
