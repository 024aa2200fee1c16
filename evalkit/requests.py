"""What is asked of a model, and what it answers: the only types that pass between tasks, runner and backends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from evalkit.decoding import Decoding


@dataclass(frozen=True, slots=True)
class Score:
    """Asks for log P(continuation | context)."""

    context: str
    continuation: str
    shared: int = 0
    """Length in characters of the leading part of `context` that other requests repeat (description and few-shot
    examples). A hint for tokenising once; it never changes an answer."""


@dataclass(frozen=True, slots=True)
class Roll:
    """Asks for log P(text), every token of it scored once, over windows of the model's context length."""

    text: str


@dataclass(frozen=True, slots=True)
class Generate:
    """Asks for text after `prompt`.

    Attributes:
        prompt: What the model sees, rendered through its chat template where that is used.
        decoding: How to continue it.
        shared: As `Score.shared`.
        messages: The chat turns that `prompt` was rendered from, for endpoints that take turns; empty for plain text.
        thinks: The model is known to think before it answers, between the tags of `decoding.thinking`.
    """

    prompt: str
    decoding: Decoding = field(default_factory=Decoding)
    shared: int = 0
    messages: tuple[Mapping[str, str], ...] = ()
    thinks: bool = False


Request = Score | Roll | Generate


@dataclass(frozen=True, slots=True)
class Response:
    """The answer to one request.

    Attributes:
        log_probability: Sum over the scored tokens of log P(token | all before it), natural logarithm (nats).
        greedy: Whether every scored token was the model's most probable one.
        token_log_probabilities: One value (nats) a scored token, in order.
        context_tokens: Tokens before the first scored one, as the model saw them (after truncation; 1 for `Roll`).
        truncated: Tokens cut off the left of the context because the model's context is shorter.
    """

    log_probability: float
    greedy: bool
    token_log_probabilities: tuple[float, ...]
    context_tokens: int
    truncated: int = 0

    @property
    def tokens(self) -> int:
        """Number of scored tokens."""
        return len(self.token_log_probabilities)


Finish = Literal["stop", "length", "refused"]
"""Why a text ended: a stop text or the model's end-of-turn token, the limit on new tokens or the model's context, or the
endpoint's own refusal (a content filter)."""


@dataclass(frozen=True, slots=True)
class Completion:
    """One generated text.

    Attributes:
        text: The answer, cut before the first stop text, without special tokens.
        finish: Why it ended.
        tokens: Number of tokens generated, an end-of-turn token included.
        token_ids: Those tokens; empty where the backend does not tell.
        log_probability: Sum over the generated tokens of log P(token | all before it) under the model's own distribution
            (temperature 1, no top-p or top-k), nats; None where the backend does not tell.
        score: What beam search ranked it by, None without beams.
        answered: False where the text ends within a thought (`evalkit.thinking`), so that it holds no answer. Backends
            leave it alone.
    """

    text: str
    finish: Finish
    tokens: int
    token_ids: tuple[int, ...] = ()
    log_probability: float | None = None
    score: float | None = None
    answered: bool = True


@dataclass(frozen=True, slots=True)
class Generation:
    """The answer to a `Generate`.

    Attributes:
        completions: One a sample, in order; with beams all final hypotheses, the best first.
        context_tokens: Tokens of the prompt as the model saw it (after truncation).
        truncated: Tokens cut off the left of the prompt.
    """

    completions: tuple[Completion, ...]
    context_tokens: int
    truncated: int = 0


@dataclass(frozen=True, slots=True)
class Failure:
    """What could not be had: an endpoint that failed for good. The document is `errored`, never scored.

    Attributes:
        reason: One plain sentence.
    """

    reason: str


Reply = Response | Generation | Failure
"""The answer to a request."""
