"""From shared n-grams to what is said of an item: which evidence, how much of it, and in which rows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evalkit.sft.contamination.forms import Benchmark
from evalkit.sft.contamination.items import BenchmarkItem
from evalkit.sft.contamination.row_texts import row_texts
from evalkit.sft.contamination.short import WholeMatch
from evalkit.sft.contamination.words import words
from evalkit.sft.rows import TrainingRow
from evalkit.training_data import Evidence, Overlap
from evalkit.word_index import UNSPACED

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]

ROWS_SHOWN = 5
STRENGTH: Mapping[Evidence, int] = {"question": 1, "answer": 2, "question+answer": 3, "exact": 4}
ANSWER_WORDS = 3
"""Words of the answer that an n-gram across both must have, or all where it is shorter: many an answer begins with "the"."""
MOST = 0.5
"""Share of an item that must be found before the same answer, which may be a mere "B", adds to the evidence."""
_BY_STRENGTH: Mapping[int, Evidence] = {strength: evidence for evidence, strength in STRENGTH.items()}
_QUESTION, _ANSWER, _SPANNING = 1, 2, 4
_BETWEEN_CHARACTERS = re.compile(rf"(?<=[{UNSPACED}]) (?=[{UNSPACED}])")


@dataclass(frozen=True, slots=True)
class Found:
    """Shared n-grams and whole items, in all rows.

    Attributes:
        row: Of each shared n-gram the row, [n-grams].
        place: Where it begins; places of the same row follow each other.
        mine: Where it begins in the items' texts.
        sizes: Its words.
        wholes: Item -> row -> the short item as a whole.
        rows: All rows that hold anything.
    """

    row: Integers
    place: Integers
    mine: Integers
    sizes: Integers
    wholes: Mapping[int, Mapping[int, WholeMatch]]
    rows: frozenset[int]


class _Placed:
    """The shared n-grams in the order of items, then rows, then place: each with the form that it is of."""

    def __init__(self, benchmark: Benchmark, found: Found) -> None:
        import numpy as np

        starts = benchmark.texts.starts
        form = np.searchsorted(starts, found.mine, side="right") - 1
        item = np.array([one.item for one in benchmark.forms], dtype=np.int64)[form]
        order = np.lexsort((found.place, found.row, item))
        self.item, self.form, self.size = item[order], form[order], found.sizes[order]
        self.row, self.place = found.row[order], found.place[order]
        self.offset = found.mine[order] - starts[self.form]
        boundary = np.array([one.boundary for one in benchmark.forms], dtype=np.int64)[self.form]
        told = np.minimum(ANSWER_WORDS, np.array([len(one.words) for one in benchmark.forms])[self.form] - boundary)
        holds_answer = (told > 0) & (self.offset + self.size >= boundary + told)
        self.kind = np.where(self.offset >= boundary, _ANSWER, np.where(holds_answer, _SPANNING, _QUESTION))


def overlaps_by_task(benchmark: Benchmark, found: Found, rows: Sequence[TrainingRow]) -> dict[int, tuple[Overlap, ...]]:
    """Place of a task -> its contaminated items, in the dataset's order.

    Args:
        benchmark: The items.
        found: What the rows share with them.
        rows: All training rows.
    """
    import numpy as np

    placed = _Placed(benchmark, found)
    items, first = np.unique(placed.item, return_index=True)
    ends = [*map(int, first), len(placed.item)]
    ranges = {int(item): (ends[place], ends[place + 1]) for place, item in enumerate(items)}
    overlaps: dict[int, list[Overlap]] = {}
    for item in sorted({*ranges, *found.wholes}):
        overlap = _overlap(item, benchmark, placed, ranges.get(item, (0, 0)), found.wholes.get(item, {}), rows)
        overlaps.setdefault(int(benchmark.tasks[item]), []).append(overlap)
    return {task: tuple(its) for task, its in overlaps.items()}


def _overlap(
    item: int,
    benchmark: Benchmark,
    placed: _Placed,
    limits: tuple[int, int],
    wholes: Mapping[int, WholeMatch],
    rows: Sequence[TrainingRow],
) -> Overlap:
    its = slice(*limits)
    coverage = _coverage(benchmark, placed, its, wholes)
    strength = _strengths(placed.row[its].tolist(), placed.place[its].tolist(), placed.kind[its].tolist())
    for row, match in wholes.items():
        strength[row] = max(strength.get(row, 0), STRENGTH[match.evidence])
    if max(strength.values()) == STRENGTH["question"] and coverage >= MOST:
        strength |= _answered(benchmark.items[item], strength, rows)
    best = max(strength.values())
    strongest = sorted(strength, key=lambda row: (-strength[row], row))
    return Overlap(
        id=benchmark.items[item].id,
        evidence=_BY_STRENGTH[best],
        coverage=coverage,
        ngram=_example(benchmark, placed, limits, strongest[0], wholes),
        rows=tuple((rows[row].source, rows[row].index) for row in strongest[:ROWS_SHOWN]),
    )


def _answered(item: BenchmarkItem, rows_found: Iterable[int], rows: Sequence[TrainingRow]) -> dict[int, int]:
    """The first row that holds most of the question and answers with the right answer, however it writes them together."""
    right = [words(answer) for answer in (*item.answers, item.label, f"{item.label} {item.answer}")]
    for row in sorted(rows_found):
        for exchange in row_texts(rows[row]).exchanges:
            if exchange.question and exchange.answer in [answer for answer in right if answer]:
                return {row: STRENGTH["question+answer"]}
    return {}


def _strengths(rows: Sequence[int], places: Sequence[int], kinds: Sequence[int]) -> dict[int, int]:
    """Row -> how strong its evidence is.

    The same words may be in the options of a question and the right answer: such an n-gram counts as the answer's alone.
    """
    at: dict[tuple[int, int], int] = {}
    for row, place, kind in zip(rows, places, kinds, strict=True):
        at[row, place] = max(at.get((row, place), 0), kind)
    seen: dict[int, int] = {}
    for (row, _), kind in at.items():
        seen[row] = seen.get(row, 0) | kind
    return {row: _strength(kinds) for row, kinds in seen.items()}


def _strength(kinds: int) -> int:
    if kinds & _SPANNING or kinds == _QUESTION | _ANSWER:
        return STRENGTH["question+answer"]
    return STRENGTH["answer"] if kinds == _ANSWER else STRENGTH["question"]


def _coverage(benchmark: Benchmark, placed: _Placed, its: slice, wholes: Mapping[int, WholeMatch]) -> float:
    """Share of the item's words that lie in shared n-grams, of the form of which most does."""
    if any(match.evidence == "exact" for match in wholes.values()):
        return 1.0
    best = max((match.form.boundary / match.form.length for match in wholes.values()), default=0.0)
    covered: dict[int, set[int]] = {}
    sizes, offsets = placed.size[its].tolist(), placed.offset[its].tolist()
    for form, offset, size in set(zip(placed.form[its].tolist(), offsets, sizes, strict=True)):
        covered.setdefault(form, set()).update(range(offset, offset + size))
    return max((len(its_words) / benchmark.forms[form].length for form, its_words in covered.items()), default=best)


def _example(
    benchmark: Benchmark, placed: _Placed, limits: tuple[int, int], row: int, wholes: Mapping[int, WholeMatch]
) -> str:
    """One of the shared n-grams, the one that says most of the row that says most."""
    if row in wholes:
        match = wholes[row]
        found = match.form.words if match.evidence == "exact" else match.form.words[: match.form.boundary]
    else:
        places = [place for place in range(*limits) if placed.row[place] == row]
        place = max(places, key=lambda one: (placed.kind[one], -one))
        start = int(placed.offset[place])
        found = benchmark.forms[placed.form[place]].words[start : start + int(placed.size[place])]
    return _BETWEEN_CHARACTERS.sub("", " ".join(found))
