"""TRL's trainers, fed with tokens of ours and asked for a held-out loss of ours."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.errors import UsageError
from evalkit.sft.spec import TrainingSpec
from evalkit.sft.training import together
from evalkit.sft.training.losses import HeldOut
from evalkit.sft.training.tokens import Example

if TYPE_CHECKING:
    from evalkit.models import LoadedModel

MICRO_BATCH = 8
"""Rows computed at once at most, where the user does not say."""
CHECKPOINTING_FROM = 1_000_000_000
"""Parameters from which activations are computed again to save memory, where all weights are trained."""


def share(spec: TrainingSpec) -> int:
    """Rows of a batch that this process computes.

    Raises:
        UsageError: The batch cannot be shared out among the processes.
    """
    if spec.batch_size % together.size():
        raise UsageError(
            f"a batch of {spec.batch_size} rows cannot be shared out among {together.size()} processes",
            hint=f"--batch-size counts the rows of all processes: give a multiple of {together.size()}",
        )
    return spec.batch_size // together.size()


def micro_batch(spec: TrainingSpec) -> int:
    """Rows computed at once: a divisor of the process's share of the batch."""
    own = share(spec)
    wanted = min(spec.micro_batch or MICRO_BATCH, own)
    return max(size for size in range(1, wanted + 1) if own % size == 0)


def total_steps(spec: TrainingSpec, rows: int) -> int:
    """Optimiser steps of the whole training, as the trainer counts them."""
    import math

    batches = math.ceil(math.ceil(rows / micro_batch(spec)) / together.size())
    each = math.ceil(batches / (share(spec) // micro_batch(spec)))
    steps = math.ceil(spec.epochs * each)
    return min(steps, spec.max_steps) if spec.max_steps else steps


def uses_bfloat16(spec: TrainingSpec, device: Any) -> bool:
    """Whether to compute in bfloat16 (the weights stay float32)."""
    import torch

    if spec.precision != "auto":
        return spec.precision == "bfloat16"
    return device.type == "cuda" and bool(torch.cuda.is_bf16_supported())


def arguments(spec: TrainingSpec, rows: int, held_out: int, loaded: LoadedModel, folder: Path) -> dict[str, Any]:
    """What all of TRL's configurations take."""
    steps = total_steps(spec, rows)
    every = spec.held_out_every or max(1, steps // 10)
    parameters = sum(one.numel() for one in loaded.model.parameters())
    recompute = spec.gradient_checkpointing
    if recompute is None:
        recompute = loaded.device.type == "cuda" and parameters >= CHECKPOINTING_FROM and not spec.lora_rank
    return {
        "output_dir": str(folder),
        "per_device_train_batch_size": micro_batch(spec),
        "gradient_accumulation_steps": share(spec) // micro_batch(spec),
        "num_train_epochs": spec.epochs,
        "max_steps": spec.max_steps or -1,
        "learning_rate": spec.peak_learning_rate,
        "lr_scheduler_type": "cosine",
        "warmup_steps": round(spec.warmup * steps),
        "weight_decay": spec.weight_decay,
        "max_grad_norm": spec.max_grad_norm,
        "seed": spec.seed,
        "data_seed": spec.seed,
        "logging_steps": 1,  # a loss that is no number is seen before its weights are saved
        "logging_nan_inf_filter": False,
        "save_strategy": "steps",
        "save_steps": every,
        "save_total_limit": 2,
        "eval_strategy": "steps" if held_out else "no",
        "eval_steps": every,
        "load_best_model_at_end": bool(held_out),
        "metric_for_best_model": "eval_loss",
        "greater_is_better": False,
        "use_cpu": loaded.device.type == "cpu",
        "bf16": uses_bfloat16(spec, loaded.device),
        "activation_checkpointing": recompute,
        "report_to": "none",
        "disable_tqdm": True,
        "dataloader_num_workers": 0,
        "dataloader_pin_memory": loaded.device.type == "cuda",
        "remove_unused_columns": False,
        "max_length": None,
    }


def trainer(
    network: Any,
    loaded: LoadedModel,
    spec: TrainingSpec,
    examples: Sequence[Example],
    held_out: HeldOut | None,
    folder: Path,
    max_length: int,
    callback: Any,
) -> Any:
    """The trainer of the objective, ready to run.

    Args:
        network: With weights to train.
        loaded: Its tokenizer and device.
        spec: How.
        examples: To train on.
        held_out: Held-out rows; None without any.
        folder: Of the checkpoints.
        max_length: Longest row in tokens, and length of packed sequences.
        callback: What watches.
    """
    from datasets import Dataset
    from transformers import PrinterCallback

    given = arguments(spec, len(examples), len(held_out.examples) if held_out else 0, loaded, folder)
    others = held_out.examples if held_out else ()
    kind, config, more = _kinds(spec, given, network, max_length)
    made = kind(
        model=network,
        args=config,
        train_dataset=Dataset.from_list([_columns(one, spec) for one in examples]),
        eval_dataset=Dataset.from_list([_columns(one, spec) for one in others]) if others else None,
        processing_class=copy.deepcopy(loaded.tokenizer),  # it may get a padding token, which is none of the model's
        callbacks=[callback],
        **more,
    )
    made.held_out = held_out
    made.remove_callback(PrinterCallback)
    return made


def _columns(example: Example, spec: TrainingSpec) -> dict[str, Any]:
    if spec.objective == "sft":
        return {"input_ids": example.input_ids, "labels": example.labels}
    pair = {"chosen_ids": example.chosen, "rejected_ids": example.rejected}
    return {"prompt_ids": example.input_ids, **pair} if spec.objective == "dpo" else pair


def _kinds(spec: TrainingSpec, given: dict[str, Any], network: Any, max_length: int) -> tuple[Any, Any, dict[str, Any]]:
    """The trainer's class, its configuration, and what else it takes."""
    from trl import DPOConfig, DPOTrainer, RewardConfig, RewardTrainer, SFTConfig, SFTTrainer

    if spec.objective == "dpo":
        reference = None if hasattr(network, "peft_config") else copy.deepcopy(network).requires_grad_(False).eval()
        return _fed(DPOTrainer), DPOConfig(**given, beta=spec.beta), {"ref_model": reference}
    if spec.objective == "reward":
        return _fed(RewardTrainer), RewardConfig(**given), {}
    if spec.packing:
        given = {**given, "packing": True, "max_length": max_length, "eval_packing": False}
        return _evaluated(SFTTrainer), SFTConfig(**given), {}
    return _evaluated(SFTTrainer), SFTConfig(**given, dataset_kwargs={"skip_prepare_dataset": True}), {}


def _evaluated(kind: Any) -> Any:
    class Evaluated(kind):  # type: ignore[misc]
        """Its evaluation is ours."""

        held_out: HeldOut | None = None
        control: Any

        def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
            """The held-out loss, logged as the trainer's own would be."""
            held_out = self.held_out
            assert held_out is not None
            # whether to stop, and which weights are the best, all processes must decide alike
            found = together.agreed(lambda: held_out.loss(self.model, self.state.global_step))
            self.state.log_history.append({"held_out": asdict(found), "step": found.step})
            metrics = {"eval_loss": found.loss}
            self.log(metrics)
            self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
            return metrics

        def create_model_card(self, *_: Any, **__: Any) -> None:
            """Nothing: the model gets a card of ours."""

    return Evaluated


def _fed(kind: Any) -> Any:
    class Fed(_evaluated(kind)):  # type: ignore[misc]
        """Its rows are tokens already."""

        def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
            return dataset

    return Fed
