"""What decides a run's scores besides the model and the tasks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from evalkit.runner.limit import Limit

OverLength = Literal["error", "drop-shots", "truncate", "skip"]
ChatTemplate = Literal["auto", "on", "off"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """What decides a run's scores besides the model and the tasks.

    Attributes:
        limit: Which documents of each task.
        seed: Seed of the sample of documents.
        chat_template: `on` puts every prompt through the model's chat template; `auto` leaves log-likelihood tasks
            plain, as the benchmarks were published.
        system: System instruction put before each task's description.
        over_length: What to do with a prompt longer than the model's context.
        decoding: Fields of `evalkit.decoding.Decoding` that the user changed, for every task that generates.
        allow_code_execution: Tasks that run what the model writes may do so, in a sandbox (`evalkit.code_execution`).
    """

    limit: Limit = field(default_factory=Limit)
    seed: int = 0
    chat_template: ChatTemplate = "auto"
    system: str | None = None
    over_length: OverLength = "error"
    decoding: Mapping[str, Any] = field(default_factory=dict)
    allow_code_execution: bool = False

    @property
    def uses_chat_template(self) -> bool:
        """Whether prompts go through the model's chat template: all tasks so far score log-likelihoods."""
        return self.chat_template == "on"

    def described(self) -> dict[str, Any]:
        """The settings as the result file has them."""
        return {
            "limit": None if self.limit == Limit() else str(self.limit),
            "seed": self.seed,
            "chat_template": "on" if self.uses_chat_template else "off",
            "system": self.system,
            "over_length": self.over_length,
            **({"decoding": dict(self.decoding)} if self.decoding else {}),
        }
