"""A gate that evaluates its candidate as it goes, with the baseline's tasks and settings, and stops when it is certain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.api import Evaluation
from evalkit.comparison import Side
from evalkit.errors import UnknownTaskError, UsageError
from evalkit.imitation import options_of

if TYPE_CHECKING:
    from evalkit.backends.base import Backend
    from evalkit.gating.policy import Policy
    from evalkit.gating.result import GateResult
    from evalkit.runner.progress import Progress
    from evalkit.task import Registered


def gate_while_evaluating(
    base: str | Path | Side,
    model: str | Backend,
    *,
    policy: Policy | str | Path | None = None,
    seed: int = 0,
    tasks: str | Sequence[str | Registered] | None = None,
    output: str | Path | None = None,
    progress: Progress | None = None,
    note: Callable[[str], None] | None = None,
    **options: Any,
) -> GateResult:
    """Evaluates a candidate in growing random parts of the baseline's documents until the verdict is certain.

    Args:
        base: The baseline, written by evalkit.
        model: The candidate.
        policy: What is asked of it, or the file that says so.
        seed: Seed of the order in which documents are drawn.
        tasks: Where the tasks come from, if the baseline's names do not say (`./mine.yaml`, `lm-eval:NAME`, `Task` objects).
        output: Where the candidate's result goes, over the documents that it was asked.
        progress: Told what the evaluation does.
        note: Told what is taken over from the baseline, and after each look how things stand.
        options: Of `evalkit.Evaluation`, for what a result does not say: `device`, `data_dir` ...

    Raises:
        EvalkitError: See `evalkit.errors`; `NotComparableError` where the candidate would be asked something else.
    """
    from evalkit.comparing.sides import load_sides
    from evalkit.gating.decide import load_policy
    from evalkit.gating.policy import Policy
    from evalkit.gating.sequential import SequentialGate
    from evalkit.gating.sequential_result import sequential_result
    from evalkit.runner.looks import evaluate_in_looks

    side = base if isinstance(base, Side) else load_sides([base])[0]
    note = note or (lambda line: None)
    gate = SequentialGate(side.run, policy if isinstance(policy, Policy) else load_policy(policy), seed, note)
    note(f"tasks of {side.label}: {', '.join(gate.tasks)}")
    evaluation = evaluation_like(side, model, tasks or gate.tasks, note, **options)
    path = None if output is None else Path(output)
    selection, load_backend, data, settings = _parts(evaluation)
    run = evaluate_in_looks(selection, load_backend, data, settings, gate, output=path, progress=progress)
    candidate = Side(_label(run.model.name, side.label), run, path)
    return sequential_result(gate, side, candidate)


def evaluation_like(
    base: Side,
    model: str | Backend,
    tasks: str | Sequence[str | Registered],
    note: Callable[[str], None],
    **options: Any,
) -> Evaluation:
    """An evaluation of another model as the baseline was made; options win over what the baseline says.

    Raises:
        UsageError: The baseline was not written by evalkit, so its settings are not known.
    """
    if base.origin != "evalkit":
        raise UsageError(
            f"{base.label} was written by {base.origin}, whose settings cannot be taken over",
            hint="--sequential needs a baseline that evalkit run wrote",
        )
    taken = options_of(base.run)
    taken = {name: value for name, value in taken.items() if options.get(name) in (None, False, "auto")}
    usual = {"over_length": "error"}
    shown = ", ".join(
        f"{name} {value}"
        for name, value in taken.items()
        if value not in (getattr(Evaluation, name, None), usual.get(name, ""))
    )
    if shown:
        note(f"settings of {base.label}: {shown}")
    return Evaluation(model=model, tasks=tasks, **{**options, **taken})


def _parts(evaluation: Evaluation) -> Any:
    try:
        return evaluation.parts()
    except UnknownTaskError as error:
        raise _explained(error) from error


def _explained(error: UnknownTaskError) -> UnknownTaskError:
    """The error with what helps here: a result names its tasks, not the files that they come from."""
    hint = "the baseline names a task that is not built in: say where it comes from, as --tasks ./mine.yaml or lm-eval:NAME"
    return UnknownTaskError(error.message, hint=hint)


def _label(name: str, other: str) -> str:
    short = Path(name).name or name
    return short if short != other else f"{short} (candidate)"
