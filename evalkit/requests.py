"""What is asked of a model, and what it answers: the only types that pass between tasks, runner and backends."""

from __future__ import annotations

from dataclasses import dataclass


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


Request = Score | Roll


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
