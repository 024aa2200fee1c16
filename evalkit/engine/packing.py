"""A batch as one packed row: every token of a small prefix tree once, in depth-first order.

Each token knows its position (depth in the tree) and the interval of sequences that contain it. Token k may be attended
to by token t if k lies on t's path: t was brought in by sequence f(t), and k is contained in f(t).
"""

from __future__ import annotations

from collections.abc import Sequence as Sequences
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evalkit.engine.sequences import Sequence

Indices = npt.NDArray[np.int64]

# Neighbouring branches are attended to together up to this many query tokens: large enough that the number of attention
# calls stays small, small enough that the part of the mask that is False costs little.
GROUP_TOKENS = 192


@dataclass(frozen=True, slots=True, eq=False)
class AttentionGroup:
    """A run of tokens whose attention is computed in one call.

    Attributes:
        start: First token of the run.
        stop: One past its last token.
        path: int64 [keys before the run], the earlier tokens that its first sequence attends to.
        chain: Whether the run is one unbranched path from the root, so that plain causal attention is right.
    """

    start: int
    stop: int
    path: Indices
    chain: bool


@dataclass(frozen=True, slots=True, eq=False)
class PackedBatch:
    """Sequences packed so that every shared token stands once.

    Attributes:
        tokens: int64 [tokens], token ids in depth-first order.
        positions: int64 [tokens], depth of each token in its sequences.
        first: int64 [tokens], the sequence (place in the batch) that brought the token in.
        last: int64 [tokens], the last sequence that contains it.
        groups: Runs of tokens, in order, covering all.
        rows: int64 [distinct scored positions], tokens whose predictions are needed.
        pair_rows: int64 [scored], for each scored target the place in `rows` of the position that predicts it.
        targets: int64 [scored], the tokens to be predicted, sequence after sequence.
        scored: Number of targets of each sequence.
    """

    tokens: Indices
    positions: Indices
    first: Indices
    last: Indices
    groups: tuple[AttentionGroup, ...]
    rows: Indices
    pair_rows: Indices
    targets: Indices
    scored: tuple[int, ...]


def pack_batch(sequences: Sequences[Sequence], shared: Sequences[int]) -> PackedBatch:
    """Packs depth-first neighbours into one row.

    Args:
        sequences: In depth-first order.
        shared: Length of the prefix each shares with the one before it; the first value is ignored.
    """
    paths: list[Indices] = []
    segments: list[tuple[int, int]] = []
    last_chunks: list[Indices] = []
    count = 0
    for place, sequence in enumerate(sequences):
        kept = int(shared[place]) if place else 0
        new = np.arange(count, count + len(sequence.inputs) - kept, dtype=np.int64)
        paths.append(np.concatenate([paths[-1][:kept], new]) if place else new)
        segments.append((count, count + len(new)))
        last_chunks.append(np.full(len(new), place, dtype=np.int64))
        count += len(new)
    first = np.concatenate(last_chunks)
    last = first.copy()
    # later sequences contain only tokens at the head of their path, so the largest place wins
    for place in range(1, len(sequences)):
        last[paths[place][: int(shared[place])]] = place
    tokens = np.empty(count, dtype=np.int64)
    positions = np.empty(count, dtype=np.int64)
    for (start, stop), sequence in zip(segments, sequences, strict=True):
        tokens[start:stop] = sequence.inputs[len(sequence.inputs) - (stop - start) :]
        positions[start:stop] = np.arange(len(sequence.inputs) - (stop - start), len(sequence.inputs))
    scored_at = np.concatenate([path[sequence.first_scored :] for path, sequence in zip(paths, sequences, strict=True)])
    rows, pair_rows = np.unique(scored_at, return_inverse=True)
    return PackedBatch(
        tokens=tokens,
        positions=positions,
        first=first,
        last=last,
        groups=_attention_groups(segments, first, last),
        rows=rows,
        pair_rows=pair_rows.astype(np.int64),
        targets=np.concatenate([sequence.targets for sequence in sequences]).astype(np.int64),
        scored=tuple(len(sequence.targets) for sequence in sequences),
    )


def _attention_groups(segments: list[tuple[int, int]], first: Indices, last: Indices) -> tuple[AttentionGroup, ...]:
    groups = []
    pending = [segment for segment in segments if segment[0] < segment[1]]
    while pending:
        start, stop = pending.pop(0)
        merged = 1
        while pending and pending[0][1] - start <= GROUP_TOKENS:
            stop = pending.pop(0)[1]
            merged += 1
        path = np.flatnonzero(last[:start] >= first[start])
        groups.append(AttentionGroup(start, stop, path, chain=merged == 1 and not len(path)))
    return tuple(groups)
