"""Which answers are taken for which: the table of gold labels against picked ones, and the numbers read from it."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class LabelScore:
    """How well one label is found; each number is 0 where nothing was there to be found or picked, as in scikit-learn.

    Attributes:
        label: Its name.
        gold: Items that have the label.
        picked: Items that were given it.
        precision: Share of the picked ones that are right.
        recall: Share of those that have it that were found.
        f1: Harmonic mean of the two.
    """

    label: Hashable
    gold: int
    picked: int
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, slots=True)
class Confusion:
    """A table of confusion.

    Attributes:
        labels: In the order of rows and columns.
        counts: Items, [gold][picked].
        accuracy: Share on the diagonal.
        kappa: Cohen's (1960): accuracy beyond what the two margins alone give; None where these leave nothing beyond.
        macro_f1: Mean F1 of the labels that occur at all.
        balanced_accuracy: Mean recall of the labels that occur in gold.
        matthews: Matthews' correlation, for several labels as Gorodkin (2004); None where one side has a single label.
        per_label: One for each label.
    """

    labels: tuple[Hashable, ...]
    counts: tuple[tuple[int, ...], ...]
    accuracy: float
    kappa: float | None
    macro_f1: float
    balanced_accuracy: float
    matthews: float | None
    per_label: tuple[LabelScore, ...]


def confusion(
    gold: Sequence[Hashable], picked: Sequence[Hashable], labels: Sequence[Hashable] | None = None
) -> Confusion:
    """The table of confusion of gold labels and picked ones.

    Args:
        gold: The right label of each item.
        picked: The label it was given; what could not be read is a label of its own.
        labels: All labels, in the order to show; by default those that occur, sorted by their text.

    Raises:
        ValueError: There are no items, lengths differ, or a label is not among `labels`.
    """
    if len(gold) != len(picked) or not len(gold):
        raise ValueError(f"{len(gold)} gold labels, but {len(picked)} picked ones")
    occurring = {*gold, *picked}
    names = tuple(sorted(occurring, key=str) if labels is None else labels)
    if unknown := occurring - set(names):
        raise ValueError(f"not among the labels: {', '.join(sorted(map(str, unknown)))}")
    places = {name: place for place, name in enumerate(names)}
    counts = np.zeros((len(names), len(names)), dtype=np.int64)
    np.add.at(counts, ([places[name] for name in gold], [places[name] for name in picked]), 1)
    return _summarised(names, counts)


def _summarised(names: tuple[Hashable, ...], counts: np.ndarray[tuple[int, int], np.dtype[np.int64]]) -> Confusion:
    total = int(counts.sum())
    rows, columns, diagonal = counts.sum(axis=1), counts.sum(axis=0), counts.diagonal()
    per_label = tuple(_label_score(name, *map(int, c)) for name, *c in zip(names, rows, columns, diagonal, strict=True))
    right = int(diagonal.sum())
    together = int(rows @ columns)
    spread = (total**2 - int(rows @ rows)) * (total**2 - int(columns @ columns))
    present = [score for score in per_label if score.gold or score.picked]
    recalls = [score.recall for score in per_label if score.gold]
    return Confusion(
        labels=names,
        counts=tuple(tuple(int(count) for count in row) for row in counts),
        accuracy=right / total,
        kappa=(right * total - together) / (total**2 - together) if together < total**2 else None,
        macro_f1=math.fsum(score.f1 for score in present) / len(present),
        balanced_accuracy=math.fsum(recalls) / len(recalls),
        matthews=(right * total - together) / math.sqrt(spread) if spread else None,
        per_label=per_label,
    )


def _label_score(label: Hashable, gold: int, picked: int, right: int) -> LabelScore:
    precision = right / picked if picked else 0.0
    recall = right / gold if gold else 0.0
    return LabelScore(label, gold, picked, precision, recall, 2 * right / (gold + picked) if gold + picked else 0.0)
