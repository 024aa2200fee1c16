"""What the sample log says of a document: its prompt, choices and outputs, cut to what a page can hold."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, takewhile
from pathlib import Path
from typing import NamedTuple

from evalkit.reports.text import visible_lines
from evalkit.results import SampleRow, read_columns

PROMPT = (3_000, 9_000)
"""Characters kept of a prompt: of its start, and of its end, where the question is."""
OUTPUT = (9_000, 3_000)
"""Characters kept of an output."""
CHOICE = (1_500, 500)
CHOICES = 50
"""Choices kept."""


@dataclass(frozen=True, slots=True)
class Clipped:
    """A text, or its two ends with the number of characters left out between them."""

    start: str
    omitted: int = 0
    end: str = ""

    def to_json(self) -> str | list[str | int]:
        """A plain string, or [start, omitted, end]."""
        return [self.start, self.omitted, self.end] if self.omitted else self.start


@dataclass(frozen=True, slots=True)
class Record:
    """One run's side of a document.

    Attributes:
        kind: `score`, `roll` or `generate`.
        prompt: What the model was given.
        choices: Texts that were scored; empty for generated answers.
        log_probabilities: One a choice, nats; None where unknown.
        output: What was generated; None where nothing was.
        answer: What was made out in it, or the choice that was picked.
        target: The right answer.
        finish: Why the text ended.
        tokens: Of the output, or of all choices.
        more: Further completions, which only the log has.
        characters: Length of each choice, without the space before it.
        bytes: The same in UTF-8.
    """

    kind: str
    prompt: Clipped
    choices: tuple[Clipped, ...]
    log_probabilities: tuple[float | None, ...]
    output: Clipped | None
    answer: str | None
    target: str
    finish: str
    tokens: int
    more: int
    characters: tuple[int, ...] = ()
    bytes: tuple[int, ...] = ()


class Request(NamedTuple):
    """The columns of the log that a page shows; see `SampleRow`."""

    task: str
    id: str
    kind: str
    prompt: str
    continuation: str
    log_probability: float | None
    tokens: int
    finish: str
    target: str
    answer: str | None


def clip(text: str, room: tuple[int, int]) -> Clipped:
    """The text, control characters made visible; cut in the middle where it is longer than `room` (start, end)."""
    omitted = len(text) - sum(room)
    if omitted <= 0:
        return Clipped(visible_lines(text))
    return Clipped(visible_lines(text[: room[0]]), omitted, visible_lines(text[len(text) - room[1] :]))


def read_records(
    path: Path, wanted: Iterable[tuple[str, str]], known: Mapping[tuple[str, str], Record] | None = None
) -> dict[tuple[str, str], Record]:
    """(task, id) -> what the log says, for the documents that are wanted.

    Args:
        path: The log.
        wanted: Documents.
        known: The other run's: what is the same there is held once.

    Raises:
        UsageError: The log is damaged, or no such log.
    """
    keys = set(wanted)
    found: dict[tuple[str, str], Record] = {}
    requests = map(Request._make, read_columns(path, Request._fields))
    for key, rows in groupby(requests, key=lambda row: (row.task, row.id)):
        if key in keys:
            found[key] = _shared(record(list(rows)), (known or {}).get(key))
    return found


def _shared(one: Record, other: Record | None) -> Record:
    """The record with the texts of another where they are equal: the two runs of a comparison were asked the same."""
    if other is None:
        return one
    return replace(
        one,
        prompt=other.prompt if other.prompt == one.prompt else one.prompt,
        choices=other.choices if other.choices == one.choices else one.choices,
        target=other.target if other.target == one.target else one.target,
        characters=other.characters if other.characters == one.characters else one.characters,
        bytes=other.bytes if other.bytes == one.bytes else one.bytes,
    )


def record(rows: Sequence[SampleRow | Request]) -> Record:
    """One document's rows as a record."""
    first = rows[0]
    prompt, texts = _prompt_and_choices(rows) if first.kind == "score" else (first.prompt, [])
    is_text = first.kind == "generate"
    return Record(
        kind=first.kind,
        prompt=clip(prompt, PROMPT),
        choices=tuple(clip(text, CHOICE) for text in texts[:CHOICES]),
        log_probabilities=tuple(_finite(row.log_probability) for row in rows[: CHOICES if texts else 1]),
        output=clip(first.continuation, OUTPUT) if is_text else None,
        answer=None if first.answer is None else visible_lines(first.answer[:2_000]),
        target=visible_lines(first.target[:2_000]),
        finish=first.finish,
        tokens=first.tokens if is_text else sum(row.tokens for row in rows),
        more=len(rows) - 1 if is_text else max(0, len(texts) - CHOICES),
        characters=tuple(len(text.removeprefix(" ")) for text in texts[:CHOICES]),
        bytes=tuple(len(text.removeprefix(" ").encode("utf-8", "replace")) for text in texts[:CHOICES]),
    )


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _prompt_and_choices(rows: Sequence[SampleRow | Request]) -> tuple[str, list[str]]:
    """What all requests of a document begin with, and how each goes on."""
    prompts = {row.prompt for row in rows}
    if len(prompts) == 1:
        return rows[0].prompt, [row.continuation for row in rows]
    # choices within the prompt (WinoGrande): the prompts differ, what is scored may be the same
    same = takewhile(lambda column: len(set(column)) == 1, zip(*prompts, strict=False))
    start = "".join(column[0] for column in same)
    shared = start[: start.rfind(" ") + 1]
    return shared, [row.prompt[len(shared) :] + row.continuation for row in rows]


def snippet(prompt: Clipped, room: int = 100) -> str:
    """The start of the question itself: what follows the last blank line of a prompt."""
    text = (prompt.end or prompt.start).strip()
    question = text.rpartition("\n\n")[2] if prompt.omitted or "\n\n" in text else text
    line = " ".join(question.split())
    return line[:room]
