"""Items too short for n-grams: compared with training rows as a whole, word for word."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from evalkit.sft.contamination.forms import Benchmark, Form
from evalkit.sft.contamination.row_texts import Exchange, without_labels
from evalkit.sft.contamination.words import symbols
from evalkit.training_data import Evidence

TELLING = 5
"""Words that a question must have for its presence alone to say anything."""


class WholeMatch(NamedTuple):
    """A short item in a training row.

    Attributes:
        item: Place of the item.
        form: How it is written there.
        evidence: `exact` with its answer, `question` without.
    """

    item: int
    form: Form
    evidence: Evidence


class ShortItems:
    """The short items of a benchmark, by their words.

    A row holds one where a turn is its question and the answer is or contains its answer, or where a text or turn is both.

    Args:
        benchmark: All items.
    """

    def __init__(self, benchmark: Benchmark) -> None:
        self._benchmark = benchmark
        self._wholes: dict[str, list[Form]] = {}
        self._questions: dict[str, list[Form]] = {}
        for form in benchmark.short:
            self._wholes.setdefault(" ".join(form.words), []).append(form)
            if form.boundary:
                question = " ".join(without_labels(form.words[: form.boundary]))
                self._questions.setdefault(question, []).append(form)
        self._longest = max((len(form.words) for form in benchmark.short), default=0) + 4

    def find(self, exchanges: Sequence[Exchange]) -> Iterator[WholeMatch]:
        """The short items that a row holds."""
        for one in exchanges:
            if not self._wholes or len(one.question) > self._longest:
                continue
            question = without_labels(one.question)
            for form in self._questions.get(" ".join(question), ()):
                if not self._same_symbols(form, one.question_text):
                    continue
                answer = " ".join(form.words[form.boundary :])
                if answer and f" {answer} " in f" {' '.join(one.answer)} ":
                    yield WholeMatch(form.item, form, "exact")
                elif form.boundary >= TELLING:
                    yield WholeMatch(form.item, form, "question")
            if len(question) + len(one.answer) <= self._longest:
                whole = " ".join((*question, *one.answer))
                for form in self._wholes.get(whole, ()):
                    yield WholeMatch(form.item, form, "exact")

    def _same_symbols(self, form: Form, text: str) -> bool:
        """Whether signs of arithmetic agree too: "3 + 5" and "3 * 5" have the same words."""
        if not any(word.isdigit() for word in form.words):
            return True
        item = self._benchmark.items[form.item]
        mine = {sign for sign in symbols(item.asked or item.question) if not sign[0].isalnum()}
        theirs = {sign for sign in symbols(text) if not sign[0].isalnum()}
        return mine == theirs
