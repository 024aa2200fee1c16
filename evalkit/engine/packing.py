"""A batch as one packed row: every token of a small prefix tree once, in depth-first order.

Each token knows its position (depth in the tree) and the interval of pieces that contain it. Token k may be attended
to by token t if k lies on t's path: t was brought in by piece f(t), and k is contained in f(t). Keys are numbered with
the carried path first: key k < carried is position k of that path, key carried + i is token i of the row.
"""

from __future__ import annotations

from collections.abc import Sequence as Sequences
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evalkit.engine.plan import PackedBatch
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
        keys: int64 [keys], the keys that any of them attends to, in ascending order; the run's own tokens are the last.
        chain: Whether the run is one unbranched path from the root, so that plain causal attention is right.
    """

    start: int
    stop: int
    keys: Indices
    chain: bool


@dataclass(frozen=True, slots=True, eq=False)
class PackedRow:
    """Pieces packed so that every shared token stands once.

    Attributes:
        tokens: int64 [tokens], token ids in depth-first order.
        positions: int64 [tokens], depth of each token in its sequences.
        first: int64 [tokens], the piece that brought the token in.
        last: int64 [tokens], the last piece that contains it.
        carried: Keys of the carried path, which all tokens attend to.
        groups: Runs of tokens, in order, covering all.
        rows: int64 [distinct scored positions], ascending: tokens whose predictions are needed.
        pair_rows: int64 [scored], for each scored target the place in `rows` of the position that predicts it.
        targets: int64 [scored], the tokens to be predicted, piece after piece.
        scored: int64 [pieces], number of targets of each.
    """

    tokens: Indices
    positions: Indices
    first: Indices
    last: Indices
    carried: int
    groups: tuple[AttentionGroup, ...]
    rows: Indices
    pair_rows: Indices
    targets: Indices
    scored: Indices

    def keys(self) -> tuple[Indices, Indices, Indices]:
        """(positions, first, last) of all keys, the carried path first: every piece contains it."""
        path = np.arange(self.carried, dtype=np.int64)
        return (
            np.concatenate([path, self.positions]),
            np.concatenate([np.zeros_like(path), self.first]),
            np.concatenate([np.full_like(path, len(self.scored) - 1), self.last]),
        )


def pack_row(sequences: Sequences[Sequence], batch: PackedBatch, tile: int | None = None) -> PackedRow:
    """Packs a batch into one row.

    Args:
        sequences: All sequences; the batch says which.
        batch: What to pack.
        tile: Attend in runs of at most so many tokens of one branch, cut at multiples of it, each run to its own path
            only, so that how a token is computed does not depend on its neighbours. None for runs of several branches.
    """
    paths: list[Indices] = []
    segments: list[tuple[int, int]] = []
    count = batch.carried
    for piece in batch.pieces:
        new = np.arange(count, count + piece.stop - piece.start, dtype=np.int64)
        before = paths[-1] if paths else np.arange(batch.carried, dtype=np.int64)
        paths.append(np.concatenate([before[: piece.start], new]))
        segments.append((count, count + len(new)))
        count += len(new)
    sizes = [stop - start for start, stop in segments]
    first = np.repeat(np.arange(len(segments), dtype=np.int64), sizes)
    last = first.copy()
    # later pieces contain only tokens at the head of their path, so the largest place wins
    for place, (piece, path) in enumerate(zip(batch.pieces, paths, strict=True)):
        last[path[batch.carried : piece.start] - batch.carried] = place
    chosen = [sequences[piece.sequence] for piece in batch.pieces]
    new_tokens = [one.inputs[piece.start : piece.stop] for one, piece in zip(chosen, batch.pieces, strict=True)]
    positions = [np.arange(piece.start, piece.stop, dtype=np.int64) for piece in batch.pieces]
    scored_at = [path[piece.scored :] for path, piece in zip(paths, batch.pieces, strict=True)]
    targets = [
        one.targets[piece.scored - one.first_scored : piece.stop - one.first_scored]
        if piece.scored < piece.stop
        else one.targets[:0]
        for one, piece in zip(chosen, batch.pieces, strict=True)
    ]
    rows, pair_rows = np.unique(np.concatenate(scored_at) - batch.carried, return_inverse=True)
    return PackedRow(
        tokens=np.concatenate(new_tokens).astype(np.int64),
        positions=np.concatenate(positions),
        first=first,
        last=last,
        carried=batch.carried,
        groups=tuple(_groups(segments, paths, batch.carried, tile)),
        rows=rows,
        pair_rows=pair_rows.astype(np.int64),
        targets=np.concatenate(targets).astype(np.int64),
        scored=np.array([len(part) for part in targets], dtype=np.int64),
    )


def _groups(
    segments: Sequences[tuple[int, int]], paths: Sequences[Indices], carried: int, tile: int | None
) -> list[AttentionGroup]:
    """Runs of tokens; `segments` and `paths` number them as keys."""
    groups: list[AttentionGroup] = []
    pending = [(start, stop, path) for (start, stop), path in zip(segments, paths, strict=True) if start < stop]
    place = 0
    while place < len(pending):
        start, stop, path = pending[place]
        place += 1
        if tile is not None:
            position = len(path) - (stop - start)
            while start < stop:
                # to the next multiple of the tile, so that the number of keys follows from a token's position alone
                end = min(stop, start + tile - position % tile)
                position += end - start
                groups.append(AttentionGroup(start - carried, end - carried, path[:position], chain=False))
                start = end
            continue
        chain = len(path) == stop - start
        while place < len(pending) and pending[place][1] - start <= GROUP_TOKENS:
            stop, chain = pending[place][1], False
            place += 1
        keys = np.concatenate([path, np.arange(int(path[-1]) + 1, stop, dtype=np.int64)])
        groups.append(AttentionGroup(start - carried, stop - carried, keys, chain))
    return groups
