"""Items as the runs of words that may be found in training rows, and how long an n-gram must be to say anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from evalkit.sft.contamination.items import BenchmarkItem, BenchmarkItems
from evalkit.sft.contamination.ngrams import LONGEST, Index, Texts, Vocabulary, hashes, joined
from evalkit.sft.contamination.words import words

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]
    Hashes = npt.NDArray[np.uint64]

SHORTEST = 8
"""Words of the shortest n-grams that are sought; shorter ones are in any text."""
PERCENTILE = 5
COMMON = 3
"""Items that make an n-gram a phrase of the benchmark, as its instructions are, and no sign of any one item."""


class Form(NamedTuple):
    """One way in which an item may be written.

    Attributes:
        item: Place of the item among all items.
        words: Question, then answer.
        boundary: Words of the question.
        length: Words of question and answer together, where `words` has the end of the question only.
    """

    item: int
    words: tuple[str, ...]
    boundary: int
    length: int


@dataclass(frozen=True)
class Benchmark:
    """All items of all tasks, ready to be searched for.

    Attributes:
        items: Of all tasks.
        tasks: Place of each item's task, [items].
        sizes: Words of the n-grams of each task.
        forms: Of all items.
        short: Forms too short for the task's n-grams, or of items with none that is their own.
        unchecked: Places of items that have no n-gram of their own.
        common: Of each task: its n-grams left aside because so many items, of whichever tasks, have them.
        vocabulary: Of all forms.
        texts: The forms as numbers.
        indexes: The n-grams that are sought, one index a length.
    """

    items: tuple[BenchmarkItem, ...]
    tasks: Integers
    sizes: tuple[int, ...]
    forms: tuple[Form, ...]
    short: tuple[Form, ...]
    unchecked: frozenset[int]
    common: tuple[int, ...]
    vocabulary: Vocabulary
    texts: Texts
    indexes: tuple[Index, ...]


def prepare(tasks: Sequence[BenchmarkItems]) -> Benchmark:
    """Everything about the items that does not depend on the training rows."""
    import numpy as np

    items = tuple(item for task in tasks for item in task.items)
    owners = np.repeat(np.arange(len(tasks)), [len(task.items) for task in tasks])
    by_item = [_forms(place, item) for place, item in enumerate(items)]
    sizes = tuple(
        ngram_size([by_item[place][0].length for place in np.flatnonzero(owners == task) if by_item[place]])
        for task in range(len(tasks))
    )
    forms = tuple(form for its in by_item for form in its)
    vocabulary = Vocabulary()
    texts = joined([vocabulary.learn(form.words) for form in forms])
    chosen = _Chosen(forms, texts, owners, sizes, _contents(items, by_item))
    unchecked = frozenset(range(len(items))) - chosen.covered
    short = tuple(
        form
        for form in forms
        if len(form.words) == form.length and (form.item in unchecked or form.length < sizes[owners[form.item]])
    )
    return Benchmark(
        items, owners, sizes, forms, short, unchecked, tuple(chosen.common), vocabulary, texts, tuple(chosen.indexes)
    )


def ngram_size(lengths: Sequence[int]) -> int:
    """Words an n-gram: the 5th percentile of the items' lengths, between 8 and 13 (Brown et al. 2020, appendix C)."""
    import numpy as np

    if not lengths:
        return LONGEST
    return int(np.clip(np.floor(np.percentile(lengths, PERCENTILE)), SHORTEST, LONGEST))


def _forms(place: int, item: BenchmarkItem) -> list[Form]:
    """The question with each right answer, and as the model is asked. Of further answers only what is new is kept."""
    question = words(item.question)
    answers = [words(answer) for answer in item.answers] or [[]]
    found = [_form(place, question, answers[0], 0)]
    if item.asked:
        asked = words(item.asked)
        found.append(_form(place, asked, words(item.label)))
        if item.label != item.answer:
            found.append(_ending(place, asked, answers[0]))
    found += [_ending(place, question, answer) for answer in answers[1:]]
    return [form for form in found if form.words]


def _form(place: int, question: list[str], answer: list[str], skipped: int = 0) -> Form:
    return Form(place, (*question[skipped:], *answer), len(question) - skipped, len(question) + len(answer))


def _ending(place: int, question: list[str], answer: list[str]) -> Form:
    """The end of a question that is a form already, with another answer."""
    return _form(place, question, answer, max(0, len(question) - LONGEST + 1))


def _contents(items: Sequence[BenchmarkItem], by_item: Sequence[Sequence[Form]]) -> Integers:
    """A number for each item that only its copies share, in whichever task: copies make no phrase of the benchmark.

    A copy has the same content hash, as with `mmlu` and `mmlu:cot`, or the same words.
    """
    import numpy as np

    known: dict[str | tuple[str, ...], int] = {}
    numbers = []
    for place, (item, forms) in enumerate(zip(items, by_item, strict=True)):
        keys = (item.id.partition("#")[0], forms[0].words if forms else ())
        number = next((known[key] for key in keys if key in known), place)
        known.update(dict.fromkeys(keys, number))
        numbers.append(number)
    return np.array(numbers, dtype=np.int64)


class _Chosen:
    """The n-grams that are sought: all of an item's but those that three items have, of whichever tasks."""

    def __init__(
        self, forms: Sequence[Form], texts: Texts, owners: Integers, sizes: Sequence[int], contents: Integers
    ) -> None:
        import numpy as np

        self.common = [0] * len(sizes)
        self.indexes: list[Index] = []
        self.covered: set[int] = set()
        item_of = np.array([form.item for form in forms], dtype=np.int64)
        by_task = np.array(sizes, dtype=np.int64)
        for n, places, found in hashes(texts.numbers, sorted(set(sizes))):
            items = item_of[np.searchsorted(texts.starts, places, side="right") - 1]
            common = _common(found, contents[items])
            mine = by_task[owners[items]] == n
            for task, count in _per_task(owners[items[mine & common]], found[mine & common]):
                self.common[task] += count
            kept = mine & ~common
            self.covered.update(map(int, np.unique(items[kept])))
            if kept.any():
                self.indexes.append(Index.of(n, places[kept], found[kept], texts.numbers))


def _common(found: Hashes, contents: Integers) -> npt.NDArray[np.bool_]:
    """Which n-grams three different items or more have."""
    import numpy as np

    if not len(found):
        return np.zeros(0, dtype=np.bool_)
    order = np.lexsort((contents, found))
    found, contents = found[order], contents[order]
    new_ngram = np.concatenate([[True], found[1:] != found[:-1]])
    new_item = new_ngram | np.concatenate([[True], contents[1:] != contents[:-1]])
    ngram = np.cumsum(new_ngram) - 1
    holders = np.bincount(ngram, weights=new_item)
    common = np.empty(len(order), dtype=np.bool_)
    common[order] = (holders >= COMMON)[ngram]
    return common


def _per_task(tasks: Integers, found: Hashes) -> list[tuple[int, int]]:
    """Different n-grams of each task that has any."""
    import numpy as np

    order = np.lexsort((found, tasks))
    tasks, found = tasks[order], found[order]
    new = np.ones(len(order), dtype=np.bool_)
    new[1:] = (tasks[1:] != tasks[:-1]) | (found[1:] != found[:-1])
    counted = np.unique(tasks[new], return_counts=True)
    return [(int(task), int(count)) for task, count in zip(*counted, strict=True)]
