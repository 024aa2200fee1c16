"""How a model is trained: everything that decides the weights besides the rows and the base model."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from evalkit.fine_tuning import Objective

Precision = Literal["auto", "float32", "bfloat16"]
TrainingTemplate = Literal["auto", "chat", "plain"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSpec:
    """How a model is trained.

    Attributes:
        objective: `sft`: completion-only cross-entropy; `dpo`: direct preference optimisation (Rafailov et al. 2023);
            `reward`: a reward model by the Bradley-Terry loss.
        lora_rank: Rank of the adapter on all linear layers; 0 trains every weight.
        lora_alpha: Its scaling; None for twice the rank.
        lora_dropout: Dropout on its input.
        learning_rate: Peak; None for the objective's default (`default_learning_rate`).
        epochs: Passes over the rows.
        max_steps: Optimiser steps at most; None for no limit.
        batch_size: Rows an optimiser step, whatever is computed at once.
        micro_batch: Rows computed at once; None chooses. Gradients of `batch_size / micro_batch` such batches are added up.
        warmup: Share of the steps in which the learning rate rises; it then falls along a cosine.
        weight_decay: Of AdamW.
        max_grad_norm: Gradients are scaled down to this norm.
        max_length: Longest row in tokens; None takes the 99th percentile of the rows, at most the model's context.
        truncation_limit: Share of the rows that may lose their end of turn to `max_length` before training is refused.
        packing: Put several short rows into one sequence, with attention kept apart.
        template: `chat` renders prompts through the model's chat template, `plain` joins prompt and answer as they are;
            `auto` takes the template where the model has one.
        precision: `auto` is bfloat16 (autocast; weights stay float32) where the device computes it well, else float32.
        gradient_checkpointing: Recompute activations to save memory; None decides by the model's size.
        beta: Of DPO.
        held_out: Share of the rows held out of training, by a hash of the prompt; at least 20 rows and at most 500, where
            there are enough.
        held_out_every: Optimiser steps between held-out losses and checkpoints; None for ten times in the training.
        patience: Held-out losses without a new lowest after which training stops; 0 never stops early.
        eval_every: Optimiser steps between small evaluations of the tasks; 0 for none.
        seed: Of the order of rows, dropout and new weights.
    """

    objective: Objective = "sft"
    lora_rank: int = 16
    lora_alpha: int | None = None
    lora_dropout: float = 0.05
    learning_rate: float | None = None
    epochs: float = 3.0
    max_steps: int | None = None
    batch_size: int = 16
    micro_batch: int | None = None
    warmup: float = 0.03
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    max_length: int | None = None
    truncation_limit: float = 0.01
    packing: bool = False
    template: TrainingTemplate = "auto"
    precision: Precision = "auto"
    gradient_checkpointing: bool | None = None
    beta: float = 0.1
    held_out: float = 0.05
    held_out_every: int | None = None
    patience: int = 2
    eval_every: int = 0
    seed: int = 0

    @property
    def default_learning_rate(self) -> float:
        """2e-4 for an adapter and 2e-5 for all weights; for DPO 1e-5 and 1e-6, for reward models 1e-4 and 1e-5."""
        adapter = {"sft": 2e-4, "dpo": 1e-5, "reward": 1e-4}[self.objective]
        return adapter if self.lora_rank else adapter / 10

    @property
    def peak_learning_rate(self) -> float:
        """The learning rate after the warm-up."""
        return self.default_learning_rate if self.learning_rate is None else self.learning_rate

    @property
    def alpha(self) -> int:
        """The adapter's scaling."""
        return 2 * self.lora_rank if self.lora_alpha is None else self.lora_alpha

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)
