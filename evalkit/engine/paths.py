"""The two ways to compute a batch, held to the same answers by the self-check and by tests.

`PackedPath` computes each shared token once; it needs a model that attends through transformers' attention interface and
keeps no other state across tokens. `PaddedPath` is right on any causal language model.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence as Sequences
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from evalkit.engine import attention, plan
from evalkit.engine.forward import SplitModel
from evalkit.engine.packing import pack_batch
from evalkit.engine.sequences import Sequence


@dataclass(frozen=True, slots=True, eq=False)
class BatchScores:
    """Answers of one batch.

    Attributes:
        indices: Sequences answered, in the order of the values.
        log_probabilities: float32 [all their targets] (nats), sequence after sequence.
        greedy: bool [all their targets].
        scored: Number of targets of each sequence.
        tokens: Tokens put through the model (padding not counted).
    """

    indices: tuple[int, ...]
    log_probabilities: npt.NDArray[np.float32]
    greedy: npt.NDArray[np.bool_]
    scored: tuple[int, ...]
    tokens: int


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Sequences that go through the model together; `rows` and `shared` say how the path lays them out."""

    indices: tuple[int, ...]
    shared: tuple[int, ...] = ()
    rows: tuple[tuple[int, ...], ...] = ()


class Path(Protocol):
    """A way to compute batches."""

    name: str

    def plan(self, sequences: Sequences[Sequence], order: plan.Order, budget: int) -> list[Batch]:
        """Cuts sequences into batches; a pure function of its arguments."""
        ...

    def compute(self, sequences: Sequences[Sequence], batch: Batch) -> BatchScores:
        """Scores one batch."""
        ...


class PackedPath:
    """Every shared token once: the batch is a prefix tree, laid out as one row.

    Args:
        split: The model.
        upcast: See `SplitModel.log_probabilities`.
    """

    name = "packed"

    def __init__(self, split: SplitModel, *, upcast: bool = True) -> None:
        self.split = split
        self.upcast = upcast
        self.device = split.core.device

    def plan(self, sequences: Sequences[Sequence], order: plan.Order, budget: int) -> list[Batch]:
        """Runs of depth-first neighbours with at most `budget` distinct tokens."""
        lengths = [len(sequence.inputs) for sequence in sequences]
        return [
            Batch(tuple(int(i) for i in order.indices[part]), tuple(int(s) for s in order.shared[part]))
            for part in plan.pack(order, lengths, budget)
        ]

    def compute(self, sequences: Sequences[Sequence], batch: Batch) -> BatchScores:
        """Scores one batch with one forward pass and one copy back."""
        packed = pack_batch([sequences[index] for index in batch.indices], batch.shared)
        tokens = torch.from_numpy(packed.tokens)[None].to(self.device, non_blocking=True)
        positions = torch.from_numpy(packed.positions)[None].to(self.device, non_blocking=True)
        with torch.inference_mode(), attention.packed_attention(self.split.core, packed):
            # an all-ones mask keeps transformers from reading the positions as independent packed texts
            states = self.split.states(input_ids=tokens, position_ids=positions, attention_mask=torch.ones_like(tokens))
            rows = torch.from_numpy(packed.rows).to(self.device)
            values, greedy = self.split.log_probabilities(
                states[0].index_select(0, rows),
                torch.from_numpy(packed.pair_rows).to(self.device),
                torch.from_numpy(packed.targets).to(self.device),
                upcast=self.upcast,
            )
        return BatchScores(batch.indices, *_to_host(values, greedy), packed.scored, len(packed.tokens))


class PaddedPath:
    """One row for each sequence that is not the beginning of another, padded on the right.

    A causal model never sees the padding: no mask is passed, as in lm-eval's `hf` model.

    Args:
        split: The model.
        upcast: See `SplitModel.log_probabilities`.
    """

    name = "padded"

    def __init__(self, split: SplitModel, *, upcast: bool = True) -> None:
        self.split = split
        self.upcast = upcast
        self.device = split.core.device

    def plan(self, sequences: Sequences[Sequence], order: plan.Order, budget: int) -> list[Batch]:
        """Rows of like length, at most `budget` positions a batch."""
        lengths = [len(sequence.inputs) for sequence in sequences]
        return [
            Batch(tuple(index for row in rows for index in row), rows=tuple(tuple(row) for row in rows))
            for rows in plan.pad(order, lengths, budget)
        ]

    def compute(self, sequences: Sequences[Sequence], batch: Batch) -> BatchScores:
        """Scores one batch with one forward pass and one copy back."""
        longest = [sequences[row[-1]].inputs for row in batch.rows]
        width = max(len(inputs) for inputs in longest)
        tokens = np.zeros((len(longest), width), dtype=np.int64)
        for row, inputs in enumerate(longest):
            tokens[row, : len(inputs)] = inputs
        scored_at = np.concatenate(
            [
                row * width + np.arange(sequences[index].first_scored, len(sequences[index].inputs))
                for row, indices in enumerate(batch.rows)
                for index in indices
            ]
        )
        positions, pair_rows = np.unique(scored_at, return_inverse=True)
        targets = np.concatenate([sequences[index].targets for index in batch.indices]).astype(np.int64)
        with torch.inference_mode():
            states = self.split.states(input_ids=torch.from_numpy(tokens).to(self.device, non_blocking=True))
            values, greedy = self.split.log_probabilities(
                states.flatten(0, 1).index_select(0, torch.from_numpy(positions).to(self.device)),
                torch.from_numpy(pair_rows.astype(np.int64)).to(self.device),
                torch.from_numpy(targets).to(self.device),
                upcast=self.upcast,
            )
        scored = tuple(len(sequences[index].targets) for index in batch.indices)
        return BatchScores(batch.indices, *_to_host(values, greedy), scored, sum(len(inputs) for inputs in longest))


def _to_host(values: torch.Tensor, greedy: torch.Tensor) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Both results in one copy: the greedy flag travels as a second row of floats."""
    both = torch.stack([values, greedy.float()]).cpu().numpy()
    return both[0], both[1] > 0


def each_sequence(scores: BatchScores) -> Iterator[tuple[int, npt.NDArray[np.float32], bool]]:
    """(sequence, its targets' log-probabilities, whether all were greedy), one sequence after another."""
    ends = np.cumsum(scores.scored)
    for index, end, count in zip(scores.indices, ends, scores.scored, strict=True):
        part = slice(int(end) - count, int(end))
        yield index, scores.log_probabilities[part], bool(scores.greedy[part].all())
