"""The ways to compute a batch, held to the same answers by the self-check and by tests.

`PackedPath` computes each shared token once; it needs a model that attends through transformers' attention interface and
keeps no other state across tokens. `PaddedPath` is right on any causal language model.
"""

from __future__ import annotations

from collections.abc import Sequence as Sequences
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch

from evalkit.engine import attention
from evalkit.engine.forward import ScoredPairs, SplitModel
from evalkit.engine.packing import pack_row
from evalkit.engine.plan import Batch, PackedBatch, PaddedBatch
from evalkit.engine.planner import PackedPlanner, PaddedPlanner, PathPlanner
from evalkit.engine.sequences import Sequence, TokenArray
from evalkit.engine.transfer import to_device

# With fixed sizes: queries in one attention call, and rows that go through the head at once.
EXACT_QUERIES = 64
EXACT_HEAD_ROWS = 128


class Part(NamedTuple):
    """What a batch says about one sequence: all its targets, or those that lie in this batch.

    Attributes:
        sequence: Which one.
        offset: Its first target that is scored here.
        log_probabilities: float32 [targets scored here] (nats).
        greedy: bool [targets scored here], whether each is the most probable token.
    """

    sequence: int
    offset: int
    log_probabilities: npt.NDArray[np.float32]
    greedy: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Launched:
    """A batch whose results may still be under way on the device.

    Attributes:
        indices: The sequence of each part.
        offsets: First target of each part.
        counts: Targets of each part.
        values: float32 [2, targets], on the device: log-probabilities, and 1.0 where greedy; part after part.
        tokens: Tokens put through the model (padding not counted).
    """

    indices: Sequences[int]
    offsets: Sequences[int]
    counts: npt.NDArray[np.int64]
    values: torch.Tensor
    tokens: int

    def parts(self) -> list[Part]:
        """Waits for the device and copies everything back at once."""
        values = self.values.cpu().numpy()
        ends = np.cumsum(self.counts)
        return [
            Part(index, offset, values[0, end - count : end], values[1, end - count : end] > 0)
            for index, offset, count, end in zip(self.indices, self.offsets, self.counts, ends, strict=True)
            if count
        ]


class Path(Protocol):
    """A way to compute batches."""

    name: str

    @property
    def planner(self) -> PathPlanner:
        """How it cuts sequences into batches."""
        ...

    def launch(self, sequences: Sequences[Sequence], batch: Batch) -> Launched:
        """Starts one batch. Batches that carry something need those before them to be launched first."""
        ...


class PackedPath:
    """Every shared token once: the batch is a part of the prefix tree, laid out as one row.

    Args:
        split: The model.
        upcast: See `SplitModel.log_probabilities`.
        carry_limit: Longest path (tokens) whose keys and values are carried from batch to batch.
        fixed_size: Give every batch exactly so many tokens, and attend and score in blocks of fixed sizes, so that a
            score does not depend on what else is computed. None for batches as large as they happen to be.
    """

    name = "packed"

    def __init__(
        self, split: SplitModel, *, upcast: bool = True, carry_limit: int = 2**31, fixed_size: int | None = None
    ) -> None:
        self.split = split
        self.upcast = upcast
        self.planner = PackedPlanner(carry_limit, fixed_size)
        self.fixed_size = fixed_size
        self.device = split.core.device
        self.carry = attention.Carry()

    def launch(self, sequences: Sequences[Sequence], batch: Batch) -> Launched:
        """Scores one batch with one forward pass."""
        if not isinstance(batch, PackedBatch):
            raise TypeError("the packed path computes packed batches")
        row = pack_row(sequences, batch, EXACT_QUERIES if self.fixed_size else None)
        tokens, positions = self._to_device(row.tokens), self._to_device(row.positions)
        with (
            torch.inference_mode(),
            attention.packed_attention(
                self.split.core,
                row,
                self.carry,
                keep=bool(batch.keeps),
                exact_rows=EXACT_QUERIES if self.fixed_size else None,
            ),
        ):
            # an all-ones mask keeps transformers from reading the positions as independent packed texts
            states = self.split.states(input_ids=tokens, position_ids=positions, attention_mask=torch.ones_like(tokens))
            values = self.split.log_probabilities(
                states[0],
                ScoredPairs.of(row.rows, row.pair_rows, row.targets),
                upcast=self.upcast,
                block=EXACT_HEAD_ROWS if self.fixed_size else None,
            )
        indices = [piece.sequence for piece in batch.pieces]
        offsets = [piece.scored - sequences[piece.sequence].first_scored for piece in batch.pieces]
        return Launched(indices, offsets, row.scored, values, len(row.tokens))

    def _to_device(self, values: npt.NDArray[np.int64]) -> torch.Tensor:
        if self.fixed_size:
            values = np.pad(values, (0, self.fixed_size - len(values)))
        return to_device(values, self.device)[None]


class PaddedPath:
    """One row for each sequence that is not the beginning of another, padded on the right.

    A causal model never sees the padding: no mask is passed, as in lm-eval's `hf` model.

    Args:
        split: The model.
        upcast: See `SplitModel.log_probabilities`.
        alone: One sequence at a time, so that a score does not depend on what else is computed.
    """

    name = "padded"

    def __init__(self, split: SplitModel, *, upcast: bool = True, alone: bool = False) -> None:
        self.split = split
        self.upcast = upcast
        self.planner = PaddedPlanner(alone)
        self.device = split.core.device

    def launch(self, sequences: Sequences[Sequence], batch: Batch) -> Launched:
        """Scores one batch with one forward pass."""
        if not isinstance(batch, PaddedBatch):
            raise TypeError("the padded path computes padded batches")
        tokens, _ = padded([sequences[row[-1]].inputs for row in batch.rows])
        with torch.inference_mode():
            states = self.split.states(input_ids=to_device(tokens, self.device))
            values = self.split.log_probabilities(
                states.flatten(0, 1), row_pairs(sequences, batch.rows, tokens.shape[1]), upcast=self.upcast
            )
        counts = np.array([len(sequences[index].targets) for index in batch.indices], dtype=np.int64)
        return Launched(
            batch.indices, [0] * len(counts), counts, values, sum(len(sequences[row[-1]].inputs) for row in batch.rows)
        )


def padded(rows: Sequences[TokenArray], *, left: bool = False) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Tokens side by side: int64 [rows, longest] tokens, 0 where a row has none, and a mask that is 1 where it has some.

    Args:
        rows: The rows.
        left: Put the padding on the left.
    """
    width = max(len(row) for row in rows)
    tokens, mask = np.zeros((2, len(rows), width), dtype=np.int64)
    for place, row in enumerate(rows):
        chosen = slice(width - len(row), width) if left else slice(0, len(row))
        tokens[place, chosen] = row
        mask[place, chosen] = 1
    return tokens, mask


def row_pairs(sequences: Sequences[Sequence], rows: Sequences[Sequences[int]], width: int) -> ScoredPairs:
    """Which positions of rows padded on the right to `width`, laid end to end, predict the targets of their sequences."""
    scored_at = np.concatenate(
        [
            place * width + np.arange(sequences[index].first_scored, len(sequences[index].inputs))
            for place, indices in enumerate(rows)
            for index in indices
        ]
    )
    positions, pair_rows = np.unique(scored_at, return_inverse=True)
    targets = np.concatenate([sequences[index].targets for indices in rows for index in indices]).astype(np.int64)
    return ScoredPairs.of(positions, pair_rows.astype(np.int64), targets)
