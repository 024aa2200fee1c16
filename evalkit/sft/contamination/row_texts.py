"""Training rows as runs of words, and as questions with their answers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from evalkit.sft.contamination.words import words
from evalkit.sft.rows import TrainingRow

_BEFORE = (("question",), ("q",), ("problem",), ("问", "题"), ("问",))
_AFTER = (("answer",), ("a",), ("答", "案"), ("答",))
_ANSWER = re.compile(r"(?:^|\n)\s*(?:answer|a|答案?)\s*[:：]", re.IGNORECASE)
_SHORT = 2000
"""Characters of a text that may be one question with its answer."""


class Exchange(NamedTuple):
    """A turn that asks and the turn that answers it, as words and as text; of a plain text the text alone, as an answer."""

    question: Sequence[str]
    answer: Sequence[str]
    question_text: str
    answer_text: str


class RowTexts(NamedTuple):
    """A training row as words.

    Attributes:
        runs: The row's words in order; of a preference pair also the question and the rejected answer.
        exchanges: Each answer with what it answers.
    """

    runs: list[list[str]]
    exchanges: list[Exchange]


def row_texts(row: TrainingRow) -> RowTexts:
    """The words of a training row: everything in it, whether it is trained on or not."""
    if row.text is not None:
        found = words(row.text)
        return RowTexts([found], [Exchange((), found, "", row.text), *_asked_in(row.text)])
    turns = [words(message.content) for message in row.messages]
    runs = [[word for turn in turns for word in turn]]
    exchanges = [
        Exchange(turns[place - 1], turns[place], row.messages[place - 1].content, message.content)
        for place, message in enumerate(row.messages)
        if place and message.role == "assistant"
    ]
    if row.rejected is not None:
        rejected = words(row.rejected)
        asked = turns[-2] if len(turns) > 1 else []
        runs.append([*asked, *rejected])
        exchanges.append(Exchange(asked, rejected, row.messages[-2].content if len(turns) > 1 else "", row.rejected))
    return RowTexts(runs, exchanges)


def _asked_in(text: str) -> list[Exchange]:
    """The question and answer that a text is, as "Question: ... Answer: ..."."""
    parts = _ANSWER.split(text) if len(text) <= _SHORT else []
    if len(parts) != 2:
        return []
    question, answer = parts
    return [Exchange(words(question), words(answer), question, answer)]


def without_labels(question: Sequence[str]) -> Sequence[str]:
    """A question's words without `question` before them and `answer` after them."""
    for label in _BEFORE:
        if tuple(question[: len(label)]) == label:
            question = question[len(label) :]
            break
    for label in _AFTER:
        if tuple(question[len(question) - len(label) :]) == label:
            return question[: len(question) - len(label)]
    return question
