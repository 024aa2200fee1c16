"""Which tokens go through the model together.

The sequences are sorted by their tokens, so that those with a common prefix are neighbours: walking the sorted list is a
depth-first walk of their prefix tree. `pack` cuts the tree into batches of about a token budget each. A subtree that does
not fit one batch is entered in two steps: its common prefix (the trunk) is computed once and its keys and values are
carried along while the subtree's batches are computed. The carried states are those of one path from the root, so that
memory is bounded by the longest prompt. The plan is a pure function of the sequences and the budget.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence as Sequences
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from evalkit.engine.sequences import Sequence, TokenArray

# A trunk is worth its own pass when it saves this share of a batch, and when it is longer than a few tokens that
# everything shares anyway (a BOS, "Question:").
WORTHWHILE = 1 / 16
SHORTEST_TRUNK = 16


@dataclass(frozen=True, slots=True, eq=False)
class Order:
    """Sequences in depth-first order of their prefix tree.

    Attributes:
        indices: int64 [n], positions in the list that was sorted.
        shared: int64 [n], length of the prefix each one shares with the one before it (0 for the first).
    """

    indices: npt.NDArray[np.int64]
    shared: npt.NDArray[np.int64]


class Piece(NamedTuple):
    """The part of a sequence that a batch computes.

    Attributes:
        sequence: Which one.
        start: First input position that is new: those before are carried, or stand in the batch already.
        stop: One past the last position that belongs to this batch.
        scored: First position whose prediction is scored in this batch; `stop` when none is.
    """

    sequence: int
    start: int
    stop: int
    scored: int


@dataclass(frozen=True, slots=True, eq=False)
class PackedBatch:
    """Depth-first neighbours that go through the model as one row.

    Attributes:
        pieces: In depth-first order; the first has a path of `carried` positions before it that are not computed here.
        carried: Positions whose keys and values come from earlier batches.
        keeps: Positions whose keys and values stay for later batches, 0 for none; only a single path is ever kept.
    """

    pieces: tuple[Piece, ...]
    carried: int = 0
    keeps: int = 0

    @property
    def indices(self) -> tuple[int, ...]:
        """The sequences with something scored here."""
        return tuple(piece.sequence for piece in self.pieces if piece.scored < piece.stop)

    @property
    def tokens(self) -> int:
        """Tokens put through the model."""
        return sum(piece.stop - piece.start for piece in self.pieces)


@dataclass(frozen=True, slots=True, eq=False)
class PaddedBatch:
    """Rows for models that cannot attend to a shared prefix.

    Attributes:
        rows: A row is the list of sequences it serves: one, last, and those that are its prefixes.
    """

    rows: tuple[tuple[int, ...], ...]
    carried = 0
    keeps = 0

    @property
    def indices(self) -> tuple[int, ...]:
        """The sequences it scores."""
        return tuple(index for row in self.rows for index in row)


Batch = PackedBatch | PaddedBatch


class BatchSizes(NamedTuple):
    """How large batches may be.

    Attributes:
        budget: Tokens computed in a batch.
        longest: Tokens of one unshared sequence that are computed in one batch all the same, because cutting it would
            gain nothing. Not less than `budget`.
        carry: Longest path whose keys and values are carried from batch to batch.
    """

    budget: int
    longest: int
    carry: int

    @classmethod
    def of(cls, budget: int, carry: int) -> BatchSizes:
        """BatchSizes where batches may vary: one long sequence may fill four budgets."""
        return cls(budget, 4 * budget, carry)

    @classmethod
    def fixed(cls, budget: int) -> BatchSizes:
        """BatchSizes where no batch may be larger than the budget."""
        return cls(budget, budget, 2**31)


def depth_first(sequences: Sequences[Sequence], indices: Sequences[int] | None = None) -> Order:
    """Sorts sequences (all, or those at `indices`) by input tokens; one comes before those it is a prefix of."""
    return order_of([sequence.inputs for sequence in sequences], indices)


def order_of(inputs: Sequences[TokenArray], indices: Sequences[int] | None = None) -> Order:
    """As `depth_first`, of bare token arrays."""
    chosen = range(len(inputs)) if indices is None else indices
    # Big-endian bytes compare as the token ids do, in C; sequences that share an array share its key.
    keys: dict[int, bytes] = {}
    for index in chosen:
        if id(inputs[index]) not in keys:
            keys[id(inputs[index])] = inputs[index].astype(">u4").tobytes()
    ordered = sorted(chosen, key=lambda index: keys[id(inputs[index])])
    shared = np.zeros(len(ordered), dtype=np.int64)
    for place in range(1, len(ordered)):
        shared[place] = common_prefix(inputs[ordered[place - 1]], inputs[ordered[place]])
    return Order(np.array(ordered, dtype=np.int64), shared)


def common_prefix(first: TokenArray, second: TokenArray) -> int:
    """Number of leading tokens that two sequences have in common."""
    if first is second:
        return len(first)
    length = min(len(first), len(second))
    different = np.flatnonzero(first[:length] != second[:length])
    return int(different[0]) if len(different) else length


def pack(sequences: Sequences[Sequence], order: Order, sizes: BatchSizes) -> list[PackedBatch]:
    """Cuts the prefix tree into batches, each shared token in as few of them as is worth it.

    Batches are in depth-first order: what a batch carries was kept by the last earlier batch that keeps that much.
    """
    return list(_Packer(sequences, order, sizes).batches())


class _Subtree(NamedTuple):
    """Places start .. stop of the order, which have at least `depth` positions in common; those are carried."""

    start: int
    stop: int
    depth: int


class _Packer:
    def __init__(self, sequences: Sequences[Sequence], order: Order, sizes: BatchSizes) -> None:
        self.indices = order.indices
        self.shared = order.shared
        self.lengths = np.array([len(sequences[index].inputs) for index in order.indices], dtype=np.int64)
        self.first_scored = np.array([sequences[index].first_scored for index in order.indices], dtype=np.int64)
        self.sizes = sizes
        self.new = np.concatenate([[0], np.cumsum(self.lengths - self.shared)])
        self.pending: list[_Subtree] = []
        self.pending_tokens = 0

    def batches(self) -> Iterator[PackedBatch]:
        """Walks the tree with a stack of its own: prompts that grow by a token each make it as deep as they are many."""
        stack = [_Subtree(0, len(self.indices), 0)] if len(self.indices) else []
        while stack:
            subtree = stack.pop()
            tokens = self._tokens(subtree)
            common = self._common(subtree)
            if tokens <= self._room(subtree, common):
                yield from self._add(subtree, tokens)
                continue
            trunk = self._trunk(subtree, tokens, common)
            if trunk:
                yield from self._flush()
                yield self._trunk_batch(subtree, trunk)
                stack.append(_Subtree(self._first_longer(subtree, trunk), subtree.stop, trunk))
            elif subtree.stop - subtree.start == 1:
                yield from self._add(subtree, tokens)
            else:
                stack.extend(reversed(self._children(subtree, common)))
        yield from self._flush()

    def _tokens(self, subtree: _Subtree) -> int:
        """Distinct positions below the subtree's depth."""
        own = self.new[subtree.stop] - self.new[subtree.start]
        return int(own + self.shared[subtree.start] - subtree.depth)

    def _common(self, subtree: _Subtree) -> int:
        """Length of the prefix that all have in common."""
        between = self.shared[subtree.start + 1 : subtree.stop]
        return int(between.min()) if len(between) else int(self.lengths[subtree.start])

    def _room(self, subtree: _Subtree, common: int) -> int:
        """Tokens a batch may have: more than the budget where a long path with few branches fills most of it."""
        budget, longest, _ = self.sizes
        path = common - subtree.depth
        return max(budget, min(longest, path + budget // 4))

    def _trunk(self, subtree: _Subtree, tokens: int, common: int) -> int:
        """Where the trunk ends that is to be computed by itself, 0 when there should be none."""
        budget, longest, carry = self.sizes
        end = min(common, subtree.depth + budget)
        gain = (end - subtree.depth) * (-(-tokens // budget) - 1)
        single = subtree.stop - subtree.start == 1
        if end > carry or end - subtree.depth < min(SHORTEST_TRUNK, budget) or gain < budget * WORTHWHILE:
            return 0
        return 0 if single and tokens <= longest else end

    def _trunk_batch(self, subtree: _Subtree, end: int) -> PackedBatch:
        scored = np.maximum(self.first_scored[subtree.start : subtree.stop], subtree.depth)
        places = subtree.start + np.flatnonzero(scored < end)
        first = Piece(int(self.indices[subtree.start]), subtree.depth, end, end)
        others = (
            Piece(int(self.indices[place]), end, end, int(max(self.first_scored[place], subtree.depth)))
            for place in places
        )
        return PackedBatch((first, *others), subtree.depth, end)

    def _first_longer(self, subtree: _Subtree, end: int) -> int:
        """The first place whose sequence goes on behind the trunk; those that end there are done (they come first)."""
        longer = np.flatnonzero(self.lengths[subtree.start : subtree.stop] > end)
        return subtree.start + int(longer[0]) if len(longer) else subtree.stop

    def _children(self, subtree: _Subtree, common: int) -> list[_Subtree]:
        cuts = subtree.start + 1 + np.flatnonzero(self.shared[subtree.start + 1 : subtree.stop] == common)
        bounds = [subtree.start, *cuts.tolist(), subtree.stop]
        return [_Subtree(start, stop, subtree.depth) for start, stop in pairwise(bounds)]

    def _add(self, subtree: _Subtree, tokens: int) -> Iterator[PackedBatch]:
        """Puts a subtree that is computed whole into the pending batch, or begins another with it."""
        if subtree.start == subtree.stop:
            return
        if self.pending:
            last = self.pending[-1]
            adjacent = last.depth == subtree.depth and last.stop == subtree.start
            added = tokens - (int(self.shared[subtree.start]) - subtree.depth)
            if adjacent and self.pending_tokens + added <= self.sizes.budget:
                self.pending.append(subtree)
                self.pending_tokens += added
                return
            yield from self._flush()
        self.pending, self.pending_tokens = [subtree], tokens

    def _flush(self) -> Iterator[PackedBatch]:
        if not self.pending:
            return
        start, stop, depth = self.pending[0].start, self.pending[-1].stop, self.pending[0].depth
        pieces = []
        for place in range(start, stop):
            length = int(self.lengths[place])
            pieces.append(
                Piece(
                    int(self.indices[place]),
                    depth if place == start else max(depth, int(self.shared[place])),
                    length,
                    int(max(self.first_scored[place], depth)),
                )
            )
        self.pending = []
        yield PackedBatch(tuple(pieces), depth)


def pad(order: Order, lengths: Sequences[int], budget: int) -> list[PaddedBatch]:
    """Batches of rows of like length, so that rows x longest row stays within the budget (or a row is alone).

    Sequences that are prefixes of another are served by its row.
    """
    rows: list[list[int]] = []
    for place, index in enumerate(order.indices):
        previous = rows[-1][-1] if rows else None
        if previous is not None and order.shared[place] == lengths[previous]:
            rows[-1].append(int(index))
        else:
            rows.append([int(index)])
    rows.sort(key=lambda row: -lengths[row[-1]])
    batches: list[list[list[int]]] = []
    for row in rows:
        if batches and (len(batches[-1]) + 1) * lengths[batches[-1][0][-1]] <= budget:
            batches[-1].append(row)
        else:
            batches.append([row])
    return [PaddedBatch(tuple(tuple(row) for row in batch)) for batch in batches]


def alone(order: Order) -> list[PaddedBatch]:
    """Every sequence by itself, so that its score depends on nothing else."""
    return [PaddedBatch(((int(index),),)) for index in order.indices]


def needed(batches: Sequences[Batch], done: set[int]) -> list[bool]:
    """Which batches have to be computed when some sequences are done: those with others, and what these carry."""
    result = [False] * len(batches)
    carried: set[int] = set()
    for place in reversed(range(len(batches))):
        batch = batches[place]
        provides = batch.keeps in carried
        if provides:
            carried.discard(batch.keeps)
        result[place] = provides or not done.issuperset(batch.indices)
        if result[place] and batch.carried:
            carried.add(batch.carried)
    return result
