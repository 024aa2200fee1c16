"""What decides a run's scores besides the model and the tasks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from evalkit.prompts import SHOTS_SEED
from evalkit.retrieval import Retrieval
from evalkit.runner.limit import Limit

OverLength = Literal["error", "drop-shots", "truncate", "skip"]
ChatTemplate = Literal["auto", "on", "off"]
ShotsSampler = Literal["lm-eval", "fixed", "random", "nearest", "balanced"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """What decides a run's scores besides the model and the tasks.

    Attributes:
        limit: Which documents of each task.
        seed: Seed of the sample of documents.
        chat_template: `on` puts every prompt through the model's chat template, `off` none; `auto` decides by the task
            (`evalkit.runner.presentation`).
        system: System instruction put before each task's description.
        system_as_user: In a chat, instructions stand in the first user turn, for templates without a system role.
        fewshot_as_multiturn: In a chat, few-shot examples are turns of their own; else they stand in the question's.
        enable_thinking: Given to the chat template under this name; None leaves it out.
        thinking: `auto` takes thoughts out of generated texts where the model is known to mark them, `off` does not,
            `OPEN,CLOSE` names the tags.
        shots_sampler: How few-shot examples are drawn: a name of `evalkit.shots.samplers.SAMPLERS`.
        shots_seed: Seed of that, the first one where there are several.
        shots_seeds: Number of seeds that tasks with drawn examples are evaluated with.
        over_length: What to do with a prompt longer than the model's context.
        decoding: Fields of `evalkit.decoding.Decoding` that the user changed, for every task that generates.
        sampling_seed: Seed of what is drawn at a temperature above 0, for every task that generates.
        allow_code_execution: Tasks that run what the model writes may do so, in a sandbox (`evalkit.code_execution`).
        retrieval: Passages that are put before questions; None puts none.
    """

    limit: Limit = field(default_factory=Limit)
    seed: int = 0
    chat_template: ChatTemplate = "auto"
    system: str | None = None
    system_as_user: bool = False
    fewshot_as_multiturn: bool = True
    enable_thinking: bool | None = None
    thinking: str = "auto"
    shots_sampler: ShotsSampler = "lm-eval"
    shots_seed: int = SHOTS_SEED
    shots_seeds: int = 1
    over_length: OverLength = "error"
    decoding: Mapping[str, Any] = field(default_factory=dict)
    sampling_seed: int = 0
    allow_code_execution: bool = False
    retrieval: Retrieval | None = None

    def decoding_changes(self) -> dict[str, Any]:
        """Fields of `evalkit.decoding.Decoding` that every task that generates gets: the user's, and the seed."""
        return {**self.decoding, "seed": self.sampling_seed}

    def described(self, *, generates: bool = True) -> dict[str, Any]:
        """The settings as the result file has them; of the rarer ones those that are not the default.

        Args:
            generates: A task generates; without one the settings of how text is generated had no effect.
        """
        rare = {name: getattr(self, name) for name, default in RARE_DEFAULTS.items() if getattr(self, name) != default}
        described = {
            "limit": None if self.limit == Limit() else str(self.limit),
            "seed": self.seed,
            "chat_template": self.chat_template,
            "system": self.system,
            "over_length": self.over_length,
            **rare,
            **({"decoding": dict(self.decoding)} if self.decoding else {}),
            **({"retrieval": self.retrieval.described()} if self.retrieval else {}),
        }
        return described if generates else {name: described[name] for name in described if name not in GENERATION}

    def without_effect(self) -> list[str]:
        """The options that the user gave and that matter only to a task that generates."""
        names = [*self.decoding, *(["sampling_seed"] if self.sampling_seed else [])]
        return [f"--{name.replace('_', '-')}" for name in names]


GENERATION = frozenset({"decoding", "sampling_seed"})
"""Settings of how text is generated."""

RARE_DEFAULTS: Mapping[str, Any] = {
    "system_as_user": False,
    "fewshot_as_multiturn": True,
    "enable_thinking": None,
    "thinking": "auto",
    "shots_sampler": "lm-eval",
    "shots_seed": SHOTS_SEED,
    "shots_seeds": 1,
    "sampling_seed": 0,
}
"""Settings that a result names only where they were changed."""
