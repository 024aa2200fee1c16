"""What scoring will take, from the plan alone: tokens, batches and the peak of memory."""

from __future__ import annotations

from collections.abc import Sequence as Sequences
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evalkit.engine import memory
from evalkit.engine.plan import Batch, PackedBatch

if TYPE_CHECKING:
    from evalkit.engine.forward import SplitModel
    from evalkit.engine.sequences import Sequence


@dataclass(frozen=True, slots=True)
class Forecast:
    """What scoring will take.

    Attributes:
        tokens_asked: Inputs of all sequences.
        tokens_computed: Tokens that will be put through the model.
        batches: Number of forward passes.
        peak_bytes: Memory in use on the device at the worst moment, weights and all that is there now included.
    """

    tokens_asked: int
    tokens_computed: int
    batches: int
    peak_bytes: int


def forecast(split: SplitModel, sequences: Sequences[Sequence], batches: Sequences[Batch], fixed_size: int) -> Forecast:
    """Adds up a plan.

    Args:
        split: The model, loaded.
        sequences: What is scored.
        batches: The plan for it.
        fixed_size: Tokens that every batch is padded to, 0 where it is not.
    """
    sizes = memory.Sizes.of(split)
    worst = max((_bytes(sizes, sequences, batch, fixed_size) for batch in batches), default=0)
    return Forecast(
        tokens_asked=sum(len(sequence.inputs) for sequence in sequences),
        tokens_computed=sum(_tokens(sequences, batch) for batch in batches),
        batches=len(batches),
        peak_bytes=memory.used_memory(split.core.device) + worst,
    )


def _tokens(sequences: Sequences[Sequence], batch: Batch) -> int:
    if isinstance(batch, PackedBatch):
        return batch.tokens
    return sum(len(sequences[row[-1]].inputs) for row in batch.rows)


def _bytes(sizes: memory.Sizes, sequences: Sequences[Sequence], batch: Batch, fixed_size: int) -> int:
    """What a batch needs on top of what is always there: the layers' states or the head's logits, whichever is more."""
    if isinstance(batch, PackedBatch):
        positions = max(batch.tokens, fixed_size)
        masks = sum((piece.stop - piece.start) * piece.stop for piece in batch.pieces) * sizes.element
        # one layer's keys and values are joined with the carried ones; a kept path is there twice for a moment
        carried = batch.carried * sizes.carried + batch.keeps * sizes.carried
    else:
        positions = len(batch.rows) * max(len(sequences[row[-1]].inputs) for row in batch.rows)
        masks = carried = 0
    scored = sum(len(sequences[index].targets) for index in batch.indices)
    logits = min(sizes.logits, scored * sizes.logits // sizes.logit_rows)
    return max(positions * sizes.token + masks, positions * sizes.state + logits) + carried
