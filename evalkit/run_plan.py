"""What a run would take: the answer of `evalkit plan`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


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
class Sight:
    """What comparing two such runs could see of a task, a group, or the mean over tasks.

    Attributes:
        documents: Documents that both runs would have.
        effective: Independent documents that say as much: fewer where documents come in clusters, or where a mean weighs
            few documents heavily.
        difference: Smallest true difference that has a chance of 80 % to be told from none (two-sided, level 5 %); in the
            metric's unit. None where the metric's spread is not known.
        is_share: Whether the unit is a share of 1, shown in points of a hundred.
        needed: Difference -> documents that would show it with the same chance; empty where `is_share` is False.
        basis: What was taken for the spread of the difference, in words.
    """

    documents: int
    effective: float
    difference: float | None
    is_share: bool
    needed: Mapping[float, int]
    basis: str


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
        sights: Task or group -> what comparing two such runs could see of it, in the order of `tasks`, a group before its
            members.
        overall: The same of the mean over what is in no group; None for a single one, or where not all are shares of 1.
    """

    model: str
    device: str | None
    tasks: tuple[TaskPlan, ...]
    groups: Mapping[str, tuple[str, ...]]
    cost: Cost | None
    preparation_seconds: float
    sights: Mapping[str, Sight] = field(default_factory=dict)
    overall: Sight | None = None

    def to_json(self) -> dict[str, Any]:
        """The plan as JSON values (schema `evalkit.plan/1`)."""
        plan = asdict(self)
        cost = None if self.cost is None else plan["cost"] | {"seconds": self.cost.seconds}
        sights = {name: _sight_to_json(sight) for name, sight in self.sights.items()}
        overall = None if self.overall is None else _sight_to_json(self.overall)
        return {"schema": "evalkit.plan/1", **plan, "cost": cost, "sights": sights, "overall": overall}


def _sight_to_json(sight: Sight) -> dict[str, Any]:
    needed = [{"difference": difference, "documents": documents} for difference, documents in sight.needed.items()]
    return asdict(sight) | {"needed": needed}
