"""The same questions put in several ways: letters or texts as answers, plain or through the chat template."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np

from evalkit.backends.base import Backend
from evalkit.doctor.diagnosis import FormPair, FormScore
from evalkit.doctor.probe import plain_requests
from evalkit.doctor.questions import Question
from evalkit.documents import MultipleChoice
from evalkit.errors import ModelError
from evalkit.requests import Response, Score
from evalkit.stats.intervals import wilson
from evalkit.stats.paired import mcnemar_mid_p, tango

Form = Callable[[Question], tuple[Score, ...]]


def score_forms(backend: Backend, questions: Sequence[Question], *, chat: bool) -> dict[str, list[bool]]:
    """For each way to put the questions, which of them are answered right.

    An answer's log-probability decides between letters, and its mean over the answer's bytes between texts (lm-eval's
    `acc` and `acc_norm`).

    Args:
        backend: What answers.
        questions: The questions.
        chat: Ask through the chat template too.
    """
    forms: dict[str, Form] = {
        "letter": lambda question: plain_requests(question.letter()),
        "cloze": lambda question: plain_requests(question.cloze()),
    }
    if chat:
        forms["letter, chat"] = lambda question: chat_requests(backend, question.letter())
        forms["cloze, chat"] = lambda question: chat_requests(backend, question.cloze())
    requests = [form(question) for form in forms.values() for question in questions]
    prepared = backend.prepare([one for own in requests for one in own])
    replies = {index: reply for answers in backend.compute(prepared) for index, reply in answers}
    right, first = [], 0
    for own, question in zip(requests, [*questions] * len(forms), strict=True):
        values = [replies[first + place] for place in range(len(own))]
        right.append(_picked(own, values) in question.golds)
        first += len(own)
    return {name: right[place * len(questions) : (place + 1) * len(questions)] for place, name in enumerate(forms)}


def chat_requests(backend: Backend, document: MultipleChoice) -> tuple[Score, ...]:
    """One request for each answer; the template alone parts it from the question."""
    context = backend.render_chat([{"role": "user", "content": document.question.removesuffix("\nAnswer:")}])
    return tuple(Score(context, one.continuation) for one in document.candidates())


def _picked(requests: Sequence[Score], replies: Sequence[object]) -> int:
    sums = []
    for request, reply in zip(requests, replies, strict=True):
        if not isinstance(reply, Response):
            raise ModelError("the model gave no score for an answer")
        sums.append(reply.log_probability / len(request.continuation.strip().encode()))
    return int(np.argmax(sums))


def form_scores(right: dict[str, list[bool]], questions: Sequence[Question]) -> tuple[FormScore, ...]:
    """Accuracy of each way, with its interval."""
    chance = float(np.mean([len(one.golds) / len(one.choices) for one in questions]))
    scores = []
    for name, answers in right.items():
        interval = wilson(sum(answers), len(answers))
        scores.append(FormScore(name, sum(answers), len(answers), (interval.low, interval.high), chance))
    return tuple(scores)


def form_pairs(right: dict[str, list[bool]]) -> tuple[FormPair, ...]:
    """Ways that differ in one thing, compared question by question."""
    pairs = []
    for before, after in combinations(right, 2):
        if {before, after} in ({"letter", "cloze, chat"}, {"cloze", "letter, chat"}):
            continue
        both = list(zip(right[before], right[after], strict=True))
        gained, lost = both.count((False, True)), both.count((True, False))
        interval = tango(gained, lost, len(both))
        pairs.append(
            FormPair(before, after, gained, lost, len(both), (interval.low, interval.high), mcnemar_mid_p(gained, lost))
        )
    return tuple(pairs)
