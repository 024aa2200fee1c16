"""A run that asks its documents in parts, and after each part lets someone choose what to ask next, or to stop.

Data, prompts and tokens are prepared once, for all documents; only what is chosen is computed. The journal is that of the
whole run, so that the same command continues an interrupted one: what was answered is looked at again, not asked again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from evalkit.backends.base import Backend
from evalkit.data import DataOptions
from evalkit.registry import ResolvedGroup, Selection
from evalkit.results import Run, Sample, samples_path, write_samples
from evalkit.runner.answering import Answering, sample_of
from evalkit.runner.asking import Asked, Ready
from evalkit.runner.assemble import assemble, prompts_sha256, sample_rows
from evalkit.runner.evaluate import Stopwatch, check_output, prepare
from evalkit.runner.items import Item
from evalkit.runner.progress import Progress, Silent
from evalkit.runner.settings import RunSettings


@dataclass(frozen=True, slots=True)
class Offer:
    """What can be asked of one task.

    Attributes:
        items: Its documents.
        version: Version of the task.
        shots: Number of few-shot examples.
        prompt_sha256: Hash over all prompts, as a result file has it.
    """

    items: Sequence[Item]
    version: int
    shots: int
    prompt_sha256: str


class Chooser(Protocol):
    """Who says what is asked next."""

    def described(self) -> Mapping[str, object]:
        """JSON values: how it chooses, for the settings of a run over some of the documents."""
        ...

    def begin(self, offers: Mapping[str, Offer]) -> None:
        """Told once what there is: task -> its documents."""
        ...

    def choose(self, answered: Mapping[str, Sequence[Sample]]) -> Mapping[str, Collection[str]]:
        """Task -> ids of documents to ask next; nothing at all ends the run.

        Args:
            answered: Task -> what everything chosen in the last look gave, errored documents too.
        """
        ...


def evaluate_in_looks(
    selection: Selection,
    load_backend: Callable[[], Backend],
    data: DataOptions,
    settings: RunSettings,
    chooser: Chooser,
    *,
    output: Path | None = None,
    progress: Progress | None = None,
) -> Run:
    """Evaluates a model on as many documents as `chooser` wants.

    Args:
        selection: Tasks and groups.
        load_backend: Loads what answers; called once, after the data.
        data: Where datasets may come from.
        settings: What else decides the scores.
        chooser: Says what is asked next. It must choose the same again when the answers are the same.
        output: As for `evalkit.runner.evaluate.evaluate`.
        progress: Told what happens.

    Returns:
        The run over the documents that were chosen, also written to `output`.

    Raises:
        EvalkitError: See `evalkit.errors`. After an interruption the same call continues.
        ValueError: Nothing was chosen at all.
    """
    progress = progress or Silent()
    watch = Stopwatch()
    try:
        if output is not None:
            check_output(output)
        ready = prepare(selection, load_backend, data, settings, progress, watch)
        chooser.begin(_offers(ready))
        with Answering(ready, output, progress) as answering:
            progress.stage("scoring")
            chosen: set[int] = set()
            look: set[int] = set()
            while look := _places(ready, chooser.choose(_samples(ready, look, answering))) - chosen:
                chosen |= look
                with watch.stage("scoring"):
                    answering.answer(request for place in look for request in _requests(ready.asked[place]))
            if not chosen:
                raise ValueError("no document was chosen")
            part = _part(ready, chosen)
            with watch.stage("scores"):
                run = assemble(_pruned(selection, part), part, answering, settings, watch.seconds)
                if len(chosen) < len(ready.asked):  # with all documents it is a run like any other
                    run = replace(run, settings={**run.settings, **chooser.described()})
            if output is not None:
                write_samples(samples_path(output), sample_rows(part.asked, answering.answers))
                run.save(output)
            if not any(result.outcomes.get("errored") for result in run.tasks.values()):
                answering.forget()
        return run
    finally:
        progress.finish()


def _offers(ready: Ready) -> dict[str, Offer]:
    asked: dict[str, list[Asked]] = {run.key: [] for run in ready.runs}
    for one in ready.asked:
        asked[one.run.key].append(one)
    return {
        run.key: Offer([one.item for one in asked[run.key]], run.version, run.shots, prompts_sha256(asked[run.key]))
        for run in ready.runs
    }


def _places(ready: Ready, wanted: Mapping[str, Collection[str]]) -> set[int]:
    ids = {key: frozenset(own) for key, own in wanted.items()}
    return {place for place, one in enumerate(ready.asked) if one.item.id in ids.get(one.run.key, ())}


def _requests(one: Asked) -> range:
    return range(one.first, one.first + one.count)


def _samples(ready: Ready, places: Collection[int], answering: Answering) -> dict[str, list[Sample]]:
    answers = answering.answers
    found: dict[str, list[Sample]] = {}
    for place in sorted(places):
        one = ready.asked[place]
        found.setdefault(one.run.key, []).append(sample_of(one, answers))
    return found


def _part(ready: Ready, chosen: Collection[int]) -> Ready:
    """The run as if there were no other documents, in the data's order; tasks without any are left out."""
    asked = [one for place, one in enumerate(ready.asked) if place in chosen]
    there = {one.run.key for one in asked}
    runs = [run for run in ready.runs if run.key in there]
    return replace(ready, runs=runs, asked=asked, skipped=Counter())


def _pruned(selection: Selection, part: Ready) -> Selection:
    """The selection without the tasks that were asked nothing, and without groups that are empty then."""
    there = {run.key for run in part.runs}
    groups: dict[str, ResolvedGroup] = {}
    for name, group in selection.groups.items():  # inner ones first
        members = tuple(member for member in group.members if member in there or member in groups)
        if members:
            groups[name] = replace(group, members=members)
    return Selection({key: task for key, task in selection.tasks.items() if key in there}, groups)
