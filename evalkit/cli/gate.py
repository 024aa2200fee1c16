"""`evalkit gate`: may this candidate be merged? An exit code, and what CI wants to read."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evalkit.cli.evaluation_options import takes_evaluation_options
from evalkit.cli.gate_output import announce, show, write_files
from evalkit.errors import EvalkitError, UsageError

if TYPE_CHECKING:
    from evalkit.comparison import Side
    from evalkit.gating.policy import Policy
    from evalkit.gating.result import GateResult

EVALUATION = (
    *("model", "tasks", "data_dir", "dtype", "device", "batch_tokens", "max_length", "tokenizer", "concurrency"),
    *("request_timeout", "offline", "trust_remote_code", "allow_pickle", "allow_code_execution"),
)
"""Options of `evalkit run` for what a baseline does not say; the others are the baseline's."""

SECTIONS = {
    "What": ("files", "baseline", "policy"),
    "Policy, in place of the file's": ("margin", "alpha", "on_undecided", "allow"),
    "While the candidate is still being evaluated": ("sequential", "model", "tasks", "output", "seed"),
    "Output": ("output_format", "json_file", "junit", "summary", "step_summary", "annotate", "exit_zero"),
    "Besides": ("print_policy", "from_file"),
    "Evaluating the candidate": EVALUATION[2:],
}


class Format(StrEnum):
    """How the decision is printed."""

    terminal = "terminal"
    markdown = "markdown"
    json = "json"


class Undecided(StrEnum):
    """What becomes of a task with too few documents to tell."""

    fail = "fail"
    warn = "warn"
    pass_ = "pass"


@partial(takes_evaluation_options, only=EVALUATION, optional=("model", "tasks"))
def command(
    options: dict[str, Any],
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[BASE.json] [CANDIDATE.json]",
            help="Baseline and candidate; with --baseline the candidate only, with --sequential the baseline only.",
            show_default=False,
        ),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|git:REF:PATH", help="Baseline; git:origin/main:evals/base.json reads it from there."
        ),
    ] = None,
    policy: Annotated[
        str | None,
        typer.Option(
            "--policy", "-p", metavar="FILE.yaml|git:REF:PATH", help="What is asked of the candidate (--print-policy)."
        ),
    ] = None,
    margin: Annotated[
        str | None, typer.Option(metavar="2pt|0.02", help="Loss that is tolerated, on every task.  [default: 1pt]")
    ] = None,
    alpha: Annotated[
        float | None, typer.Option(help="Level of the tests.  [default: 0.05]", show_default=False)
    ] = None,
    on_undecided: Annotated[
        Undecided | None,
        typer.Option(help="Too few documents to tell: exit code 3, or pass.  [default: fail]", show_default=False),
    ] = None,
    allow: Annotated[
        list[str] | None,
        typer.Option(metavar="FIELD", help="A setting that may differ, as prompt; all for any. Can be repeated."),
    ] = None,
    sequential: Annotated[
        bool, typer.Option("--sequential", help="Evaluate --model now, and stop as soon as the verdict is certain.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE.json", help="Where the evaluated candidate's result goes."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the order in which documents are drawn.")] = 0,
    output_format: Annotated[Format, typer.Option("--format", help="Of what is printed.")] = Format.terminal,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the decision as JSON.")
    ] = None,
    junit: Annotated[Path | None, typer.Option(metavar="FILE", help="Write it as JUnit XML.")] = None,
    summary: Annotated[Path | None, typer.Option(metavar="FILE", help="Write it as Markdown.")] = None,
    step_summary: Annotated[
        bool, typer.Option(help="Add the Markdown to $GITHUB_STEP_SUMMARY, where that is set.")
    ] = True,
    annotate: Annotated[
        bool, typer.Option("--annotations/--no-annotations", help="GitHub annotations, where GITHUB_ACTIONS is true.")
    ] = True,
    exit_zero: Annotated[
        bool, typer.Option("--exit-zero", help="End with 0 whatever the decision, to report only.")
    ] = False,
    print_policy: Annotated[bool, typer.Option("--print-policy", help="Print a policy to start from.")] = False,
    from_file: Annotated[
        Path | None, typer.Option("--from", metavar="GATE.json", help="Show a decision that --json wrote, again.")
    ] = None,
) -> None:
    """Decide whether a candidate may replace the baseline, by an exit code.

    \b
    evalkit gate base.json tuned.json
    evalkit gate base.json tuned.json --policy gate.yaml --junit gate.xml --json gate.json
    evalkit gate tuned.json --baseline git:origin/main:evals/base.json --margin 2pt --on-undecided warn
    evalkit gate base.json --sequential --model ./checkpoint -o tuned.json
    evalkit gate --print-policy > gate.yaml

    \b
    Exit codes
      0 passed    1 a regression    2 usage or bad input    3 undecided: too few documents to tell
      4 not comparable, or no baseline    5 the evaluation failed    130 interrupted
    """
    if print_policy:
        from evalkit.gating.policy_file import PRESET

        typer.echo(PRESET, nl=False)
        return
    paths = {"json": json_file, "junit": junit, "summary": summary}
    _check_places(paths)
    if from_file is not None:
        from evalkit.gating.result_json import read_gate

        if files or baseline or sequential:
            raise UsageError("--from shows a decision again, and compares nothing", hint="leave the result files out")
        result = read_gate(from_file)
    else:
        try:
            asked = _policy(policy, margin, alpha, on_undecided, allow)
            result = _decide(files or [], baseline, asked, options, sequential=sequential, output=output, seed=seed)
        except EvalkitError as error:
            if annotate:
                announce(error)
            raise
    written = write_files(result, paths, step_summary=step_summary)
    if sequential and output is not None:
        from evalkit.results import samples_path

        written = [output, samples_path(output), *written]
    show(result, output_format.value, written, annotate=annotate)
    raise typer.Exit(0 if exit_zero else result.exit_code)


def _check_places(paths: dict[str, Path | None]) -> None:
    """A place that cannot be written is told before hours of evaluation."""
    from evalkit.results import check_writable

    for path in paths.values():
        if path is not None:
            check_writable(path)


def _policy(
    path: str | None, margin: str | None, alpha: float | None, on_undecided: Undecided | None, allow: list[str] | None
) -> Policy:
    """The policy's file, with what the command line says instead."""
    from dataclasses import replace

    from evalkit.gating.amount import parse_margin
    from evalkit.gating.decide import load_policy
    from evalkit.gating.policy import OnUndecided

    changes: dict[str, Any] = {}
    if margin is not None:
        changes["margin"] = parse_margin(margin)
    if alpha is not None:
        if not 0 < alpha < 0.5:
            raise UsageError(f"--alpha is {alpha}", hint="give a level between 0 and 0.5, as 0.05")
        changes["alpha"] = alpha
    if on_undecided is not None:
        changes["on_undecided"] = OnUndecided(on_undecided.value)
    found = load_policy(path).changed(**changes)
    fields = [field.strip() for one in allow or [] for field in one.split(",") if field.strip()]
    return replace(found, allow=(*found.allow, *fields))


def _decide(
    files: list[Path],
    baseline: str | None,
    policy: Policy,
    options: dict[str, Any],
    *,
    sequential: bool,
    output: Path | None,
    seed: int,
) -> GateResult:
    from evalkit.gating.baseline import open_baseline
    from evalkit.gating.decide import gate_sides

    base, candidate = _named(files, baseline, options, sequential=sequential)
    with open_baseline(base) as found:
        if sequential:
            return _sequential(_load([found.path], found.label, base)[0], policy, options, output=output, seed=seed)
        assert candidate is not None
        if output is not None:
            raise UsageError("-o is where --sequential writes the candidate", hint="the decision is written by --json")
        first, second = _load([found.path, candidate], found.label, base)
        return gate_sides(first, second, policy)


def _named(
    files: list[Path], baseline: str | None, options: dict[str, Any], *, sequential: bool
) -> tuple[str, Path | None]:
    """Baseline and candidate; exactly what the other options leave to be named."""
    wanted = (0 if baseline is not None else 1) + (0 if sequential else 1)
    if len(files) != wanted:
        what = {
            (False, False): "a baseline and a candidate: evalkit gate base.json tuned.json",
            (False, True): "one candidate beside --baseline: evalkit gate tuned.json --baseline ...",
            (True, False): "one baseline beside --sequential: evalkit gate base.json --sequential --model MODEL",
            (True, True): "no file beside --sequential and --baseline",
        }[sequential, baseline is not None]
        given = f"{len(files)} result file{' was' if len(files) == 1 else 's were'} given"
        raise UsageError(given, hint=f"give {what}")
    if sequential and options["model"] is None:
        raise UsageError("--sequential evaluates a candidate, and none is named", hint="add --model MODEL")
    if not sequential and (options["model"] is not None or options["tasks"] is not None):
        name = "--model" if options["model"] is not None else "--tasks"
        raise UsageError(f"{name} is for --sequential", hint="add --sequential, or give the candidate's result file")
    base = baseline if baseline is not None else str(files[0])
    return base, None if sequential else files[-1]


def _load(paths: Sequence[Path], label: str, base: str) -> list[Side]:
    """The runs, the baseline named by where it comes from if that is no file here."""
    from dataclasses import replace

    from evalkit.comparing.sides import load_sides
    from evalkit.gating.baseline import PREFIX

    first, *others = load_sides(list(paths))
    if base.startswith(PREFIX):
        first = replace(first, label=f"{first.label} ({label})")
    return [first, *others]


def _sequential(base: Side, policy: Policy, options: dict[str, Any], *, output: Path | None, seed: int) -> GateResult:
    from evalkit.cli.progress import progress_display
    from evalkit.sequential_gate import gate_while_evaluating

    model, tasks = options["model"], options["tasks"]
    others = {name: value for name, value in options.items() if name not in ("model", "tasks")}
    with progress_display() as progress:
        return gate_while_evaluating(
            base,
            model,
            policy=policy,
            seed=seed,
            tasks=tasks,
            output=output,
            progress=progress,
            note=progress.note,
            **others,
        )
