"""What scoring will take, from the plan alone: tokens, batches and the peak of memory."""

from __future__ import annotations

from collections.abc import Sequence as Sequences
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evalkit.engine import memory
from evalkit.engine.attention import EXACT_KEYS
from evalkit.engine.paths import EXACT_QUERIES
from evalkit.engine.plan import Batch, EncoderDecoderBatch, PackedBatch, Piece
from evalkit.engine.planner import weight

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
    footprint = memory.Footprint.of(split)
    worst = max((_bytes(footprint, sequences, batch, fixed_size) for batch in batches), default=0)
    return Forecast(
        tokens_asked=sum(sequence.tokens for sequence in sequences),
        tokens_computed=sum(weight(sequences, batch) for batch in batches),
        batches=len(batches),
        peak_bytes=memory.used_memory(split.core.device) + worst,
    )


def _mask(piece: Piece, fixed_size: int) -> int:
    """Places in a piece's mask; those of whole tiles and whole blocks of keys where sizes are fixed."""
    new = piece.stop - piece.start
    if not fixed_size:
        return new * piece.stop
    return -(-new // EXACT_QUERIES) * EXACT_QUERIES * -(-piece.stop // EXACT_KEYS) * EXACT_KEYS


def _bytes(footprint: memory.Footprint, sequences: Sequences[Sequence], batch: Batch, fixed_size: int) -> int:
    """What a batch needs on top of what is always there: the layers' states or the head's logits, whichever is more."""
    if isinstance(batch, PackedBatch):
        positions = max(batch.tokens, fixed_size)
        masks = sum(_mask(piece, fixed_size) for piece in batch.pieces) * footprint.element
        # a path to be kept is there twice for a moment
        carried = (batch.carried + 2 * batch.keeps) * footprint.carried
    elif isinstance(batch, EncoderDecoderBatch):
        widest = max(sequences[index].context_tokens for index in batch.encoded)
        rows = [len(one.rows) * max(len(sequences[row[-1]].inputs) for row in one.rows) for one in batch.passes]
        attended = [size + len(one.rows) * widest for size, one in zip(rows, batch.passes, strict=True)]
        positions, masks = max(len(batch.encoded) * widest, *attended), 0
        carried = len(batch.encoded) * widest * footprint.state
    else:
        positions = len(batch.rows) * max(len(sequences[row[-1]].inputs) for row in batch.rows)
        masks = carried = 0
    scored = sum(len(sequences[index].targets) for index in batch.indices)
    logits = min(footprint.logits, scored * footprint.logits // footprint.logit_rows)
    return max(positions * footprint.token + masks, positions * footprint.state + logits) + carried
