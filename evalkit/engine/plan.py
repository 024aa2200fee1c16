"""Which sequences go through the model together.

The sequences are sorted by their tokens, so that those with a common prefix are neighbours: walking the sorted list is a
depth-first walk of their prefix tree. A batch is a run of neighbours; a token that several of them share is computed once
in it. The plan is a pure function of the sequences and the token budget.
"""

from __future__ import annotations

from collections.abc import Sequence as Sequences
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evalkit.engine.sequences import Sequence, TokenArray


@dataclass(frozen=True, slots=True, eq=False)
class Order:
    """Sequences in depth-first order of their prefix tree.

    Attributes:
        indices: int64 [n], positions in the list that was sorted.
        shared: int64 [n], length of the prefix each one shares with the one before it (0 for the first).
    """

    indices: npt.NDArray[np.int64]
    shared: npt.NDArray[np.int64]


def depth_first(sequences: Sequences[Sequence]) -> Order:
    """Sorts sequences by their input tokens; a sequence comes before those it is a prefix of."""
    # Big-endian bytes compare as the token ids do, in C.
    keys = [sequence.inputs.astype(">u4").tobytes() for sequence in sequences]
    indices = sorted(range(len(sequences)), key=keys.__getitem__)
    shared = np.zeros(len(sequences), dtype=np.int64)
    for place in range(1, len(indices)):
        shared[place] = common_prefix(sequences[indices[place - 1]].inputs, sequences[indices[place]].inputs)
    return Order(np.array(indices, dtype=np.int64), shared)


def common_prefix(first: TokenArray, second: TokenArray) -> int:
    """Number of leading tokens that two sequences have in common."""
    length = min(len(first), len(second))
    different = np.flatnonzero(first[:length] != second[:length])
    return int(different[0]) if len(different) else length


def pack(order: Order, lengths: Sequences[int], budget: int) -> list[slice]:
    """Cuts the depth-first order into batches of at most `budget` distinct tokens each.

    The first sequence of a batch brings its whole path; the others only what they do not share with their neighbour. A
    path longer than half the budget does not count against it: it has to be computed anyway, and cutting right behind
    it would compute it again for the next sequence that shares it.

    Returns:
        Slices of `order`.
    """
    batches, start, tokens, room = [], 0, 0, 0
    for place, index in enumerate(order.indices):
        added = lengths[index] - order.shared[place]
        if place > start and tokens + added > room:
            batches.append(slice(start, place))
            start = place
        if place == start:
            path = lengths[index]
            tokens, added, room = 0, path, budget if 2 * path <= budget else path + budget
        tokens += added
    if len(order.indices):
        batches.append(slice(start, len(order.indices)))
    return batches


def pad(order: Order, lengths: Sequences[int], budget: int) -> list[list[list[int]]]:
    """Batches of rows for models that cannot attend to a shared prefix.

    A row is the list of sequences it serves: one, and those that are its prefixes (their positions are computed with
    it). Rows are batched with others of like length, so that rows x longest row stays within the budget.

    Returns:
        Batches of rows of sequence indices; the last index of a row is the longest sequence.
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
    return batches


def unique_tokens(order: Order, lengths: Sequences[int]) -> int:
    """Tokens in the prefix tree: the least that any plan has to compute."""
    return int(sum(lengths[index] - shared for index, shared in zip(order.indices, order.shared, strict=True)))
