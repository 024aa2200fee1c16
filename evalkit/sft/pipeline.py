"""From data to verdict: the steps of a fine-tuning, each kept on disk, so that the same call goes on where it stopped.

Read and clean -> contamination -> base -> train -> tuned -> compare, drift, alarms, gate -> report
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit import __version__
from evalkit.errors import InterruptedRunError, UsageError
from evalkit.fine_tuning import (
    Drift,
    FineTuning,
    RetrievalTable,
    SeedSpread,
    StageMatrix,
    Training,
)
from evalkit.retrieval import Retrieval
from evalkit.runner.progress import Progress, Silent
from evalkit.sft.evaluations import evaluated, release_memory, small_evaluation
from evalkit.sft.extra import require_extra
from evalkit.sft.gate import policy
from evalkit.sft.request import FineTuningRequest, versions
from evalkit.sft.stages import Prepared, Stage, prepare
from evalkit.sft.workspace import Workspace

if TYPE_CHECKING:
    from evalkit.comparison import Comparison
    from evalkit.data import DataOptions
    from evalkit.gating.policy import Policy
    from evalkit.gating.result import GateResult
    from evalkit.models import ModelOptions
    from evalkit.registry import Selection
    from evalkit.results import Run

_USE_MODELS = ("base", "training", "tuned", "retrieval", "drift")
"""Steps that leave a model behind."""
PROMPTS_FOR_DRIFT = 40
"""Prompts of each run that drift is measured on."""


@dataclass(slots=True)
class Work:
    """What the steps share.

    Attributes:
        request: What was asked.
        workspace: Where it lies.
        data: Where data may come from.
        progress: Told what happens.
    """

    request: FineTuningRequest
    workspace: Workspace
    data: DataOptions
    progress: Progress

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Takes the time of a step, and frees the memory of the models that it used."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.workspace.add_cost(name, time.perf_counter() - start)
            if name in _USE_MODELS:
                release_memory()


def fine_tune(request: FineTuningRequest, progress: Progress | None = None) -> FineTuning:
    """Evaluates, trains, evaluates again, and says what changed.

    Raises:
        EvalkitError: See `evalkit.errors`; the same call continues after whatever it was.
    """
    request.check()
    require_extra()
    roots, data = _asked(request)
    _check_targets(request, roots)
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
    prepared = _prepared(work)
    request = work.request
    scored = not any(stage.objective == "reward" for stage in prepared.stages)
    base = _base(work) if scored else None
    if scored:
        _with_passages(work, request.base, "base")  # what cannot be asked with passages is told before training
    trainings = _trainings(work, prepared.stages, scored)
    tuned = request.tuned if request.tuned is not None else trainings[0].model
    result = FineTuning(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        evalkit_version=__version__,
        base=request.base,
        tuned=tuned,
        command=request.command,
        configuration={**request.configuration(), **request.judging(), "versions": versions()},
        targets=request.targets,
        data=prepared.report if prepared.report.sources else None,
        contamination=prepared.contamination,
        trainings=tuple(trainings),
    )
    if base is None and request.evaluation.tasks:
        result = replace(result, notes=("a reward model answers no task: none was evaluated",))
    if base is not None:
        result = _compared(work, result, prepared.stages, base, asked)
    return _finished(work, _alarmed(work, result))


def _asked(request: FineTuningRequest) -> tuple[tuple[str, ...], DataOptions]:
    """The tasks, and where data may come from; a reward model answers no task, so that none has to be named.

    Raises:
        UsageError: An option is wrong, or a task is not known.
    """
    if request.retrieve is not None:
        _ = Retrieval(
            request.retrieve, request.passages
        ).sha256  # told before hours of training where it cannot be read
    if request.method != "reward" or request.evaluation.tasks:
        selection, _, data, _ = request.evaluation.parts()
        return _roots(selection), data
    from evalkit.data import DataOptions

    given = request.evaluation
    return (), DataOptions.resolve(given.data_dir, given.offline, trust_remote_code=given.trust_remote_code)


def _roots(selection: Selection) -> tuple[str, ...]:
    """Tasks and groups that are in no group, as a comparison lists them."""
    scored = {name: group for name, group in selection.groups.items() if group.group.metrics}
    inside = {member for group in scored.values() for member in group.members}
    return tuple(name for name in (*scored, *selection.tasks) if name not in inside)


def _check_targets(request: FineTuningRequest, roots: Sequence[str]) -> None:
    for target in request.targets:
        if target not in roots:
            raise UsageError(
                f"the target {target} is none of the tasks that are evaluated",
                hint=f"the tasks are: {', '.join(roots)}; add it to --tasks",
            )


# --- before


def _prepared(work: Work) -> Prepared:
    from evalkit.sft.contamination import benchmark_items
    from evalkit.sft.data import write_dropped
    from evalkit.training_data import DataReport

    request = work.request
    corpus = _corpus(request)
    if not request.stages:
        if corpus:
            work.workspace.keep_sources(corpus)
        return Prepared((), DataReport(()), (), None)
    items = None
    if request.contamination != "ignore" and request.method != "reward":
        work.progress.stage("reading the benchmarks")
        with work.step("contamination"):
            items = benchmark_items(request.evaluation)
    work.progress.stage("reading the training data")
    with work.step("data"):
        prepared = prepare(request, work.data, items)
    work.workspace.keep_sources({**{source.name: source.sha256 for source in prepared.report.sources}, **corpus})
    if prepared.dropped:
        write_dropped(work.workspace.path("dropped.jsonl"), prepared.dropped)
        prepared = replace(prepared, report=replace(prepared.report, dropped_file="dropped.jsonl"))
    for line in _described(prepared):
        work.progress.note(line)
    return prepared


def _corpus(request: FineTuningRequest) -> dict[str, str]:
    """The corpus by its hash: results with passages of an earlier one must not be taken for results with this one."""
    if request.retrieve is None:
        return {}
    return {f"--retrieve {request.retrieve}": Retrieval(request.retrieve, request.passages).sha256}


def _described(prepared: Prepared) -> Iterator[str]:
    """What the user should see of the data before hours of training."""
    for source in prepared.report.sources:
        lost = ", ".join(f"{count:,} {reason}" for reason, count in source.dropped.items())
        odd = ", ".join(f"{count:,} {reason}" for reason, count in source.flagged.items())
        yield (
            f"{source.name}: {source.rows:,} rows ({source.format}), {source.kept:,} kept"
            + (f"; dropped: {lost}" if lost else "")
            + (f"; kept, but odd: {odd}" if odd else "")
        )
    found = prepared.contamination
    if found is not None and found.found:
        what = {
            "drop-train": "these rows are left out of training",
            "flag-eval": "the rows are trained on, and scores are given on clean items too",
        }.get(found.policy, "")
        yield f"training rows that hold items of the benchmarks: {found.rows_found:,} ({found.found:,} items): {what}"


def _base(work: Work) -> Run:
    request, folder = work.request, work.workspace
    with work.step("base"):
        return evaluated(request, request.base, folder.path("base.json"), work.progress, "base")


# --- training


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
                    _model_options(work),
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


def _model_options(work: Work) -> ModelOptions:
    from evalkit.models import ModelOptions

    given = work.request.evaluation
    return ModelOptions(
        dtype="float32",
        device=given.device,
        trust_remote_code=given.trust_remote_code,
        allow_pickle=given.allow_pickle,
        max_length=given.max_length,
        offline=work.data.offline,
    )


# --- after


def _compared(work: Work, result: FineTuning, stages: Sequence[Stage], base: Run, asked: Policy | None) -> FineTuning:
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

    _with_passages(work, model, "tuned")
    files = [folder.path(f"{side}{ending}.json") for side in ("base", "tuned") for ending in ("", "-retrieval")]
    return retrieval_table(*files, margin=request.margin)


def _with_passages(work: Work, model: str, side: str) -> None:
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
            _model_options(work),
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


# --- the end


def _alarmed(work: Work, result: FineTuning) -> FineTuning:
    from evalkit.sft.outcome import alarms
    from evalkit.sft.training import weights_changed

    changed = None
    if result.trainings and result.trainings[0].objective != "reward":  # whose head is new
        with work.step("comparing"):
            changed = weights_changed(result.base, result.trainings[0].model, _model_options(work))
    return replace(
        result,
        alarms=alarms(
            comparison=result.comparison,
            drift=result.drift,
            outputs=result.outputs,
            trainings=result.trainings,
            contamination=result.contamination,
            changed=changed,
            targets=result.targets,
        ),
    )


def _finished(work: Work, result: FineTuning) -> FineTuning:
    from evalkit.reports.model_card import model_card
    from evalkit.sft.to_json import write_fine_tuning_json

    folder = work.workspace
    files = {"report": "report.html", "outcome": "sft.json", "configuration": "config.json"}
    named = {"base": "base.json", "tuned": "tuned.json", "dropped rows": "dropped.jsonl", "model": "model"}
    files |= {what: name for what, name in named.items() if folder.path(name).exists()}
    result = replace(result, cost=_cost(work, result), files=files, command=result.command or _call(work.request))
    for training in result.trainings:
        write_text(
            Path(training.model.removeprefix("peft:")) / "README.md", model_card(replace(result, tuned=training.model))
        )
    write_fine_tuning_json(result, folder.path("sft.json"))
    work.progress.stage("writing the report")
    result.to_html(folder.path("report.html"))
    return result


def _cost(work: Work, result: FineTuning) -> dict[str, float]:
    """Seconds by step, of all processes that worked on it."""
    cost = work.workspace.cost()
    if result.trainings:
        cost["training"] = sum(one.seconds for one in result.trainings)
    return cost


def _call(request: FineTuningRequest) -> str:
    """The nearest command for a call from Python."""
    words = ["evalkit", "sft", "--model", request.base]
    for name in request.data:
        words += ["--data", name]
    if request.tuned is not None:
        words += ["--tuned", request.tuned]
    words += ["--tasks", ",".join(request.configuration()["tasks"]), "-o", str(request.output)]
    return shlex.join(words)


def write_text(path: Path, text: str) -> None:
    """Writes a UTF-8 file whole or not at all."""
    from evalkit.files import atomic_writer

    with atomic_writer(path) as stream:
        stream.write(text.encode("utf-8", "backslashreplace"))
