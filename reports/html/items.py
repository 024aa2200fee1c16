"""The documents that a page's explorer lists: what became of each, before and after."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from evalkit.comparison import Comparison, Flip
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
    """

    task: str
    id: str
    sides: tuple[Sample, ...]
    gain: float | None
    cause: str

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from all others."""
        return self.task, self.id

    @property
    def is_flip(self) -> bool:
        """Whether its outcome changed."""
        return bool(self.cause)


def run_items(run: Run) -> list[Item]:
    """Every document of a run, those that need a look first: without a readable answer, then wrong, then the rest."""
    found = [Item(name, sample.id, (sample,), None, "") for name, task in run.tasks.items() for sample in task.samples]
    urgency = {"right": 2, "scored": 2, "wrong": 1, "mixed": 1}
    return sorted(found, key=lambda item: urgency.get(item.sides[0].outcome, 0))


def comparison_items(comparison: Comparison) -> list[Item]:
    """Every document that both runs have: first those that changed, the largest change first, then the rest."""
    found = [item for name in leaves(comparison) for item in _task_items(comparison, name)]
    return sorted(found, key=lambda item: (not item.is_flip, -abs(item.gain or 0.0), -_moved(item)))


def _moved(item: Item) -> float:
    """How far the margin moved, nats: what tells flips of a metric apart that is only ever 0 or 1."""
    before, after = (margin(side) for side in item.sides)
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
    metric = comparison.tasks[name].change.metric
    for identifier, first in before.items():
        second = after.get(identifier)
        if second is None:
            continue
        flip = flips.get(identifier)
        scored = metric in first.metrics and metric in second.metrics
        gain = flip.gain if flip else 0.0 if scored else None
        yield Item(name, identifier, (first, second), gain, flip.cause.value if flip else "")


def margin(sample: Sample) -> float | None:
    """Log-probability of the best right choice minus that of the best wrong one, nats; None where there is none."""
    value = sample.fields.get("margin")
    return float(value) if isinstance(value, int | float) else None


def picked(sample: Sample) -> int | None:
    """Index of the choice that the model picked."""
    value = sample.fields.get("picked")
    return value if isinstance(value, int) else None


def golds(sample: Sample) -> tuple[int, ...]:
    """Indices of the right choices."""
    value = sample.fields.get("gold")
    if isinstance(value, int):
        return (value,)
    return tuple(one for one in value if isinstance(one, int)) if isinstance(value, list | tuple) else ()


def choices(sample: Sample) -> int | None:
    """Number of choices."""
    value = sample.fields.get("choices")
    return value if isinstance(value, int) else None
