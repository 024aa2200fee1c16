"""`evalkit gate`: may this candidate be merged? An exit code, and what CI wants to read."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from evalkit.cli import gate_options as given
from evalkit.cli.evaluation_options import takes_evaluation_options
from evalkit.cli.gate_output import announce, show, write_files
from evalkit.cli.output import Format, check_outputs, reader_may_leave
from evalkit.errors import EvalkitError, UsageError

if TYPE_CHECKING:
    from evalkit.comparison import Side
    from evalkit.gating.policy import Policy
    from evalkit.gating.result import GateResult

EVALUATION = (
    *("model", "tasks", "data_dir", "dtype", "device", "device_map", "tensor_parallel", "batch_tokens", "max_length"),
    *(
        "tokenizer",
        "concurrency",
        "request_timeout",
        "offline",
        "trust_remote_code",
        "allow_pickle",
        "allow_code_execution",
    ),
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


@partial(takes_evaluation_options, only=EVALUATION, optional=("model", "tasks"))
def command(
    options: dict[str, Any],
    files: given.Files = None,
    baseline: given.Baseline = None,
    policy: given.PolicyFile = None,
    margin: given.Margin = None,
    alpha: given.Alpha = None,
    on_undecided: given.OnUndecided = None,
    allow: given.Allow = None,
    sequential: given.Sequential = False,
    output: given.Output = None,
    seed: given.Seed = 0,
    output_format: given.OutputFormat = Format.terminal,
    json_file: given.JsonFile = None,
    junit: given.Junit = None,
    summary: given.Summary = None,
    step_summary: given.StepSummary = True,
    annotate: given.Annotate = True,
    exit_zero: given.ExitZero = False,
    print_policy: given.PrintPolicy = False,
    from_file: given.FromFile = None,
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
        _print_policy()
        return
    paths = {"json": json_file, "junit": junit, "summary": summary}
    _check_outputs(paths, output, files or [], baseline, policy, from_file)
    if from_file is not None:
        result = _shown_again(from_file, is_alone=not (files or baseline or sequential))
    else:
        try:
            asked = _policy(policy, margin, alpha, on_undecided, allow)
            result = _decide(files or [], baseline, asked, options, sequential=sequential, output=output, seed=seed)
        except EvalkitError as error:
            if annotate:
                announce(error)
            raise
    written = [*(_result_files(output) if sequential else []), *write_files(result, paths, step_summary=step_summary)]
    code = 0 if exit_zero else result.exit_code
    with reader_may_leave(code):
        show(result, output_format.value, written, annotate=annotate)
    raise typer.Exit(code)


def _print_policy() -> None:
    from evalkit.gating.policy_file import PRESET

    typer.echo(PRESET, nl=False)


def _check_outputs(
    paths: dict[str, Path | None],
    output: Path | None,
    files: Sequence[Path],
    baseline: str | None,
    policy: str | None,
    from_file: Path | None,
) -> None:
    """A place that cannot be written, or is read, is told before hours of evaluation."""
    from evalkit.gating.baseline import PREFIX

    candidate, log = _result_files(output) or (None, None)
    read = [*files, *([Path(baseline)] if baseline is not None and not baseline.startswith(PREFIX) else [])]
    check_outputs(
        {f"--{name}": path for name, path in paths.items()} | {"-o": candidate, "the sample log of -o": log},
        read,
        {
            "the policy": None if policy is None or policy.startswith(PREFIX) else Path(policy),
            "the decision to show": from_file,
        },
    )


def _result_files(output: Path | None) -> list[Path]:
    """The candidate's result and the log of its samples."""
    from evalkit.results import samples_path

    return [] if output is None else [output, samples_path(output)]


def _shown_again(path: Path, *, is_alone: bool) -> GateResult:
    from evalkit.gating.result_json import read_gate

    if not is_alone:
        raise UsageError("--from shows a decision again, and compares nothing", hint="leave the result files out")
    return read_gate(path)


def _policy(
    path: str | None,
    margin: str | None,
    alpha: float | None,
    on_undecided: given.Undecided | None,
    allow: list[str] | None,
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
