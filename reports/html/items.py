"""The documents that a page's explorer lists: what became of each, before and after."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from evalkit.comparison import Comparison, Flip, Verdict
from evalkit.reports.html.judging import Judgement, judge
from evalkit.reports.html.records import Record
from evalkit.results import Run, Sample


@dataclass(frozen=True, slots=True)
class Item:
    """One document of one task.

    Attributes:
        task: Its task.
        id: The sample's id.
        sides: Its sample in each run: one, or before and after.
        gain: Change of the main metric, positive where it got better; None for a single run, or where a side has no value.
        cause: Why it changed; empty where it did not.
        metric: The task's main metric; empty for the sample's first.
        judged: For each side, what that metric sees; empty before the logs are read.
    """

    task: str
    id: str
    sides: tuple[Sample, ...]
    gain: float | None
    cause: str
    metric: str = ""
    judged: tuple[Judgement | None, ...] = ()

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from all others."""
        return self.task, self.id

    def margin(self, side: int) -> float | None:
        """How far the best right choice is ahead of the best wrong one, as the main metric counts."""
        one = self.judged[side] if self.judged else None
        return None if one is None else one.margin

    def picked(self, side: int) -> int | None:
        """Index of the choice that the main metric takes as picked."""
        one = self.judged[side] if self.judged else None
        return None if one is None else one.picked

    @property
    def unit(self) -> str:
        """Of its margins; empty where it has none."""
        return next((one.unit for one in self.judged if one is not None), "")

    @property
    def is_flip(self) -> bool:
        """Whether its outcome changed."""
        return bool(self.cause)


def run_items(run: Run) -> list[Item]:
    """Every document of a run, those that need a look first: without a readable answer, then wrong, then the rest."""
    found = [
        Item(name, sample.id, (sample,), None, "", next(iter(task.metrics), ""))
        for name, task in run.tasks.items()
        for sample in task.samples
    ]
    urgency = {"right": 2, "scored": 2, "wrong": 1, "mixed": 1}
    return sorted(found, key=lambda item: urgency.get(item.sides[0].outcome, 0))


def comparison_items(comparison: Comparison) -> list[Item]:
    """Every document that both runs have: first those that changed, the largest change first, then the rest."""
    return by_change([item for name in leaves(comparison) for item in _task_items(comparison, name)])


def by_change(items: Sequence[Item]) -> list[Item]:
    """Items of a comparison, the largest change first; of the same change, the one whose margin moved most.

    What tells flips apart of a metric that is only ever 0 or 1. A move counts in multiples of its unit's median move,
    for a nat is not a nat a character.
    """
    moves: dict[str, list[float]] = {}
    for item in items:
        if moved := _moved(item):
            moves.setdefault(item.unit, []).append(moved)
    usual = {unit: median(found) for unit, found in moves.items()}
    return sorted(
        items,
        key=lambda item: (not item.is_flip, -abs(item.gain or 0.0), -_moved(item) / usual.get(item.unit, 1.0)),
    )


def judged(items: Sequence[Item], records: Sequence[Mapping[tuple[str, str], Record]]) -> list[Item]:
    """The items with what their metrics see.

    Args:
        items: As they are.
        records: For each run, what its log says; empty where there is none.
    """
    return [replace(item, judged=_judgements(item, [found.get(item.key) for found in records])) for item in items]


def _judgements(item: Item, records: Sequence[Record | None]) -> tuple[Judgement | None, ...]:
    return tuple(
        judge(item.metric or next(iter(side.metrics), ""), side, one)
        for side, one in zip(item.sides, records, strict=True)
    )


def _moved(item: Item) -> float:
    """How far the margin moved."""
    before, after = (item.margin(side) for side in (0, 1))
    return 0.0 if before is None or after is None else abs(after - before)


def leaves(comparison: Comparison) -> list[str]:
    """Names of the tasks, without groups."""
    runs = (comparison.before.run, comparison.after.run)
    return [name for name in comparison.tasks if all(name in run.tasks for run in runs)]


def _task_items(comparison: Comparison, name: str) -> Iterator[Item]:
    before, after = (
        {sample.id: sample for sample in side.run.tasks[name].samples} for side in (comparison.before, comparison.after)
    )
    flips: Mapping[str, Flip] = {flip.id: flip for flip in comparison.tasks[name].flips}
    change = comparison.tasks[name].change
    metric = change.metric
    # of answers to different questions neither is better
    comparable = change.verdict is not Verdict.NOT_COMPARABLE
    for identifier, first in before.items():
        second = after.get(identifier)
        if second is None:
            continue
        flip = flips.get(identifier) if comparable else None
        scored = comparable and metric in first.metrics and metric in second.metrics
        gain = flip.gain if flip else 0.0 if scored else None
        yield Item(name, identifier, (first, second), gain, flip.cause.value if flip else "", metric)
