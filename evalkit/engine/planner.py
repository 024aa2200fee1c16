"""What decides which tokens go through the model together, without the model: a plan can be made where none is loaded."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence as Sequences
from dataclasses import dataclass, replace
from typing import Protocol, cast

from evalkit.engine import plan
from evalkit.engine.plan import Batch, EncoderDecoderBatch, Order, PackedBatch, PaddedBatch
from evalkit.engine.sequences import EncoderDecoderSequence, Sequence


class PathPlanner(Protocol):
    """How a path cuts sequences into batches; a pure function of what it is given and of its own fields."""

    def plan(self, sequences: Sequences[Sequence], order: Order, budget: int) -> Sequences[Batch]:
        """Batches of about `budget` tokens."""
        ...


@dataclass(frozen=True, slots=True)
class PackedPlanner:
    """Parts of the prefix tree.

    Attributes:
        carry_limit: Longest path (tokens) whose keys and values are carried from batch to batch.
        fixed_size: Tokens of every batch; None where batches are as large as they happen to be.
    """

    carry_limit: int = 2**31
    fixed_size: int | None = None

    def plan(self, sequences: Sequences[Sequence], order: Order, budget: int) -> list[PackedBatch]:
        """The prefix tree cut into batches of about `budget` tokens."""
        if self.fixed_size:
            return plan.pack(sequences, order, plan.BatchSizes.fixed(self.fixed_size))
        return plan.pack(sequences, order, plan.BatchSizes.of(budget, self.carry_limit))


@dataclass(frozen=True, slots=True)
class PaddedPlanner:
    """Rows of like length.

    Attributes:
        alone: One sequence at a time.
    """

    alone: bool = False

    def plan(self, sequences: Sequences[Sequence], order: Order, budget: int) -> list[PaddedBatch]:
        """At most `budget` positions a batch."""
        if self.alone:
            return plan.alone(order)
        return plan.pad(order, [len(sequence.inputs) for sequence in sequences], budget)


@dataclass(frozen=True, slots=True)
class PairedPlanner:
    """Encoder inputs of like length, and all that the decoder computes after them.

    Attributes:
        alone: One sequence at a time.
    """

    alone: bool = False

    def plan(self, sequences: Sequences[Sequence], order: Order, budget: int) -> list[EncoderDecoderBatch]:
        """At most `budget` positions at once."""
        own = cast("Sequences[EncoderDecoderSequence]", sequences)
        indices = order.indices.tolist()
        if self.alone:
            return [batch for index in indices for batch in plan.pair(own, [index], 0)]
        return plan.pair(own, indices, budget)


@dataclass(frozen=True, slots=True)
class Planner:
    """A plan for all sequences of a run.

    Attributes:
        path: How its path cuts them.
        position_limit: Length (tokens) past which a sequence changes how the model embeds all positions, and so comes alone.
    """

    path: PathPlanner
    position_limit: int | None = None

    def batches(self, sequences: Sequences[Sequence], budget: int) -> Sequences[Batch]:
        """All batches, in the order in which they are to be computed.

        Args:
            sequences: What is scored.
            budget: Tokens that a batch may hold.
        """
        limit = self.position_limit
        if limit is None or all(len(sequence.inputs) <= limit for sequence in sequences):
            return self.path.plan(sequences, plan.depth_first(sequences), budget)
        short = [index for index, sequence in enumerate(sequences) if len(sequence.inputs) <= limit]
        long = [index for index, sequence in enumerate(sequences) if len(sequence.inputs) > limit]
        return [
            *self.path.plan(sequences, plan.depth_first(sequences, short), budget),
            *plan.alone(plan.depth_first(sequences, long)),
        ]


def weight(sequences: Sequences[Sequence], batch: Batch) -> int:
    """Tokens that a batch puts through the model, padding not counted."""
    if isinstance(batch, PackedBatch):
        return batch.tokens
    if isinstance(batch, EncoderDecoderBatch):
        rows = [row for one in batch.passes for row in one.rows]
        encoded = sum(sequences[index].context_tokens for index in batch.encoded)
        return encoded + sum(len(sequences[row[-1]].inputs) for row in rows)
    return sum(len(sequences[row[-1]].inputs) for row in batch.rows)


def used(batch: Batch) -> Iterator[int]:
    """The sequences that a batch reads, some of them more than once."""
    if isinstance(batch, PackedBatch):
        yield from (piece.sequence for piece in batch.pieces)
    elif isinstance(batch, EncoderDecoderBatch):
        yield from batch.encoded
        yield from batch.indices
    else:
        yield from batch.indices


def renumbered(batch: Batch, places: dict[int, int]) -> Batch:
    """The same batch of sequences that stand elsewhere.

    Args:
        batch: The batch.
        places: Sequence -> where it stands now.
    """
    if isinstance(batch, PackedBatch):
        return replace(batch, pieces=tuple(piece._replace(sequence=places[piece.sequence]) for piece in batch.pieces))
    if isinstance(batch, EncoderDecoderBatch):
        passes = tuple(one._replace(rows=_rows(one.rows, places)) for one in batch.passes)
        return EncoderDecoderBatch(tuple(places[index] for index in batch.encoded), passes)
    return PaddedBatch(_rows(batch.rows, places))


def _rows(rows: Sequences[Sequences[int]], places: dict[int, int]) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(places[index] for index in row) for row in rows)
