"""What people said of generated texts: the types behind a ratings file (schema `evalkit.ratings/1`).

Ratings
├── base, tuned: RatedRun       the runs whose texts were rated; one alone has no `tuned`
│                └── tasks: name -> RatedTask
└── ratings: Rating             one a rater, document and mode
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

Side = Literal["base", "tuned"]
"""Which of the two runs: the first or the second that was given."""

Choice = Literal["base", "tuned", "tie", "both_bad"]
"""Whose answer is better."""

Mode = Literal["choice", "score"]
"""A choice between two answers, or 1 to 5 for each criterion of each answer."""

CRITERIA: Mapping[str, str] = {
    "fluency": "well written: grammar, wording, spelling",
    "coherence": "hangs together: no contradiction, no repetition",
    "relevance": "answers what was asked, and nothing else",
}
"""Criterion -> what a rater looks at."""

LOWEST, HIGHEST = 1, 5
"""The worst and the best score."""


@dataclass(frozen=True, slots=True)
class RatedTask:
    """The texts of one task of a run.

    Attributes:
        n: Number of texts.
        prompt_sha256: Hash over all prompts, as in the result file.
        outputs_sha256: Hash over the texts themselves: another run has another.
    """

    n: int
    prompt_sha256: str
    outputs_sha256: str


@dataclass(frozen=True, slots=True)
class RatedRun:
    """Which run's texts were rated.

    Attributes:
        name: The model, as the user would type it.
        adapter: Adapter on top of it.
        weights_sha256: Hash of its weights.
        tasks: All tasks of the run that generate.
    """

    name: str
    adapter: str | None
    weights_sha256: str
    tasks: Mapping[str, RatedTask]

    def difference(self, other: RatedRun) -> str | None:
        """What makes the other run another one; None where both have the same texts of the same model."""
        if self.weights_sha256 != other.weights_sha256:
            return f"weights of {self.name} and {other.name}"
        if self.adapter != other.adapter:
            return f"adapters {self.adapter} and {other.adapter}"
        if unshared := sorted(set(self.tasks) ^ set(other.tasks)):
            return f"task {unshared[0]} is in one only"
        for name, task in self.tasks.items():
            if task != other.tasks[name]:
                kind = "prompts" if task.prompt_sha256 != other.tasks[name].prompt_sha256 else "texts"
                return f"{kind} of {name}"
        return None


class RatingKey(NamedTuple):
    """What one rater has one opinion on."""

    rater: str
    mode: Mode
    task: str
    document: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rating:
    """One rater's opinion on one document.

    Attributes:
        rater: Name of the rater.
        mode: What was asked.
        task: Name of the task.
        document: The sample's id in the result file.
        cluster: Group of documents whose errors go together; None where documents are independent.
        choice: Whose answer is better (mode `choice`).
        scores: Side -> criterion -> 1 to 5 (mode `score`).
        left: Which run's answer stood left; None where there was one answer only.
        identical: Both answers were the same text: a tie that nobody was asked about, or scores given once for both.
        reference: The rater had the reference answer shown.
        seconds: Time that the page was in view before the rating.
        time: When, ISO 8601, UTC.
        withdrawn: The rater took the rating back; then there is neither choice nor scores.
    """

    rater: str
    mode: Mode
    task: str
    document: str
    cluster: str | None = None
    choice: Choice | None = None
    scores: Mapping[Side, Mapping[str, int]] | None = None
    left: Side | None = None
    identical: bool = False
    reference: bool = False
    seconds: float = 0.0
    time: str = ""
    withdrawn: bool = False

    @property
    def key(self) -> RatingKey:
        """Of two ratings with the same key, the later one counts."""
        return RatingKey(self.rater, self.mode, self.task, self.document)


@dataclass(frozen=True, slots=True)
class Ratings:
    """The content of one or several ratings files.

    Attributes:
        base: The first run.
        tuned: The second; None where one run alone was scored.
        ratings: The ratings that count, in the order they were given.
        replaced: Ratings that a later one of the same rater replaced.
    """

    schema: ClassVar[str] = "evalkit.ratings/1"

    base: RatedRun
    tuned: RatedRun | None
    ratings: tuple[Rating, ...]
    replaced: int = 0
