"""Samples of an Inspect log: every epoch of a sample is read as an attempt, and the attempts make up one sample."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evalkit.comparing.foreign.building import LARGEST_NUMBER, finite
from evalkit.data import document_id
from evalkit.errors import UsageError
from evalkit.json_node import Node
from evalkit.results import Sample

_LETTERS: Mapping[str, float] = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}
"""Inspect's values: correct, partly correct, incorrect, no answer."""
_WORDS: Mapping[str, float] = {"yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}

_REASONS: Mapping[str, str] = {
    "invalid_response_format": "unparsed",
    "refusal": "refused",
    "no_response": "empty",
    "grader_failed": "errored",
    "scoring_failed": "errored",
}
"""Inspect's own word for why a score is what it is -> outcome."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What one scorer said of an attempt.

    Attributes:
        value: Its number; None where it gave none (NaN), or something that is no number.
        readable: False for a text or list that has no number.
        no_answer: The letter N.
        answer: The answer that it found; None where it names none.
        reason: Inspect's word for why.
    """

    value: float | None
    readable: bool
    no_answer: bool
    answer: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """One epoch of a sample.

    Attributes:
        name: The sample's id in the log.
        epoch: From 1.
        identity: Hash of id and input.
        prompt: Hash of what the model was given first.
        marks: Scorer, or SCORER/KEY where a scorer gives several values -> what it said.
        failed: It ended with an error.
        completion: The model's last text.
        stopped: Why that ended: `stop`, `max_tokens`, `content_filter` ...
        limited: The sample was cut by a limit on time, tokens, messages or cost.
    """

    name: str
    epoch: int
    identity: str
    prompt: str
    marks: Mapping[str, Mark]
    failed: bool
    completion: str
    stopped: str
    limited: bool


def read_attempt(node: Node) -> Attempt:
    """One `samples/*.json`.

    Raises:
        UsageError: A field is missing or has the wrong type.
    """
    identifier = node["id"].value
    if isinstance(identifier, bool) or not isinstance(identifier, str | int):
        raise node["id"].error("is neither a string nor a whole number")
    output = node.get("output")
    output = output if isinstance(output.value, dict) else Node(node.file, output.path, {}, node.hint)
    choices = output.get("choices").optional(Node.elements) or []
    scores = node.get("scores").optional(Node.items) or []
    return Attempt(
        name=str(identifier),
        epoch=node["epoch"].whole(),
        identity=document_id({"id": str(identifier), "input": _turns(node["input"])}),
        prompt=_prompt(node),
        marks={name: mark for scorer, score in scores for name, mark in _marks(scorer, score)},
        failed=node.get("error").value is not None,
        completion=output.get("completion").optional(Node.text) or "",
        stopped=(choices[0].get("stop_reason").optional(Node.text) or "") if choices else "",
        limited=node.get("limit").value is not None,
    )


def _turns(node: Node) -> Any:
    """A text, or the role and content of each message: their ids are drawn anew for every run."""
    if isinstance(node.value, str):
        return node.value
    return [{"role": one["role"].text(), "content": one["content"].value} for one in node.elements()]


def _prompt(node: Node) -> str:
    """Hash of the messages before the model's first."""
    messages = node.get("messages").optional(Node.elements) or []
    digest = hashlib.sha256()
    for message in messages:
        if message["role"].text() == "assistant":
            break
        shown = json.dumps([message["role"].value, message["content"].value], sort_keys=True)
        digest.update(shown.encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _marks(scorer: str, score: Node) -> Iterable[tuple[str, Mark]]:
    value = score["value"]
    answer = score.get("answer").optional(Node.text)
    reason = score.get("reason").optional(Node.text) or ""
    several = value.items() if isinstance(value.value, dict) else [("", value)]
    for key, one in several:
        number, readable = _number(one)
        yield (f"{scorer}/{key}" if key else scorer), Mark(number, readable, one.value == "N", answer, reason)


def _number(node: Node) -> tuple[float | None, bool]:
    """A value as Inspect's own `value_to_float` has it, and whether it can be read as a number."""
    value = node.value
    if value is None:
        return None, True
    if isinstance(value, bool | int | float):
        if isinstance(value, bool):
            return float(value), True
        return (None, True) if math.isnan(node.number()) else (finite(node), True)
    if not isinstance(value, str):
        return None, False
    known = _LETTERS.get(value, _WORDS.get(value.lower()))
    if known is not None:
        return known, True
    try:
        number = float(value)
    except ValueError:
        return None, False
    return (number, True) if abs(number) < LARGEST_NUMBER else (None, False)


def join_epochs(attempts: Sequence[Attempt], index: int, metrics: Sequence[str], judge: Judge | None) -> Sample:
    """The sample of one document: the mean over its epochs that were scored.

    Args:
        attempts: Its epochs.
        index: Its place in the dataset.
        metrics: Names of scorers.
        judge: Tells right from wrong; None where no scorer does.
    """
    ordered = sorted(attempts, key=lambda attempt: attempt.epoch)
    values: dict[str, float] = {}
    for name in metrics:
        found = [mark.value for one in ordered if (mark := one.marks.get(name)) is not None and mark.value is not None]
        if found:
            values[name] = math.fsum(found) / len(found)
    outcomes = [_outcome(one, judge) for one in ordered]
    scored = [outcome for outcome in outcomes if outcome != "errored"]
    outcome = "errored" if not scored or not values else scored[0]
    if "right" in scored and len(set(scored)) > 1:
        outcome = "mixed"
    fields: dict[str, Any] = {"sample_id": ordered[0].name}
    if len(ordered) > 1:
        fields["epochs"] = len(ordered)
    return Sample(ordered[0].identity, index, None, outcome, {} if outcome == "errored" else values, fields)


@dataclass(frozen=True, slots=True)
class Judge:
    """The scorer that tells right from wrong.

    Attributes:
        name: Its name among the metrics.
        answers: Whether it names the answer that it found, so that none means that there was none.
    """

    name: str
    answers: bool


def find_judge(metrics: Sequence[str], attempts: Sequence[Attempt]) -> Judge | None:
    """The first scorer whose values are all 0 or 1."""
    for name in metrics:
        marks = [attempt.marks[name] for attempt in attempts if name in attempt.marks]
        if all(mark.value in (0.0, 1.0, None) for mark in marks):
            return Judge(name, any(mark.answer for mark in marks))
    return None


def _outcome(attempt: Attempt, judge: Judge | None) -> str:
    """Why there is no answer, or a wrong one, as exactly as the log says it."""
    if not any(mark.value is not None for mark in attempt.marks.values()):
        return "errored"
    if judge is None:
        return "scored"
    mark = attempt.marks.get(judge.name)
    if mark is None or mark.value is None:
        return "errored"
    if mark.value == 1.0:
        return "right"
    if mark.reason in _REASONS:
        return _REASONS[mark.reason]
    if attempt.stopped == "content_filter":
        return "refused"
    if attempt.stopped in ("max_tokens", "model_length") or attempt.limited:
        return "truncated"
    if not attempt.completion.strip():
        return "empty"
    return "unparsed" if mark.no_answer or (judge.answers and not mark.answer) else "wrong"


def grouped(attempts: Iterable[Attempt], file: str, hint: str) -> dict[str, list[Attempt]]:
    """Id of a sample -> its epochs.

    Raises:
        UsageError: An epoch is in the log twice, or has another input than the sample's other epochs.
    """
    samples: dict[str, list[Attempt]] = {}
    for attempt in attempts:
        others = samples.setdefault(attempt.name, [])
        if any(other.epoch == attempt.epoch for other in others):
            raise UsageError(f"{file} holds sample {attempt.name}, epoch {attempt.epoch}, twice", hint=hint)
        if others and others[0].identity != attempt.identity:
            raise UsageError(f"{file}: the epochs of sample {attempt.name} have different inputs", hint=hint)
        others.append(attempt)
    return samples
