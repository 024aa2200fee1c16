"""What a fine-tuning did: the types that `evalkit sft` makes and its reports show.

    FineTuning
    ├── data: DataReport            what was read, and what was dropped and why
    ├── contamination               which benchmark items the training rows hold
    ├── trainings: Training         one a stage and seed: losses, cost, where the weights are
    ├── comparison: Comparison      before and after, as `evalkit compare` makes it; on clean items again
    ├── drift, outputs              what moved besides the scores
    ├── seeds, stages, retrieval    spread over seeds; the R matrix of several stages; passages in the prompt instead
    └── alarms                      what makes the numbers doubtful

`evalkit.sft` makes them; `evalkit.reports` shows them. All are plain JSON values but for the comparisons.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from evalkit.comparison import Change, Comparison, Verdict
from evalkit.training_data import Contamination, DataReport, TokenReport

if TYPE_CHECKING:
    from evalkit.gating.result import GateResult

SCHEMA = "evalkit.sft/1"

Objective = Literal["sft", "dpo", "reward"]


class Retention(StrEnum):
    """What became of a task."""

    GAINED = "gained"
    KEPT = "kept"
    FORGOTTEN = "forgotten"
    UNDECIDED = "undecided"
    NOT_COMPARABLE = "not comparable"


def retention(change: Change) -> Retention:
    """The verdict of `compare` in the words of fine-tuning: nothing new is decided here.

    `kept` says that a loss of the margin or more is ruled out; `undecided` that it is not, and `Change.detectable` what
    could have been seen.
    """
    return {
        Verdict.IMPROVED: Retention.GAINED,
        Verdict.WITHIN_MARGIN: Retention.KEPT,
        Verdict.REGRESSED: Retention.FORGOTTEN,
        Verdict.UNDECIDED: Retention.UNDECIDED,
        Verdict.NOT_COMPARABLE: Retention.NOT_COMPARABLE,
    }[change.verdict]


# --- training


@dataclass(frozen=True, slots=True)
class HeldOutLoss:
    """The loss on held-out rows at one step: the sum over their tokens divided by the number of tokens, in nats.

    For `dpo` and `reward` it is the mean over pairs.

    Attributes:
        step: Optimiser steps done.
        loss: The loss.
        tokens: Tokens (pairs) it is over.
        by_source: Source -> its loss.
        accuracy: Of pairs: share in which the chosen answer scores higher; None otherwise.
    """

    step: int
    loss: float
    tokens: int
    by_source: Mapping[str, float] = field(default_factory=dict)
    accuracy: float | None = None


@dataclass(frozen=True, slots=True)
class SmallEvaluation:
    """Scores of the live model on a small slice, during training (`--eval-every`).

    Attributes:
        step: Optimiser steps done.
        scores: Task -> its main metric.
        n: Task -> documents.
    """

    step: int
    scores: Mapping[str, float]
    n: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class PairAccuracy:
    """How often a model puts the chosen answer first.

    Attributes:
        right: Pairs in which it does.
        n: Held-out pairs.
        ci95: Wilson interval.
    """

    right: int
    n: int
    ci95: tuple[float, float]

    @property
    def value(self) -> float:
        """The share."""
        return self.right / self.n


@dataclass(frozen=True, slots=True)
class Training:
    """One training run.

    Attributes:
        seed: Of the order of rows, dropout and new weights.
        stage: 1 for the first.
        data: Its sources.
        model: Where the trained model is, as `--model` takes it.
        objective: `sft`, `dpo` or `reward`.
        parameters: Weights of the model.
        parameters_trained: Those of them that were trained.
        steps: Optimiser steps done.
        epochs: Passes over the rows.
        stopped: `finished`, or `early`: the held-out loss had stopped falling.
        best_step: The step whose weights were kept.
        tokens: How the rows became tokens.
        tokens_seen: Tokens computed in training, padding left out.
        seconds: It took, all resumptions together.
        peak_memory: Bytes, of the device or, on a CPU, of the process; None where unknown.
        settings: Everything else that decides it, as JSON values.
        losses: (step, training loss over the steps since the last).
        held_out: The held-out loss, from step 0 on.
        small: Evaluations during training.
        pairs_before: Accuracy on held-out pairs before training; None for `sft`.
        pairs_after: After it.
    """

    seed: int
    stage: int
    data: tuple[str, ...]
    model: str
    objective: Objective
    parameters: int
    parameters_trained: int
    steps: int
    epochs: float
    stopped: Literal["finished", "early"]
    best_step: int
    tokens: TokenReport
    tokens_seen: int
    seconds: float
    peak_memory: int | None
    settings: Mapping[str, Any]
    losses: tuple[tuple[int, float], ...]
    held_out: tuple[HeldOutLoss, ...]
    small: tuple[SmallEvaluation, ...] = ()
    pairs_before: PairAccuracy | None = None
    pairs_after: PairAccuracy | None = None


# --- what moved besides the scores


@dataclass(frozen=True, slots=True)
class Drift:
    """How far the tuned model's distribution is from the base's on a fixed text.

    Attributes:
        text: Which text: `general text`, or a task's prompts.
        sha256: Hash of the text.
        tokens: Tokens it is measured over.
        nll_before: Mean negative log-likelihood of the text under the base, nats a token.
        nll_after: Under the tuned model.
        kl: Mean KL(base || tuned) over the whole vocabulary, nats a token.
        agreement: Share of the tokens at which both find the same next token most probable.
    """

    text: str
    sha256: str
    tokens: int
    nll_before: float
    nll_after: float
    kl: float
    agreement: float


@dataclass(frozen=True, slots=True)
class OutputChange:
    """The texts that a task's answers are, before and after.

    Attributes:
        task: The task.
        n: Documents.
        tokens_before: Median tokens an answer.
        tokens_after: After.
        unreadable_before: Answers in which no answer was found (unparsed, empty, truncated, refused).
        unreadable_after: After.
    """

    task: str
    n: int
    tokens_before: float
    tokens_after: float
    unreadable_before: int
    unreadable_after: int


@dataclass(frozen=True, slots=True)
class SeedSpread:
    """A task's gain with each training seed.

    Attributes:
        task: The task.
        metric: Its main metric.
        before: Score of the base.
        after: Seed -> score.
        differing: Documents whose score is not the same with all seeds.
        n: Documents.
    """

    task: str
    metric: str
    before: float
    after: Mapping[int, float]
    differing: int
    n: int

    @property
    def mean(self) -> float:
        """Mean of the scores."""
        return sum(self.after.values()) / len(self.after)

    @property
    def stddev(self) -> float:
        """Standard deviation of the scores over the seeds (n - 1); 0 for one seed."""
        if len(self.after) < 2:
            return 0.0
        return float((sum((value - self.mean) ** 2 for value in self.after.values()) / (len(self.after) - 1)) ** 0.5)


@dataclass(frozen=True, slots=True)
class StageMatrix:
    """Scores after each stage of several (Lopez-Paz & Ranzato 2017; Chaudhry et al. 2018).

    Attributes:
        stages: Names of the stages' data.
        targets: The task that each stage teaches; empty where the user named none, and then there are no summary numbers.
        tasks: All tasks, the targets first.
        metrics: The main metric of each.
        base: Score of each task before the first stage.
        scores: `scores[i][j]`: score on task j after stage i.
        accuracy: ACC, mean over the targets after the last stage.
        backward_transfer: BWT; None with one stage.
        forward_transfer: FWT; None with one stage.
        forgetting: Mean over the earlier targets of the best earlier score less the last; None with one stage.
    """

    stages: tuple[str, ...]
    targets: tuple[str, ...]
    tasks: tuple[str, ...]
    metrics: tuple[str, ...]
    base: tuple[float, ...]
    scores: tuple[tuple[float, ...], ...]
    accuracy: float | None = None
    backward_transfer: float | None = None
    forward_transfer: float | None = None
    forgetting: float | None = None


@dataclass(frozen=True, slots=True)
class RetrievalTable:
    """Base and tuned model, with and without passages in the prompt.

    Attributes:
        corpus: The file of passages.
        sha256: Its hash.
        documents: Passages in it.
        passages: Passages put into each prompt.
        with_base: base -> base with retrieval.
        with_tuned: base -> tuned with retrieval.
        on_tuned: tuned -> tuned with retrieval.
    """

    corpus: str
    sha256: str
    documents: int
    passages: int
    with_base: Comparison
    with_tuned: Comparison
    on_tuned: Comparison


# --- all of it


@dataclass(frozen=True, slots=True)
class FineTuning:
    """What a fine-tuning did.

    Attributes:
        created: ISO 8601, UTC.
        evalkit_version: Version that made it.
        base: The model before, as the user named it.
        tuned: The model after, as `--model` takes it.
        command: The command that repeats it.
        configuration: Every setting, as JSON values.
        targets: Tasks that the training was for; empty where the user named none.
        data: The training rows; None where nothing was trained.
        contamination: None where it was not sought.
        trainings: By stage, then seed; empty where two existing models were compared.
        comparison: Before and after; None for reward models, which no task scores.
        clean: The same over the items that no training row holds; None where all are clean or nothing was sought.
        drift: On general text and on the tasks' prompts.
        outputs: Tasks that generate.
        seeds: Spread over the training seeds; empty with one seed.
        stages: None with one stage.
        retrieval: None without `--retrieve`.
        gate: The decision by `--require-gain` and `--max-forget`; None where neither was given.
        alarms: Sentences: what makes the numbers doubtful, the worst first.
        notes: Sentences that a reader must know.
        cost: Stage of the work -> seconds.
        files: What it is -> path relative to the output folder.
    """

    created: str
    evalkit_version: str
    base: str
    tuned: str
    command: str
    configuration: Mapping[str, Any]
    targets: tuple[str, ...] = ()
    data: DataReport | None = None
    contamination: Contamination | None = None
    trainings: tuple[Training, ...] = ()
    comparison: Comparison | None = None
    clean: Comparison | None = None
    drift: tuple[Drift, ...] = ()
    outputs: tuple[OutputChange, ...] = ()
    seeds: tuple[SeedSpread, ...] = ()
    stages: StageMatrix | None = None
    retrieval: RetrievalTable | None = None
    gate: GateResult | None = None
    alarms: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    cost: Mapping[str, float] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """0, or the gate's."""
        return 0 if self.gate is None else self.gate.exit_code

    def verdicts(self) -> dict[str, Retention]:
        """Root task -> what became of it."""
        if self.comparison is None:
            return {}
        return {name: retention(self.comparison.tasks[name].change) for name in self.comparison.roots}

    def to_html(self, path: str | Path) -> Path:
        """Writes one self-contained HTML file.

        Raises:
            OutputError: The place cannot be written.
        """
        from evalkit.reports.html import write_fine_tuning

        return write_fine_tuning(self, Path(path))
