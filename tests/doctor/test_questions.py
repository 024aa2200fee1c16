"""Questions in their forms, and the built-in set."""

from __future__ import annotations

from collections import Counter

from evalkit.doctor.probe import built_in
from evalkit.doctor.questions import BUILT_IN, question_of
from evalkit.documents import MultipleChoice

QUESTION = BUILT_IN[1]


def test_a_question_is_found_again_in_either_form() -> None:
    assert question_of(QUESTION.letter()) == QUESTION
    assert question_of(QUESTION.cloze()) == QUESTION


def test_letters_that_are_not_shown_cannot_be_taken_apart() -> None:
    assert question_of(MultipleChoice("Which letter?\nAnswer:", "ABCD", 0)) is None
    assert question_of(MultipleChoice("Yes or no?", ["y", "n"], 0)) is None


def test_the_built_in_set_favours_no_place() -> None:
    places = Counter(question.golds[0] for question in BUILT_IN)
    assert max(places.values()) - min(places.values()) <= 1
    probe = built_in()
    assert len(probe.requests) == sum(choice.count for choice in probe.choices) == 4 * len(BUILT_IN)
    assert probe.choices[-1].first + probe.choices[-1].count == len(probe.requests)
