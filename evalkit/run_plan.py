"""What a run would take: the answer of `evalkit plan`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TaskPlan:
    """One task of a planned run.

    Attributes:
        name: Its name in the result.
        documents: Documents to evaluate.
        requests: Prompts to score.
        tokens: Tokens of all prompts, each counted whole.
    """

    name: str
    documents: int
    requests: int
    tokens: int

    def __add__(self, other: TaskPlan) -> TaskPlan:
        """Both together, under the first one's name."""
        return TaskPlan(
            self.name, self.documents + other.documents, self.requests + other.requests, self.tokens + other.tokens
        )


@dataclass(frozen=True, slots=True)
class Cost:
    """What computing the prompts of a run takes.

    Attributes:
        tokens_asked: Tokens of all prompts, each counted whole.
        tokens_computed: Tokens that will be put through the model: shared prefixes once.
        batches: Forward passes.
        batch_tokens: Token budget of a batch.
        peak_bytes: Memory in use at the worst moment, the model included: of the process on CPU, of torch's allocator on
            an accelerator.
        available_bytes: What is in use now, with the model loaded, and what is free.
        tokens_per_second: Measured on this machine with some of the batches.
        new_tokens: Those of `tokens_computed` that are generated, every answer as long as it may become.
    """

    tokens_asked: int
    tokens_computed: int
    batches: int
    batch_tokens: int
    peak_bytes: int
    available_bytes: int
    tokens_per_second: float
    new_tokens: int = 0

    @property
    def seconds(self) -> float:
        """Time for the batches."""
        return self.tokens_computed / self.tokens_per_second if self.tokens_computed else 0.0


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What a run would take.

    Attributes:
        model: Its name.
        device: Where it would run; None when that is not known.
        tasks: In the run's order.
        groups: Name of each group -> the tasks and groups in it.
        cost: None for a backend that does not compute tokens itself.
        preparation_seconds: Reading data, loading the model, building and tokenising prompts, as just measured.
    """

    model: str
    device: str | None
    tasks: tuple[TaskPlan, ...]
    groups: Mapping[str, tuple[str, ...]]
    cost: Cost | None
    preparation_seconds: float
