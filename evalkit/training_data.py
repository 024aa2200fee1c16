"""What is known of training data: the types that reading, searching and making it give, and reports show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

# --- data


@dataclass(frozen=True, slots=True)
class Quantiles:
    """A distribution in five numbers and its 99th percentile."""

    minimum: float
    p25: float
    median: float
    p75: float
    p99: float
    maximum: float

    @classmethod
    def of(cls, values: Sequence[int]) -> Quantiles | None:
        """Of these numbers, interpolated between neighbours; None without any."""
        if not values:
            return None
        ordered = sorted(values)

        def at(share: float) -> float:
            place = share * (len(ordered) - 1)
            low = int(place)
            high = min(low + 1, len(ordered) - 1)
            return ordered[low] + (place - low) * (ordered[high] - ordered[low])

        return cls(at(0), at(0.25), at(0.5), at(0.75), at(0.99), at(1))


@dataclass(frozen=True, slots=True)
class SourceReport:
    """One file or dataset of training rows.

    Attributes:
        name: As the user gave it.
        format: How its rows were understood: `messages`, `sharegpt`, `prompt-completion`, `alpaca`, `text`, `preference`.
        sha256: Hash of its content.
        rows: Rows read.
        kept: Rows left after cleaning.
        dropped: Reason -> rows dropped.
        flagged: Reason -> rows kept although something is odd (`conflicting`, `language-outlier`, `length-outlier` ...).
        languages: ISO 639-1 code -> rows, most frequent first; empty where no language was sought.
        characters: Of prompt and answer together; None without rows.
        answer_characters: Of the answers; None without rows.
        turns: Messages a row -> rows.
    """

    name: str
    format: str
    sha256: str
    rows: int
    kept: int
    dropped: Mapping[str, int]
    flagged: Mapping[str, int]
    languages: Mapping[str, int]
    characters: Quantiles | None
    answer_characters: Quantiles | None
    turns: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class TokenReport:
    """Training rows as tokens.

    Attributes:
        rows: Rows trained on.
        held_out: Rows held out of training.
        tokens: Tokens of the rows trained on.
        trained_tokens: Those of them that the loss is taken over.
        lengths: Tokens a row, before any cutting.
        max_length: Longest row in tokens; longer ones are cut on the right.
        truncated: Rows that were cut.
        lost_end: Rows that lost the token which ends the turn.
        without_labels: Rows dropped because no token of theirs would have been trained on.
    """

    rows: int
    held_out: int
    tokens: int
    trained_tokens: int
    lengths: Quantiles | None
    max_length: int
    truncated: int
    lost_end: int
    without_labels: int


@dataclass(frozen=True, slots=True)
class DataReport:
    """All training rows.

    Attributes:
        sources: One a file or dataset.
        dropped_file: Where the dropped rows are, with their reasons; None without any.
        conflicts: Prompts that stand with different answers, at most twenty.
        drawn: Source -> rows of one epoch, where sources are mixed or replayed; empty otherwise.
    """

    sources: tuple[SourceReport, ...]
    dropped_file: str | None = None
    conflicts: tuple[str, ...] = ()
    drawn: Mapping[str, int] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Rows read."""
        return sum(source.rows for source in self.sources)

    @property
    def kept(self) -> int:
        """Rows left."""
        return sum(source.kept for source in self.sources)


# --- contamination

Evidence = Literal["question+answer", "answer", "question", "exact"]


@dataclass(frozen=True, slots=True)
class Overlap:
    """A benchmark item that training rows hold.

    Attributes:
        id: The sample's id.
        evidence: `question+answer`: a row has an n-gram that spans both (with three words of the answer, or all of it), or
            one of each, or most of the question and the right answer as its own; `answer`, `question`: of that part alone;
            `exact`: the whole short item, normalised.
        coverage: Share of the item's words that lie in shared n-grams; 1 for `exact`.
        ngram: One of the shared n-grams.
        rows: The training rows, as (source, index), at most five.
    """

    id: str
    evidence: Evidence
    coverage: float
    ngram: str
    rows: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class TaskContamination:
    """One task against the training rows.

    Attributes:
        task: Its name in the result.
        n: Items to be scored.
        ngram: Words of the n-grams sought.
        overlaps: Contaminated items.
        question_only: Of them, those of which the question alone was found: weaker evidence.
        unchecked: Items too short for n-grams and compared as a whole only.
        common: N-grams left aside because three different items or more, of whichever tasks, have them.
    """

    task: str
    n: int
    ngram: int
    overlaps: tuple[Overlap, ...]
    question_only: int
    unchecked: int
    common: int


ContaminationPolicy = Literal["drop-train", "flag-eval", "fail", "ignore"]


@dataclass(frozen=True, slots=True)
class Contamination:
    """Training rows × every benchmark that is scored.

    Attributes:
        policy: What was done: `drop-train` left the rows out of training.
        rows: Training rows that were compared.
        rows_found: Rows that hold a benchmark item.
        tasks: One a task.
        seconds: It took.
    """

    policy: ContaminationPolicy
    rows: int
    rows_found: int
    tasks: tuple[TaskContamination, ...]
    seconds: float = 0.0

    @property
    def found(self) -> int:
        """Contaminated items of all tasks."""
        return sum(len(task.overlaps) for task in self.tasks)


# --- made by a model


@dataclass(frozen=True, slots=True)
class Making:
    """What was made.

    Attributes:
        output: File of the rows.
        wanted: Rows asked for.
        kept: Rows made.
        grown: Prompts that the model wrote.
        rejected: Reason -> how many of them were rejected for it, in the order of the filters.
        surplus: Good ones beyond what was asked for.
        rounds: Rounds done.
        seconds: It took, all processes together.
        seeds: Rows grown from.
        first: Some of the rows: (prompt, answer).
        files: What it is -> path.
    """

    output: Path
    wanted: int
    kept: int
    grown: int
    rejected: Mapping[str, int]
    surplus: int
    rounds: int
    seconds: float
    seeds: int
    first: tuple[tuple[str, str], ...]
    files: Mapping[str, Path]

    @property
    def is_complete(self) -> bool:
        """Whether there are as many rows as asked for."""
        return self.kept >= self.wanted
