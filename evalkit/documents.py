"""What a dataset row becomes: a question with its candidate answers, a question to answer freely, or a text.

A task's `document` function turns a row into one of these; everything after it (few-shot examples, prompts, requests,
metrics) is common to all tasks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Candidate(NamedTuple):
    """One thing to score: `continuation` after `question` (both without few-shot examples and delimiter)."""

    question: str
    continuation: str


@dataclass(frozen=True, slots=True)
class MultipleChoice:
    """One question, several answers; the model picks the likeliest.

    `gold` is the index of the right choice, or the indices of all right ones.
    """

    question: str
    choices: Sequence[str]
    gold: int | Sequence[int]

    def __post_init__(self) -> None:
        if not self.choices:
            raise ValueError("the question has no choices")
        for index in self.golds:
            if not 0 <= index < len(self.choices):
                raise ValueError(f"the answer is choice {index}, but there are {len(self.choices)} choices")

    @property
    def golds(self) -> tuple[int, ...]:
        """Indices of the right choices."""
        return (self.gold,) if isinstance(self.gold, int) else tuple(self.gold)

    def candidates(self) -> tuple[Candidate, ...]:
        """What to score, in the order of the choices."""
        return tuple(Candidate(self.question, choice) for choice in self.choices)

    def example(self) -> Candidate:
        """This document as a solved few-shot example."""
        return Candidate(self.question, self.choices[self.golds[0]])


@dataclass(frozen=True, slots=True)
class ContextChoice:
    """Several questions, one continuation: the model picks the question that makes the continuation likeliest.

    This is "partial evaluation" (Trinh & Le 2018), the way WinoGrande is scored.
    """

    questions: Sequence[str]
    continuation: str
    gold: int

    def __post_init__(self) -> None:
        if not 0 <= self.gold < len(self.questions):
            raise ValueError(f"the answer is question {self.gold}, but there are {len(self.questions)}")

    @property
    def choices(self) -> Sequence[str]:
        """The texts that compete (for length normalisation): the questions."""
        return self.questions

    @property
    def golds(self) -> tuple[int, ...]:
        """Indices of the right questions: one."""
        return (self.gold,)

    def candidates(self) -> tuple[Candidate, ...]:
        """What to score, in the order of the questions."""
        return tuple(Candidate(question, self.continuation) for question in self.questions)

    def example(self) -> Candidate:
        """This document as a solved few-shot example."""
        return Candidate(self.questions[self.gold], self.continuation)


@dataclass(frozen=True, slots=True)
class Cloze:
    """A text whose end is to be predicted exactly (LAMBADA)."""

    question: str
    answer: str

    def candidates(self) -> tuple[Candidate, ...]:
        """What to score: the answer."""
        return (Candidate(self.question, self.answer),)

    def example(self) -> Candidate:
        """This document as a solved few-shot example."""
        return Candidate(self.question, self.answer)


@dataclass(frozen=True, slots=True)
class Text:
    """A whole text, every token of it scored (perplexity).

    `words`, `bytes` and `characters` are the denominators of the perplexities; they may count another form of the text
    than the one scored (WikiText's detokenised pages are scored, its original pages counted). By default they count
    `text`: words are runs of non-white space.
    """

    text: str
    words: int = field(default=-1)
    bytes: int = field(default=-1)
    characters: int = field(default=-1)

    def __post_init__(self) -> None:
        if self.words < 0:
            object.__setattr__(self, "words", len(self.text.split()))
        if self.bytes < 0:
            object.__setattr__(self, "bytes", len(self.text.encode()))
        if self.characters < 0:
            object.__setattr__(self, "characters", len(self.text))


@dataclass(frozen=True, slots=True)
class OpenQuestion:
    """A question that the model answers in its own words.

    Attributes:
        question: What is asked.
        answer: The expected answer, as a few-shot example shows it.
        references: Texts that a metric compares with; by default the answer alone.
        details: What else a metric needs to know of the row (tests of a program, instructions to follow).
        chance: Chance of a right guess, where the question shows its possible answers.
    """

    question: str
    answer: str
    references: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)
    chance: float | None = None

    def __post_init__(self) -> None:
        if not self.references:
            object.__setattr__(self, "references", (self.answer,))

    def example(self) -> Candidate:
        """This document as a solved few-shot example."""
        return Candidate(self.question, self.answer)


ScoredDocument = MultipleChoice | ContextChoice | Cloze | Text
"""Documents whose answers or texts are given, and scored."""

Document = ScoredDocument | OpenQuestion
