"""Ways to compute the same log-probabilities that are not the engine's: each prompt alone, and plain padded batches."""

from __future__ import annotations

import inspect
from collections.abc import Sequence as Sequences
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from evalkit.doctor.measure import Values
from evalkit.engine.engine import Engine
from evalkit.engine.paths import padded
from evalkit.engine.sequences import Sequence

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ROWS = 8
"""Rows of a plain padded batch."""

Side = Literal["left", "right"]


def alone(model: PreTrainedModel, sequences: Sequences[Sequence]) -> Values:
    """Log-probabilities (nats) from one forward pass for each prompt: one row, no padding, no cache.

    Answers of one token to the same question have the same input, which is then computed once.
    """
    values: dict[int, np.ndarray] = {}
    for indices in _same_inputs(sequences):
        inputs = torch.from_numpy(sequences[indices[0]].inputs.astype(np.int64))[None].to(model.device)
        kept = max(len(sequences[index].targets) for index in indices)
        logits = _logits(model, kept, input_ids=inputs)[0]
        values.update((index, _log_probabilities(logits, sequences[index])) for index in indices)
    return [values[index] for index in range(len(sequences))]


def padded_rows(
    model: PreTrainedModel, sequences: Sequences[Sequence], side: Side, *, position_ids: bool = True
) -> Values:
    """Log-probabilities (nats) from batches of `ROWS` rows with an attention mask, in the order in which they come.

    Args:
        model: The model.
        sequences: What to compute; like inputs are one row.
        side: Where the padding stands.
        position_ids: Count positions from a row's first token, as `generate` of transformers does; without it a model counts
            as it likes, often from the padding.
    """
    values: dict[int, np.ndarray] = {}
    distinct = _same_inputs(sequences)
    for start in range(0, len(distinct), ROWS):
        rows = distinct[start : start + ROWS]
        inputs = [sequences[indices[0]].inputs for indices in rows]
        tokens, mask = (torch.from_numpy(one) for one in padded(inputs, left=side == "left"))
        given = {"input_ids": tokens, "attention_mask": mask}
        if position_ids and "position_ids" in inspect.signature(model.forward).parameters:
            given["position_ids"] = (mask.cumsum(1) - 1).clamp(min=0)
        width = tokens.shape[1]
        ends = [width if side == "left" else len(one) for one in inputs]
        first = min(
            end - len(sequences[index].targets) for end, indices in zip(ends, rows, strict=True) for index in indices
        )
        logits = _logits(model, width - first, **{name: one.to(model.device) for name, one in given.items()})
        for place, (end, indices) in enumerate(zip(ends, rows, strict=True)):
            own = logits[place, : end - first]
            values.update((index, _log_probabilities(own, sequences[index])) for index in indices)
    return [values[index] for index in range(len(sequences))]


def _same_inputs(sequences: Sequences[Sequence]) -> list[list[int]]:
    """Indices of sequences with the same input, in the order in which they come."""
    same: dict[bytes, list[int]] = {}
    for index, sequence in enumerate(sequences):
        same.setdefault(sequence.inputs.tobytes(), []).append(index)
    return list(same.values())


def by_engine(engine: Engine, sequences: Sequences[Sequence], budget: int | None = None) -> Values:
    """Log-probabilities (nats) from the engine, with its own token budget or another."""
    usual = engine.token_budget
    engine.token_budget = budget or usual
    try:
        scores = {score.sequence: score.log_probabilities for batch in engine.score(sequences) for score in batch}
    finally:
        engine.token_budget = usual
    return [scores[index] for index in range(len(sequences))]


def _logits(model: PreTrainedModel, kept: int, **inputs: Any) -> torch.Tensor:
    """Logits [rows, kept, vocabulary] of the last positions, in the model's own type."""
    options = {"logits_to_keep": kept} if "logits_to_keep" in inspect.signature(model.forward).parameters else {}
    with torch.inference_mode():
        logits: torch.Tensor = model(**inputs, use_cache=False, **options).logits
    return logits[:, -kept:]


def _log_probabilities(logits: torch.Tensor, sequence: Sequence) -> np.ndarray:
    """float32 [targets], from logits whose last rows predict the targets."""
    chosen = logits[len(logits) - len(sequence.targets) :].float()
    targets = torch.from_numpy(sequence.targets.astype(np.int64)).to(logits.device)
    found = chosen.gather(1, targets[:, None])[:, 0] - torch.logsumexp(chosen, dim=-1)
    return np.asarray(found.cpu().numpy(), dtype=np.float32)
