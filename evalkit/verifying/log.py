"""A sample log taken back to what it was made of: requests and replies."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from evalkit.decoding import Decoding
from evalkit.requests import Completion, Failure, Generate, Generation, Reply, Request, Response, Roll, Score
from evalkit.results import Run, Sample, read_samples
from evalkit.sample_log import SampleRow

Key = tuple[str, str]
"""Task, and id of the document."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What a log has of one document.

    Attributes:
        requests: What was asked, with the task's tags of thoughts.
        replies: What was answered.
    """

    requests: tuple[Request, ...]
    replies: tuple[Reply, ...]


@dataclass(frozen=True, slots=True)
class Log:
    """A whole log.

    Attributes:
        documents: What it has of each document.
        doubled: Documents whose rows stand in two places, or that have a row twice.
    """

    documents: Mapping[Key, Answered]
    doubled: Sequence[Key]


def read(path: Path, run: Run) -> Log:
    """Reads a run's log.

    Raises:
        UsageError: The log is missing, damaged, or no such log.
    """
    reasons = {(name, one.id): one for name, task in run.tasks.items() for one in task.samples}
    documents: dict[Key, Answered] = {}
    doubled: list[Key] = []
    for key, group in groupby(read_samples(path), key=lambda row: (row.task, row.id)):
        rows = list(group)
        places = [(row.request, row.completion) for row in rows]
        if key in documents or len(set(places)) < len(places):
            doubled.append(key)
        tags = _tags(run, key[0])
        by_request = [list(some) for _, some in groupby(rows, key=lambda row: row.request)]
        documents[key] = Answered(
            tuple(_request(some[0], tags) for some in by_request),
            tuple(_reply(some, reasons.get(key)) for some in by_request),
        )
    return Log(documents, doubled)


def _tags(run: Run, task: str) -> tuple[str, str] | None:
    found: Any = run.tasks[task].settings.get("thinking") if task in run.tasks else None
    return (str(found[0]), str(found[1])) if isinstance(found, list | tuple) and len(found) == 2 else None


def _request(row: SampleRow, tags: tuple[str, str] | None) -> Request:
    if row.kind == "roll":
        return Roll(row.continuation)
    if row.kind == "generate":
        return Generate(row.prompt, Decoding(thinking=tags))
    return Score(row.prompt, row.continuation)


def _reply(rows: Sequence[SampleRow], sample: Sample | None) -> Reply:
    first = rows[0]
    if first.finish == "errored":
        return Failure(str(sample.fields.get("error", "")) if sample else "")
    if first.kind != "generate":
        values = tuple(first.token_log_probabilities)
        total = first.log_probability if first.log_probability is not None else float("nan")
        return Response(total, first.greedy, values, first.context_tokens, first.truncated)
    completions = tuple(
        Completion(row.continuation, row.finish, row.tokens, (), row.log_probability, row.score)  # type: ignore[arg-type]
        for row in rows
    )
    return Generation(completions, first.context_tokens, first.truncated)


def prompts_sha256(run: Run, task: str, log: Log) -> str:
    """The hash over all prompts of a task as `evalkit.runner.assemble.prompts_sha256` makes it, from the log."""
    from evalkit.runner.assemble import texts_of

    digest = hashlib.sha256()
    for sample in run.tasks[task].samples:
        for request in log.documents[task, sample.id].requests:
            digest.update(repr(texts_of(request)).encode("utf-8", "backslashreplace"))
    return digest.hexdigest()
