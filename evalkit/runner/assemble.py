"""From answers to the result: samples, scores, groups, and the rows of the sample log."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from evalkit import __version__
from evalkit.aggregate import aggregate
from evalkit.backends.base import Backend
from evalkit.errors import OverLengthError
from evalkit.registry import Selection
from evalkit.requests import Response, Roll
from evalkit.results import Run, SampleRow, TaskResult
from evalkit.runner.answering import sample_of
from evalkit.runner.asking import Asked
from evalkit.runner.environment import environment
from evalkit.runner.settings import RunSettings
from evalkit.runner.task_run import TaskRun


def assemble(
    selection: Selection,
    runs: Sequence[TaskRun],
    asked: Sequence[Asked],
    skipped: Mapping[str, int],
    answers: Mapping[int, Response],
    backend: Backend,
    settings: RunSettings,
    seconds: Mapping[str, float],
) -> Run:
    """The result of a run whose requests are all answered.

    Args:
        selection: Tasks and groups, in the order asked.
        runs: The tasks.
        asked: Every document's requests.
        skipped: Task -> documents left out because they were too long.
        answers: Request -> response.
        backend: What answered.
        settings: What else decided the scores.
        seconds: Time spent in each stage so far.

    Raises:
        OverLengthError: A task has no document left.
    """
    documents: dict[str, list[Asked]] = {run.key: [] for run in runs}
    for one in asked:
        documents[one.run.key].append(one)
    tasks = {run.key: _task_result(run, documents[run.key], skipped.get(run.key, 0), answers) for run in runs}
    return Run(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        evalkit_version=__version__,
        model=backend.info,
        settings={**settings.described(), **backend.settings()},
        environment=environment(backend.device),
        tasks=tasks,
        groups=aggregate(selection.groups, tasks),
        timing=_timing(seconds, backend, len(answers)),
    )


def _task_result(run: TaskRun, asked: Sequence[Asked], skipped: int, answers: Mapping[int, Response]) -> TaskResult:
    if not asked:
        raise OverLengthError(
            f"no document of {run.key} is left: all are longer than the model's context",
            hint="use --over-length truncate, or leave the task out",
        )
    samples = tuple(sample_of(one, answers) for one in asked)
    outcomes = Counter(sample.outcome for sample in samples)
    if skipped:
        outcomes["skipped"] = skipped
    return TaskResult(
        version=run.version,
        dataset=run.dataset,
        shots=run.shots,
        prompt_sha256=_prompt_sha256(asked),
        n=len(samples),
        metrics=dict(run.estimates(samples)),
        outcomes=dict(sorted(outcomes.items())),
        samples=samples,
    )


def _prompt_sha256(asked: Sequence[Asked]) -> str:
    digest = hashlib.sha256()
    for one in asked:
        for request in one.requests:
            parts = (request.text,) if isinstance(request, Roll) else (request.context, request.continuation)
            digest.update(repr(parts).encode("utf-8", "backslashreplace"))
    return digest.hexdigest()


def _timing(seconds: Mapping[str, float], backend: Backend, requests: int) -> dict[str, Any]:
    counters = backend.counters()
    scoring = seconds.get("scoring", 0.0)
    return {
        "seconds": {stage: round(spent, 3) for stage, spent in seconds.items()},
        "requests": requests,
        **counters,
        "tokens_per_second": round(counters["tokens_computed"] / scoring, 1) if scoring else None,
    }


def sample_rows(asked: Sequence[Asked], answers: Mapping[int, Response]) -> Iterator[SampleRow]:
    """A row a request, for the log beside the result."""
    for one in asked:
        responses = [answers[one.first + place] for place in range(len(one.requests))]
        labels = one.run.labels(one.item, responses)
        for place, (request, response) in enumerate(zip(one.requests, responses, strict=True)):
            rolled = isinstance(request, Roll)
            yield SampleRow(
                task=one.run.key,
                id=one.item.id,
                index=one.item.index,
                request=place,
                kind="roll" if rolled else "score",
                prompt="" if isinstance(request, Roll) else request.context,
                continuation=request.text if isinstance(request, Roll) else request.continuation,
                context_tokens=response.context_tokens,
                tokens=response.tokens,
                log_probability=response.log_probability,
                token_log_probabilities=list(response.token_log_probabilities),
                greedy=response.greedy,
                truncated=response.truncated,
                target=labels.target,
                answer=labels.answer,
            )
