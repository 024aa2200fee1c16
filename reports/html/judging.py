"""What a document's main metric takes as picked, and how clearly: acc by log-probability, acc_norm by that per character."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from evalkit.comparing.picked import golds
from evalkit.reports.html.records import Record
from evalkit.results import Sample

NATS = "nats"
BY_LENGTH: dict[str, tuple[str, Callable[[Record], tuple[int, ...]]]] = {
    "acc_norm": ("nats a character", lambda record: record.characters),
    "acc_bytes": ("nats a byte", lambda record: record.bytes),
}
"""Metric that divides by a length -> unit of its scores, and the lengths of a record's choices."""

NO_PICK = {"mc2"}
"""Metrics of choices that take none as picked, but weigh all."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """A document's choices as its metric sees them.

    Attributes:
        unit: Of the scores: `nats`, or `nats a character`.
        picked: Index of the choice with the best score.
        margin: Score of the best right choice minus that of the best wrong one; below 0 the metric counts the answer as
            wrong. None where all are right, or nothing is known.
        scores: One a choice; empty where the log is missing.
    """

    unit: str
    picked: int
    margin: float | None
    scores: tuple[float, ...] = ()

    @property
    def confidence(self) -> float:
        """The picked choice's share of the exponentials of all scores."""
        best = max(self.scores)
        return min(1.0, 1 / math.fsum(math.exp(score - best) for score in self.scores))


def judge(metric: str, sample: Sample, record: Record | None) -> Judgement | None:
    """A document as its metric sees it; None where that cannot be told.

    What is found is held against the metric's own value, so that a metric that picks otherwise is never misread.

    Args:
        metric: The task's main metric.
        sample: One run's result for the document.
        record: What the log says; None without one.
    """
    found = _by_length(metric, sample, record) if metric in BY_LENGTH else _plain(sample, record)
    value = sample.metrics.get(metric)
    if found is None or value not in (0.0, 1.0) or metric in NO_PICK:
        return None
    return found if (found.picked in golds(sample)) == (value == 1.0) else None


def _plain(sample: Sample, record: Record | None) -> Judgement | None:
    place, distance = sample.fields.get("picked"), sample.fields.get("margin")
    if not isinstance(place, int):
        return None
    margin = float(distance) if isinstance(distance, int | float) else None
    logs = () if record is None else _logs(record)
    return Judgement(NATS, place, margin, logs if len(logs) == choices(sample) else ())


def _by_length(metric: str, sample: Sample, record: Record | None) -> Judgement | None:
    unit, lengths = BY_LENGTH[metric]
    logs = () if record is None else _logs(record)
    if record is None or not logs or len(logs) != choices(sample):
        return None
    # an empty choice loses
    scores = tuple(log / size if size else -1e300 for log, size in zip(logs, lengths(record), strict=True))
    right = [score for place, score in enumerate(scores) if place in golds(sample)]
    wrong = [score for place, score in enumerate(scores) if place not in golds(sample)]
    margin = max(right) - max(wrong) if right and wrong else None
    return Judgement(unit, scores.index(max(scores)), margin, scores)


def _logs(record: Record) -> tuple[float, ...]:
    """Log-probabilities of all choices, nats; empty where one is unknown."""
    logs = tuple(value for value in record.log_probabilities if value is not None)
    complete = record.kind == "score" and not record.more and len(logs) == len(record.log_probabilities) > 1
    return logs if complete else ()


def choices(sample: Sample) -> int | None:
    """Number of choices."""
    value = sample.fields.get("choices")
    return value if isinstance(value, int) else None
