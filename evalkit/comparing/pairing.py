"""Which documents of a task two runs share, and their samples side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from evalkit.comparison import Pairing
from evalkit.results import Sample, TaskResult
from evalkit.summaries import UNSCORED


@dataclass(frozen=True, slots=True)
class Pairs:
    """The samples of the documents that both runs scored.

    Attributes:
        pairing: Which documents these are, and which are left out.
        before: The first run's samples.
        after: The second's, of the same documents in the same order.
    """

    pairing: Pairing
    before: tuple[Sample, ...]
    after: tuple[Sample, ...]


def pair(before: TaskResult, after: TaskResult) -> Pairs:
    """Pairs the samples of a task by their documents' content, ordered by id.

    The order is the same whatever order the files have, so that no draw at random depends on it.
    """
    first = {sample.id: sample for sample in before.samples}
    second = {sample.id: sample for sample in after.samples}
    common = sorted(first.keys() & second.keys())
    unscored_before = tuple(identity for identity in common if first[identity].outcome in UNSCORED)
    unscored_after = tuple(identity for identity in common if second[identity].outcome in UNSCORED)
    left_out = {*unscored_before, *unscored_after}
    paired = [identity for identity in common if identity not in left_out]
    pairing = Pairing(
        paired=len(paired),
        only_before=tuple(identity for identity in first if identity not in second),
        only_after=tuple(identity for identity in second if identity not in first),
        unscored_before=unscored_before,
        unscored_after=unscored_after,
    )
    return Pairs(pairing, tuple(first[identity] for identity in paired), tuple(second[identity] for identity in paired))


def joined(pairings: Mapping[str, Pairing]) -> Pairing:
    """The pairing of several tasks together, for a group: ids are `TASK/ID`, since tasks may share documents."""

    def ids(field: str) -> tuple[str, ...]:
        return tuple(f"{task}/{identity}" for task, one in pairings.items() for identity in getattr(one, field))

    return Pairing(
        sum(one.paired for one in pairings.values()),
        ids("only_before"),
        ids("only_after"),
        ids("unscored_before"),
        ids("unscored_after"),
    )
