"""The documents that got worse, with what the models wrote, from the logs of samples beside the results."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from evalkit.comparing.picked import golds, picked_choice
from evalkit.comparison import Change, Comparison, Flip, Side
from evalkit.errors import UsageError
from evalkit.gating.measure import leaves
from evalkit.gating.result import BrokenItem
from evalkit.results import SampleRow, mismatch, read_samples, samples_path

SHOWN = 20
"""Documents in all."""
OF_ONE_TASK = 5
"""Of one task among several."""
TEXT = 600
"""Characters of a text; of a prompt the last ones, where the question stands."""


@dataclass(frozen=True, slots=True)
class Broken:
    """Documents that got worse.

    Attributes:
        items: Some of them.
        total: How many there are in all.
        notes: Whose answers cannot be shown.
    """

    items: tuple[BrokenItem, ...]
    total: int
    notes: tuple[str, ...]


def broken_items(comparison: Comparison, tasks: Sequence[str]) -> Broken:
    """Some documents that got worse, the largest losses of each task first.

    Of metrics without a range (perplexities) there are none: half of all documents move there by chance, and a little.

    Args:
        comparison: Both runs; where a log of samples lies beside a result, its texts are shown.
        tasks: Tasks and groups, those that matter most first.
    """
    names = dict.fromkeys(leaf for name in tasks for leaf in _leaves(comparison, name))
    chosen: list[BrokenItem] = []
    total = 0
    for name in names:
        if (task := comparison.tasks.get(name)) is not None and _has_range(task.change):
            lost = sorted((flip for flip in task.flips if flip.gain < 0), key=lambda flip: flip.gain)
            total += len(lost)
            chosen += [_item(name, flip) for flip in lost[: max(OF_ONE_TASK, SHOWN // len(names))]]
    chosen = chosen[:SHOWN]
    wanted = {(item.task, item.id) for item in chosen}
    before, after = (_texts(side, wanted) for side in (comparison.before, comparison.after))
    items = tuple(_with_texts(item, comparison, before, after) for item in chosen)
    return Broken(items, total, _silent(comparison, before, after) if chosen else ())


def _has_range(change: Change) -> bool:
    return change.bounds is not None and all(map(math.isfinite, change.bounds))


def _silent(comparison: Comparison, before: Texts, after: Texts) -> tuple[str, ...]:
    """That a side's answers are not shown: where they could be, or the other side's are."""
    sides = ((comparison.before, before), (comparison.after, after))
    labels = [side.label for side, texts in sides if not texts and (side.path is not None or before or after)]
    if not labels:
        return ()
    whose = " and ".join(labels)
    return (f"no log of samples that belongs to {whose} is beside the result: what it answered is not shown",)


def _leaves(comparison: Comparison, name: str) -> tuple[str, ...]:
    run = comparison.before.run
    return leaves(run, name) if name in run.groups or name in run.tasks else ()


def _item(task: str, flip: Flip) -> BrokenItem:
    return BrokenItem(task, flip.id, flip.gain, flip.cause.value)


Texts = Mapping[tuple[str, str], Sequence[SampleRow]]


def _texts(side: Side, wanted: set[tuple[str, str]]) -> Texts:
    """Rows of the documents asked for; none where there is no log that can be read."""
    found: dict[tuple[str, str], list[SampleRow]] = {}
    if side.path is None or not wanted or not samples_path(side.path).is_file():
        return found
    try:
        if mismatch(side.run, samples_path(side.path), is_part=True) is not None:
            return {}  # another run's
        for row in read_samples(samples_path(side.path), ids={identity for _, identity in wanted}):
            if (row.task, row.id) in wanted:
                found.setdefault((row.task, row.id), []).append(row)
    except UsageError:
        return {}  # the texts are an extra; the decision needs none
    return found


def _with_texts(item: BrokenItem, comparison: Comparison, before: Texts, after: Texts) -> BrokenItem:
    key = (item.task, item.id)
    metric = comparison.tasks[item.task].change.metric
    rows = after.get(key) or before.get(key)
    if not rows:
        return item
    return replace(
        item,
        prompt=_end(rows[0].prompt),
        target=_start(rows[0].target),
        before=_answer(before.get(key, ()), comparison.before, metric),
        after=_answer(after.get(key, ()), comparison.after, metric),
    )


def _answer(rows: Sequence[SampleRow], side: Side, metric: str) -> str | None:
    """What the model wrote; for choices the one that the metric takes as picked. None where it is not known."""
    if not rows:
        return None
    first = rows[0]
    if first.kind == "generate":
        return _start(first.continuation)
    choices, scores = [row.continuation for row in rows], [row.log_probability for row in rows]
    sample = next(one for one in side.run.tasks[first.task].samples if one.id == first.id)
    place = picked_choice(metric, choices, scores, golds(sample), sample.metrics.get(metric))
    return _start((first.answer or "") if place is None else choices[place].removeprefix(" "))


def _start(text: str) -> str:
    return text if len(text) <= TEXT else f"{text[:TEXT]} ... ({len(text):,} characters)"


def _end(text: str) -> str:
    return text if len(text) <= TEXT else f"... {text[-TEXT:]}"
