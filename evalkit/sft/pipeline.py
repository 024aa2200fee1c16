"""From data to verdict: the steps of a fine-tuning, each kept on disk, so that the same call goes on where it stopped.

Read and clean -> contamination -> base -> train -> tuned -> compare, drift, alarms, gate -> report
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from evalkit import __version__
from evalkit.errors import InterruptedRunError
from evalkit.fine_tuning import FineTuning, Training
from evalkit.runner.progress import Progress, Silent
from evalkit.sft.after import compared, with_passages
from evalkit.sft.before import asked_for, prepared
from evalkit.sft.ending import alarmed, finished
from evalkit.sft.evaluations import evaluated, small_evaluation
from evalkit.sft.extra import require_extra
from evalkit.sft.gate import policy
from evalkit.sft.request import FineTuningRequest, versions
from evalkit.sft.stages import Stage
from evalkit.sft.work import Work
from evalkit.sft.workspace import Workspace

if TYPE_CHECKING:
    from evalkit.gating.policy import Policy
    from evalkit.results import Run


def fine_tune_together(request: FineTuningRequest, progress: Progress | None = None) -> FineTuning | None:
    """As `fine_tune`, with all processes that a launcher has started (`torchrun`); they train together.

    Returns:
        What was done; None in the processes that only took part in the training.
    """
    from evalkit.sft.training import together

    with together.gathered(request.evaluation.device):
        if together.rank():
            together.follow()
            return None
        result = fine_tune(request, progress)
        if together.size() > 1:
            together.call(None)
        return result


def fine_tune(request: FineTuningRequest, progress: Progress | None = None) -> FineTuning:
    """Evaluates, trains, evaluates again, and says what changed.

    Raises:
        EvalkitError: See `evalkit.errors`; the same call continues after whatever it was.
    """
    request.check()
    require_extra()
    roots, data = asked_for(request)
    asked = policy(request.require_gain, request.max_forget, request.targets, roots)
    workspace = Workspace(request.output)
    work = Work(request, workspace, data, progress or Silent())
    try:
        with workspace.opened(request.configuration(), fresh=request.fresh, resume=request.resume):
            return _steps(work, asked)
    except KeyboardInterrupt:
        raise InterruptedRunError("interrupted", hint="the same command continues where it stopped") from None
    finally:
        work.progress.finish()


def _steps(work: Work, asked: Policy | None) -> FineTuning:
    rows = prepared(work)
    request = work.request
    scored = not any(stage.objective == "reward" for stage in rows.stages)
    base = _base(work) if scored else None
    if scored:
        with_passages(work, request.base, "base")  # what cannot be asked with passages is told before training
    trainings = _trainings(work, rows.stages, scored)
    tuned = request.tuned if request.tuned is not None else trainings[0].model
    result = FineTuning(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        evalkit_version=__version__,
        base=request.base,
        tuned=tuned,
        command=request.command,
        configuration={**request.configuration(), **request.judging(), "versions": versions()},
        targets=request.targets,
        data=rows.report if rows.report.sources else None,
        contamination=rows.contamination,
        trainings=tuple(trainings),
    )
    if base is None and request.evaluation.tasks:
        result = replace(result, notes=("a reward model answers no task: none was evaluated",))
    if base is not None:
        result = compared(work, result, rows.stages, base, asked)
    return finished(work, alarmed(work, result))


def _base(work: Work) -> Run:
    request, folder = work.request, work.workspace
    with work.step("base"):
        return evaluated(request, request.base, folder.path("base.json"), work.progress, "base")


def _trainings(work: Work, stages: Sequence[Stage], scored: bool) -> list[Training]:
    """Every training, the one whose model is compared first: the last stage with the first seed, then the others."""
    from evalkit.sft.training import train

    request, seeds = work.request, work.request.train_seeds
    found = []
    for seed in seeds:
        model = request.base
        for stage in stages:
            small = small_evaluation(request) if scored and request.spec.eval_every else None
            spec = replace(request.spec, objective=stage.objective, seed=seed)
            folder = work.workspace.part(stage.number, len(stages), seed, seeds)
            with work.step("training"):
                training = train(
                    model,
                    work.model_options(),
                    stage.rows,
                    stage.held_out,
                    spec,
                    folder,
                    stage=stage.number,
                    progress=work.progress,
                    evaluate=small,
                )
            model = training.model
            found.append(training)
    last = [one for one in found if one.stage == len(stages)]
    return [*last[:1], *(one for one in found if one is not last[0])] if last else []
