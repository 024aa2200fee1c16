"""Base and tuned model through the same evaluation, each result kept in a file."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.errors import EvaluationError
from evalkit.results import Run
from evalkit.runner.progress import Progress, Status

if TYPE_CHECKING:
    from evalkit.models import LoadedModel
    from evalkit.sft.request import FineTuningRequest


class WithinMore:
    """A step's progress shown as a part of more: its stages are named after the step, and its end ends nothing.

    Args:
        progress: Who is told.
        step: What the step is, as "base".
    """

    def __init__(self, progress: Progress, step: str) -> None:
        self._progress, self._step = progress, step

    def stage(self, text: str) -> None:
        """Names the stage."""
        self._progress.stage(f"{self._step}: {text}")

    def moved(self, text: str) -> None:
        """Says how far the stage is."""
        self._progress.moved(f"{self._step}: {text}")

    def note(self, text: str) -> None:
        """Passes the note on."""
        self._progress.note(f"{self._step}: {text}")

    def update(self, status: Status) -> None:
        """Passes the status on."""
        self._progress.update(status)

    def finish(self) -> None:
        """Nothing: more is to come."""


def evaluated(
    request: FineTuningRequest, model: str, output: Path, progress: Progress, step: str, **changes: Any
) -> Run:
    """The model's result, from its file where it is there.

    Raises:
        EvaluationError: Documents could not be answered, so that nothing can be compared yet.
        EvalkitError: As `Evaluation.run`.
    """
    if output.exists():
        known = Run.load(output)
        if not _errored(known):
            return known
    run = request.evaluates(model, output, progress=WithinMore(progress, step), **changes).run()
    if errored := _errored(run):
        raise EvaluationError(
            f"{step}: {errored:,} documents could not be answered",
            hint="the same command asks them again, and goes on from there",
        )
    return run


def _errored(run: Run) -> int:
    return sum(task.outcomes.get("errored", 0) for task in run.tasks.values())


def release_memory() -> None:
    """Gives back the memory of models that are no longer used, to the device too."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def small_evaluation(
    request: FineTuningRequest,
) -> Callable[[LoadedModel], tuple[Mapping[str, float], Mapping[str, int]]]:
    """What evaluates the live model on a small seeded sample of every task, through the same engine and prompts.

    Returns:
        A function from the model to its scores and the documents they are over, by task.
    """

    def evaluate(loaded: LoadedModel) -> tuple[Mapping[str, float], Mapping[str, int]]:
        from evalkit.backends.local import LocalBackend, LocalOptions

        given = request.evaluation
        options = LocalOptions(
            token_budget=given.batch_tokens,
            deterministic=given.deterministic,
            share_prefixes=given.share_prefixes,
            stride=given.stride,
        )
        run = request.evaluates(
            LocalBackend(loaded, options), None, limit=_smaller(given.limit, request.eval_limit), progress=None
        ).run()
        scores = {name: next(iter(task.metrics.values())).value for name, task in run.tasks.items() if task.metrics}
        return scores, {name: run.tasks[name].n for name in scores}

    return evaluate


def _smaller(limit: int | float | str | None, small: int) -> int | float | str:
    """The user's own limit where that asks for fewer documents; shares and slices are left as they are."""
    if limit is None or (isinstance(limit, str) and limit.isdigit() and int(limit) > small):
        return small
    return min(limit, small) if isinstance(limit, int) else limit
