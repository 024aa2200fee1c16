"""After training: the tuned models evaluated, compared, and everything that moved beside the scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from evalkit.fine_tuning import Drift, FineTuning, RetrievalTable, SeedSpread, StageMatrix
from evalkit.sft.evaluations import evaluated
from evalkit.sft.request import FineTuningRequest
from evalkit.sft.stages import Stage
from evalkit.sft.work import Work

if TYPE_CHECKING:
    from evalkit.comparison import Comparison
    from evalkit.gating.policy import Policy
    from evalkit.gating.result import GateResult
    from evalkit.results import Run

PROMPTS_FOR_DRIFT = 40
"""Prompts of each run that drift is measured on."""


def compared(work: Work, result: FineTuning, stages: Sequence[Stage], base: Run, asked: Policy | None) -> FineTuning:
    """The tuned models evaluated, and all that their results say beside the base's."""
    from evalkit.comparing.compare import compare
    from evalkit.sft.contamination import clean_comparison
    from evalkit.sft.outcome import outputs

    request, folder = work.request, work.workspace
    runs = _tuned_runs(work, result)
    tuned = next(iter(runs.values()))
    retrieval = _retrieval(work, result.tuned)
    with work.step("comparing"):
        work.progress.stage("comparing")
        comparison = compare(folder.path("base.json"), folder.path("tuned.json"), margin=request.margin)
        found = result.contamination
        clean = None if found is None else clean_comparison(base, tuned, found, margin=request.margin)
        gate = _gated(work, asked)
    return replace(
        result,
        comparison=comparison,
        clean=clean,
        drift=_drift(work, result),
        outputs=outputs(folder.path("base.json"), folder.path("tuned.json")),
        seeds=_seeds(request, stages, base, runs),
        stages=_matrix(request, stages, base, runs),
        retrieval=retrieval,
        gate=gate,
        notes=_notes(request, comparison, stages),
    )


def _tuned_runs(work: Work, result: FineTuning) -> dict[tuple[int, int], Run]:
    """(stage, seed) -> the tuned model's result; the one that is compared first."""
    request, folder = work.request, work.workspace
    if request.tuned is not None:
        with work.step("tuned"):
            return {(1, 0): evaluated(request, request.tuned, folder.path("tuned.json"), work.progress, "tuned")}
    stages, seeds = len(request.stages), request.train_seeds
    runs = {}
    for one in result.trainings:
        part = folder.part(one.stage, stages, one.seed, seeds)
        where = "tuned" if part == folder.folder else f"tuned ({part.name})"
        with work.step("tuned"):
            runs[one.stage, one.seed] = evaluated(request, one.model, part / "tuned.json", work.progress, where)
    return runs


def _retrieval(work: Work, model: str) -> RetrievalTable | None:
    request, folder = work.request, work.workspace
    if request.retrieve is None:
        return None
    from evalkit.sft.outcome import retrieval_table

    with_passages(work, model, "tuned")
    files = [folder.path(f"{side}{ending}.json") for side in ("base", "tuned") for ending in ("", "-retrieval")]
    return retrieval_table(*files, margin=request.margin)


def _gated(work: Work, asked: Policy | None) -> GateResult | None:
    from evalkit.gating.decide import gate

    if asked is None:
        return None
    return gate(work.workspace.path("base.json"), work.workspace.path("tuned.json"), asked)


def _drift(work: Work, result: FineTuning) -> tuple[Drift, ...]:
    from evalkit.sft.outcome import drift, general_text, prompts_of
    from evalkit.sft.store import read_result, write_result

    kept = work.workspace.path("drift.json")
    if kept.exists():
        return read_result(kept, tuple[Drift, ...])
    work.progress.stage("measuring drift")
    texts = {
        "general text": general_text(),
        "the tasks, prompts with answers": prompts_of(work.workspace.path("base.json"), PROMPTS_FOR_DRIFT),
    }
    with work.step("drift"):
        found = drift(
            work.request.base,
            result.tuned,
            work.model_options(),
            {name: given for name, given in texts.items() if given},
            work.workspace.folder,
            progress=work.progress,
        )
    write_result(kept, found)
    return found


def _seeds(
    request: FineTuningRequest, stages: Sequence[Stage], base: Run, runs: dict[tuple[int, int], Run]
) -> tuple[SeedSpread, ...]:
    from evalkit.sft.outcome import seed_spread

    if len(request.train_seeds) < 2:
        return ()
    return seed_spread(base, {seed: runs[len(stages), seed] for seed in request.train_seeds})


def _matrix(
    request: FineTuningRequest, stages: Sequence[Stage], base: Run, runs: dict[tuple[int, int], Run]
) -> StageMatrix | None:
    from evalkit.sft.outcome import stage_matrix

    if len(stages) < 2:
        return None
    names = [", ".join(stage.sources) for stage in stages]
    after = [runs[stage.number, request.train_seeds[0]] for stage in stages]
    return stage_matrix(names, request.targets, base, after)


def _notes(request: FineTuningRequest, comparison: Comparison, stages: Sequence[Stage]) -> tuple[str, ...]:
    notes = list(comparison.notes)
    if stages and len(request.train_seeds) == 1:
        notes.append(
            "one training seed: the intervals say how the documents drawn move the scores, not how much another seed "
            "would; --train-seeds 0,1,2 shows that"
        )
    if stages and request.contamination == "ignore":
        notes.append("training rows were not searched for benchmark items (--contamination ignore)")
    return tuple(notes)


def with_passages(work: Work, model: str, side: str) -> None:
    """Evaluates the base or the tuned model with passages, where there are any."""
    request = work.request
    if request.retrieve is None:
        return
    output = work.workspace.path(f"{side}-retrieval.json")
    with work.step("retrieval"):
        evaluated(
            request,
            model,
            output,
            work.progress,
            f"{side} with passages",
            retrieve=request.retrieve,
            passages=request.passages,
        )
