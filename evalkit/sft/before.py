"""Before anything is computed: what is asked can be done, and the rows are read, searched and described."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from evalkit.errors import UsageError
from evalkit.retrieval import Retrieval
from evalkit.sft.request import FineTuningRequest
from evalkit.sft.stages import Prepared, prepare
from evalkit.sft.work import Work

if TYPE_CHECKING:
    from evalkit.data import DataOptions
    from evalkit.registry import Selection


def asked_for(request: FineTuningRequest) -> tuple[tuple[str, ...], DataOptions]:
    """The tasks, and where data may come from; a reward model answers no task, so that none has to be named.

    Raises:
        UsageError: An option is wrong, or a task is not known.
    """
    if request.retrieve is not None:
        _ = _corpus(request)  # told before hours of training where it cannot be read
    if request.method != "reward" or request.evaluation.tasks:
        selection, _, data, _ = request.evaluation.parts()
        roots = _roots(selection)
        _check_targets(request, roots)
        return roots, data
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


def prepared(work: Work) -> Prepared:
    """The rows of every stage, described to the user, and the hashes of what they come from kept."""
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
        found = prepare(request, work.data, items)
    work.workspace.keep_sources({**{source.name: source.sha256 for source in found.report.sources}, **corpus})
    if found.dropped:
        write_dropped(work.workspace.path("dropped.jsonl"), found.dropped)
        found = replace(found, report=replace(found.report, dropped_file="dropped.jsonl"))
    for line in _described(found):
        work.progress.note(line)
    return found


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
