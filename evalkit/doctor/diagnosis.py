"""What a diagnosis found: frozen, plain values, as reports and JSON show them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

Level = Literal["problem", "care", "fine"]
"""How bad a finding is: scores are wrong unless something is done; something should be known or set; nothing to do."""

LEVELS: tuple[Level, ...] = ("problem", "care", "fine")
"""Worst first."""


@dataclass(frozen=True, slots=True)
class Change:
    """How far a way of computing moved the scores of the same questions.

    Attributes:
        tokens: Scored tokens that were compared.
        largest_token: Largest |difference| of a token's log-probability (nats).
        mean_token: Mean |difference| of a token's log-probability (nats).
        largest_answer: Largest |difference| of an answer's log-probability (nats).
        questions: Questions whose picked answer was compared.
        flipped: How many of them have another picked answer.
        flipped_margin: Of those, the largest lead (nats) that the picked answer had before; None where none flipped.
        right_before: Questions answered right before the change.
        right_after: Questions answered right after it.
        identical: Every number has the same bits.
    """

    tokens: int
    largest_token: float
    mean_token: float
    largest_answer: float
    questions: int
    flipped: int
    flipped_margin: float | None
    right_before: int
    right_after: int
    identical: bool


@dataclass(frozen=True, slots=True)
class Measured:
    """One way of computing, compared with another that differs in one thing.

    Attributes:
        key: Short name, as `float32/packed`.
        label: In words.
        dtype: Type of the weights.
        by: Who computes so: `evalkit` with some option of its own, or `others`, as programs on plain transformers do.
        against: Key of what it is compared with.
        change: What was measured; None where it could not be.
        reason: Why it could not be measured; None where it was.
        seconds: Time that it took.
    """

    key: str
    label: str
    dtype: str
    by: Literal["evalkit", "others"]
    against: str
    change: Change | None
    reason: str | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class FirstTokens:
    """How a prompt begins for the model.

    Attributes:
        ids: Its first token ids.
        texts: Their texts.
        double_bos: The beginning-of-sequence token stands there twice.
    """

    ids: tuple[int, ...]
    texts: tuple[str, ...]
    double_bos: bool


SystemRole = Literal["own turn", "in the user turn", "ignored", "refused"]
"""What a template makes of a system message."""


@dataclass(frozen=True, slots=True)
class ChatFindings:
    """What the tokenizer's chat template does.

    Attributes:
        template: There is one.
        plain: How plain text begins.
        usual: How a rendered conversation begins when it is tokenised like any text, as many programs do; None without a
            template. So with the next.
        evalkit: How it begins in evalkit.
        system: What becomes of a system message.
        default_system: The system message that the template adds by itself; None where it adds none.
        thinking_switch: The template knows `enable_thinking`.
        continues: An assistant's turn at the end is left open, so that an answer's beginning can be given.
        asked: Short questions asked through the template.
        ended: How many of the answers the model ended by itself within 64 tokens.
        error: What the template said where it cannot render a simple question; None where it can.
    """

    template: bool
    plain: FirstTokens
    usual: FirstTokens | None = None
    evalkit: FirstTokens | None = None
    system: SystemRole | None = None
    default_system: str | None = None
    thinking_switch: bool = False
    continues: bool = False
    asked: int = 0
    ended: int = 0
    error: str | None = None


@dataclass(frozen=True, slots=True)
class FormScore:
    """Accuracy with one way to put the same questions.

    Attributes:
        key: `letter`, `cloze`, `letter, chat` or `cloze, chat`.
        right: Questions answered right.
        questions: Questions asked.
        ci95: Wilson's interval for the accuracy, in shares of 1.
        chance: Accuracy of guessing, in shares of 1.
    """

    key: str
    right: int
    questions: int
    ci95: tuple[float, float]
    chance: float

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return self.right / self.questions


@dataclass(frozen=True, slots=True)
class FormPair:
    """Two ways to put the same questions, compared question by question.

    Attributes:
        before: Key of the one.
        after: Key of the other.
        gained: Questions that only `after` answers right.
        lost: Questions that only `before` answers right.
        questions: Questions asked.
        ci95: Tango's interval for the difference of the accuracies, after minus before, in shares of 1.
        p: McNemar's mid-p.
    """

    before: str
    after: str
    gained: int
    lost: int
    questions: int
    ci95: tuple[float, float]
    p: float

    @property
    def difference(self) -> float:
        """Accuracy after minus before, in shares of 1."""
        return (self.gained - self.lost) / self.questions


@dataclass(frozen=True, slots=True)
class Advice:
    """A finding, and what to do about it.

    Attributes:
        level: How bad it is.
        text: A sentence or two, with the numbers that it rests on.
    """

    level: Level
    text: str


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What `evalkit doctor` found.

    Attributes:
        model: Its name.
        parameters: Its number of parameters.
        device: Where it was computed.
        dtype: What `evalkit run` would compute in with the same options.
        reference_dtype: What everything is compared with: each prompt alone, in this type.
        path: How evalkit computes this model: `packed` or `padded`; None where it refuses it.
        questions: Task -> questions taken from it.
        measured: Ways of computing, in the order in which they were tried.
        chat: What the chat template does.
        forms: Accuracy with each way to put the questions; empty where they have no texts as answers.
        pairs: These compared with each other.
        advice: Findings, worst first.
        seconds: Time it took.
        evalkit_version: By which version.
    """

    model: str
    parameters: int
    device: str
    dtype: str
    reference_dtype: str
    path: str | None
    questions: Mapping[str, int]
    measured: tuple[Measured, ...]
    chat: ChatFindings
    forms: tuple[FormScore, ...]
    pairs: tuple[FormPair, ...]
    advice: tuple[Advice, ...]
    seconds: float
    evalkit_version: str

    def to_json(self) -> dict[str, Any]:
        """As JSON values (schema `evalkit.doctor/1`)."""
        return {"schema": "evalkit.doctor/1", **asdict(self)}
