"""Which questions the model is probed with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evalkit.data import DataOptions
from evalkit.doctor.measure import Choice
from evalkit.doctor.questions import BUILT_IN, Question, question_of
from evalkit.documents import ContextChoice, MultipleChoice
from evalkit.errors import DataError, UsageError
from evalkit.registry import select
from evalkit.requests import Score
from evalkit.runner.limit import Limit
from evalkit.runner.progress import Progress
from evalkit.runner.rendering import render_plain
from evalkit.runner.settings import RunSettings
from evalkit.runner.several_seeds import task_runs

DEFAULT_TASKS = (
    "mmlu_high_school_geography,mmlu_miscellaneous,mmlu_nutrition,mmlu_world_religions,arc_easy,arc_challenge"
)
"""Answers under letters, with contexts of their own, and answers as texts."""
DEFAULT_LIMIT = "8"
BUILT_IN_NAME = "built-in questions"


@dataclass(frozen=True, slots=True)
class Item:
    """One question.

    Attributes:
        task: Where it comes from.
        requests: One for each answer, in plain text, as the task asks.
        golds: Which answers are right.
        question: The question with its answers as texts, for putting it in other ways; None where they are not known.
    """

    task: str
    requests: tuple[Score, ...]
    golds: tuple[int, ...]
    question: Question | None


@dataclass(frozen=True, slots=True)
class Probe:
    """The questions.

    Attributes:
        items: The questions.
    """

    items: Sequence[Item]

    @property
    def requests(self) -> list[Score]:
        """What is asked, question after question."""
        return [request for item in self.items for request in item.requests]

    @property
    def choices(self) -> list[Choice]:
        """Where the answers of each question stand among `requests`."""
        return choices_of(self.items)

    @property
    def counts(self) -> Mapping[str, int]:
        """Task -> its questions."""
        return Counter(item.task for item in self.items)

    @property
    def questions(self) -> list[Question]:
        """Those that can be put in other ways."""
        return [item.question for item in self.items if item.question is not None]


def choices_of(items: Sequence[Item]) -> list[Choice]:
    """Where the answers of each question stand when all are laid end to end."""
    choices, first = [], 0
    for item in items:
        choices.append(Choice(first, len(item.requests), item.golds))
        first += len(item.requests)
    return choices


def make_probe(tasks: str | None, limit: str | None, seed: int, data: DataOptions, progress: Progress) -> Probe:
    """The questions that a user asks for, or a default set; our own where that is not at hand.

    Args:
        tasks: Names of tasks; None for the default.
        limit: Questions of each; None for the default.
        seed: Of the sample.
        data: Where datasets may come from.
        progress: Told what happens.

    Raises:
        UsageError: A task is not known, or has no questions with given answers.
        DataError: A task that the user named has no data, or damaged data.
    """
    try:
        return Probe(_items(tasks or DEFAULT_TASKS, limit or DEFAULT_LIMIT, seed, data))
    except DataError as error:
        if tasks is not None:
            raise
        progress.note(
            f"no benchmark is at hand, so that {len(BUILT_IN)} questions of our own are asked: {error.message}"
        )
        return built_in()


def built_in() -> Probe:
    """Our own questions: every other one with its answers under letters."""
    items = []
    for place, question in enumerate(BUILT_IN):
        document = question.letter() if place % 2 else question.cloze()
        items.append(Item(BUILT_IN_NAME, plain_requests(document), question.golds, question))
    return Probe(items)


def plain_requests(document: MultipleChoice) -> tuple[Score, ...]:
    """One request for each answer, a space before it."""
    return tuple(Score(one.question, f" {one.continuation}") for one in document.candidates())


def _items(tasks: str, limit: str, seed: int, data: DataOptions) -> list[Item]:
    settings = RunSettings(limit=Limit.parse(limit), seed=seed)
    items = []
    for run in task_runs(select(tasks).tasks, data, settings):
        for one in run.items:
            document = getattr(one.content, "document", None)
            if not isinstance(document, MultipleChoice | ContextChoice):
                raise UsageError(
                    f"task {run.key} has no questions with given answers",
                    hint="name multiple-choice tasks, as --tasks arc_easy,mmlu_anatomy",
                )
            requests = tuple(request for request in run.requests(one, render_plain) if isinstance(request, Score))
            question = question_of(document) if isinstance(document, MultipleChoice) else None
            items.append(Item(run.key, requests, document.golds, question))
    return items
