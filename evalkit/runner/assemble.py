"""From answers to the result: samples, scores, groups, and the rows of the sample log."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from evalkit import __version__
from evalkit.aggregate import aggregate
from evalkit.backends.base import Backend, environment_of, price_of
from evalkit.errors import OverLengthError
from evalkit.registry import Selection
from evalkit.requests import Failure, Generate, Reply, Request, Response, Roll
from evalkit.results import MetricValue, Run, Sample, SampleRow, TaskResult
from evalkit.runner.answering import Answering, sample_of
from evalkit.runner.asking import Asked, Ready
from evalkit.runner.presentation import Presentation
from evalkit.runner.settings import RunSettings
from evalkit.runner.task_run import TaskRun
from evalkit.summaries import unreadable_range


def assemble(
    selection: Selection,
    ready: Ready,
    answering: Answering,
    settings: RunSettings,
    seconds: Mapping[str, float],
) -> Run:
    """The result of a run whose requests are all answered.

    Args:
        selection: Tasks and groups, in the order asked.
        ready: The tasks, what was asked about each document, and what answered.
        answering: The answers, and where they came from.
        settings: What else decided the scores.
        seconds: Time spent in each stage so far.

    Raises:
        OverLengthError: A task has no document left.
    """
    answers = answering.answers
    documents: dict[str, list[Asked]] = {run.key: [] for run in ready.runs}
    for one in ready.asked:
        documents[one.run.key].append(one)
    tasks = {
        run.key: _task_result(run, ready.presentations[run.key], documents[run.key], ready.skipped[run.key], answers)
        for run in ready.runs
    }
    backend = ready.backend
    earlier = {"earlier": list(answering.environments)} if answering.environments else {}
    return Run(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        evalkit_version=__version__,
        model=backend.info,
        settings={**settings.described(generates=ready.generates), **backend.settings()},
        environment={**environment_of(backend).described, **earlier},
        tasks=tasks,
        groups=aggregate(selection.groups, tasks),
        timing=_timing(seconds, backend, len(answers), answering.reused),
    )


def _task_result(
    run: TaskRun, presentation: Presentation, asked: Sequence[Asked], skipped: int, answers: Mapping[int, Reply]
) -> TaskResult:
    if not asked:
        raise OverLengthError(
            f"no document of {run.key} is left: all are longer than the model's context",
            hint="use --over-length truncate, or leave the task out",
        )
    samples = tuple(sample_of(one, answers) for one in asked)
    outcomes = Counter(sample.outcome for sample in samples)
    generates = any(one.generates for one in asked)
    if skipped:
        outcomes["skipped"] = skipped
    return TaskResult(
        version=run.version,
        dataset=run.dataset,
        shots=run.shots,
        prompt_sha256=prompts_sha256(asked),
        n=len(samples),
        metrics={
            name: _bounded(name, value, run.bounds(name), samples) for name, value in run.estimates(samples).items()
        },
        outcomes=dict(sorted(outcomes.items())),
        samples=samples,
        settings={**run.described(), **presentation.described(shots=run.shots, generates=generates)},
    )


def _bounded(name: str, value: MetricValue, bounds: tuple[float, float], samples: Sequence[Sample]) -> MetricValue:
    """The score with its metric's range, where anything is known of that, and what unreadable answers leave open."""
    if bounds == (-math.inf, math.inf):
        return value
    return replace(value, bounds=bounds, unreadable=unreadable_range(name, samples, value.value, bounds))


def prompts_sha256(asked: Sequence[Asked]) -> str:
    """Hash over all prompts of a task and what is scored after them, in order."""
    digest = hashlib.sha256()
    for one in asked:
        for request in one.requests:
            digest.update(repr(texts_of(request)).encode("utf-8", "backslashreplace"))
    return digest.hexdigest()


def _timing(seconds: Mapping[str, float], backend: Backend, requests: int, reused: int) -> dict[str, Any]:
    counters = backend.counters()
    scoring = seconds.get("scoring", 0.0)
    return {
        "seconds": {stage: round(spent, 3) for stage, spent in seconds.items()},
        "requests": requests,
        **({"requests_reused": reused} if reused else {}),
        **counters,
        **price_of(backend),
        "tokens_per_second": round(counters["tokens_computed"] / scoring, 1) if scoring else None,
    }


def texts_of(request: Request) -> tuple[str, ...]:
    """What the model is given, and what is scored after it."""
    if isinstance(request, Roll):
        return (request.text,)
    return (request.prompt,) if isinstance(request, Generate) else (request.context, request.continuation)


def sample_rows(asked: Sequence[Asked], answers: Mapping[int, Reply]) -> Iterator[SampleRow]:
    """A row a request, or a completion of it, for the log beside the result."""
    for one in asked:
        requests = one.requests
        replies = [answers[one.first + place] for place in range(len(requests))]
        failed = any(isinstance(reply, Failure) for reply in replies)
        labels = None if failed else one.run.labels(one.item, one.replies(answers))
        for place, (request, reply) in enumerate(zip(requests, replies, strict=True)):
            for completion, said in enumerate(_said(request, reply)):
                yield SampleRow(
                    task=one.run.key,
                    id=one.item.id,
                    index=one.item.index,
                    request=place,
                    completion=completion,
                    target=labels.target if labels else "",
                    answer=labels.answers[place][completion] if labels else None,
                    **said,
                )


def _said(request: Request, reply: Reply) -> list[dict[str, Any]]:
    """The columns that a request and its reply fill, a row a completion."""
    texts = texts_of(request)
    kind = {Roll: "roll", Generate: "generate"}.get(type(request), "score")
    row: dict[str, Any] = {
        "kind": kind,
        "prompt": "" if kind == "roll" else texts[0],
        "continuation": "" if kind == "generate" else texts[-1],
        "context_tokens": 0,
        "tokens": 0,
        "log_probability": None,
        "token_log_probabilities": [],
        "greedy": False,
        "finish": "errored" if isinstance(reply, Failure) else "",
        "score": None,
        "truncated": 0,
    }
    if isinstance(reply, Failure):
        return [row]
    row |= {"context_tokens": reply.context_tokens, "truncated": reply.truncated}
    if isinstance(reply, Response):
        scored = {
            "tokens": reply.tokens,
            "log_probability": reply.log_probability,
            "token_log_probabilities": list(reply.token_log_probabilities),
            "greedy": reply.greedy,
        }
        return [row | scored]
    return [
        row
        | {
            "continuation": one.text,
            "tokens": one.tokens,
            "log_probability": one.log_probability,
            "finish": one.finish,
            "score": one.score,
        }
        for one in reply.completions
    ]
