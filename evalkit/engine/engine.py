"""The scoring engine: token sequences in, log-probabilities out."""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections.abc import Collection, Iterator
from collections.abc import Sequence as Sequences
from typing import TYPE_CHECKING

import numpy as np
import torch

from evalkit.engine import plan
from evalkit.engine.forward import SplitModel
from evalkit.engine.paths import Batch, BatchScores, Path, each_sequence
from evalkit.engine.self_check import SelfCheck, choose_path
from evalkit.engine.sequences import Sequence
from evalkit.errors import EvaluationError, NonFiniteError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

logger = logging.getLogger(__name__)

# Fixed sizes, so that runs on like machines make like plans.
BUDGETS = (256, 512, 1024, 2048, 4096, 8192, 16384, 32768)
CPU_BUDGET = 2048


class Engine:
    """Scores token sequences with one model on one device.

    Args:
        model: A transformers causal language model.
        max_length: Inputs the model takes at once.
        token_budget: Tokens a batch may hold; None chooses one of `BUDGETS` for the device.
        share_prefixes: False computes every sequence whole (for comparison).
        upcast: See `SplitModel.log_probabilities`.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        max_length: int,
        *,
        token_budget: int | None = None,
        share_prefixes: bool = True,
        upcast: bool = True,
    ) -> None:
        self.split = SplitModel(model)
        self.path: Path
        self.check: SelfCheck
        self.path, self.check = choose_path(self.split, max_length, allow_packed=share_prefixes, upcast=upcast)
        self.token_budget = token_budget or default_budget(self.split)
        self.tokens_computed = 0

    def score(self, sequences: Sequences[Sequence], done: Collection[int] = frozenset()) -> Iterator[BatchScores]:
        """Scores sequences batch by batch.

        The plan covers all sequences, also those already done, so that a resumed run computes the same batches as an
        uninterrupted one; batches with nothing left to do are skipped.

        Args:
            sequences: What to score.
            done: Indices whose scores are known.

        Yields:
            The scores of each batch as it is computed.

        Raises:
            NonFiniteError: A scored position has NaN or infinite logits; `sequence` and `token` say which.
        """
        finished = set(done)
        batches = self._plan(sequences, range(len(sequences)))
        while batches:
            batch = batches.pop(0)
            if finished.issuperset(batch.indices):
                continue
            try:
                scores = self.path.compute(sequences, batch)
            except (torch.OutOfMemoryError, RuntimeError) as error:
                self._shrink(error, sequences, batch)
                batches = self._plan(sequences, [i for i in range(len(sequences)) if i not in finished])
                continue
            self._check_finite(sequences, scores)
            finished.update(batch.indices)
            self.tokens_computed += scores.tokens
            yield scores

    def _plan(self, sequences: Sequences[Sequence], indices: Sequences[int]) -> list[Batch]:
        chosen = [sequences[index] for index in indices]
        batches = self.path.plan(chosen, plan.depth_first(chosen), self.token_budget)
        if len(chosen) == len(sequences):
            return batches
        return [
            Batch(
                tuple(indices[i] for i in batch.indices),
                batch.shared,
                tuple(tuple(indices[i] for i in row) for row in batch.rows),
            )
            for batch in batches
        ]

    def _shrink(self, error: Exception, sequences: Sequences[Sequence], batch: Batch) -> None:
        """Halves the token budget after running out of memory; any other error, or no room left to shrink, is raised."""
        if not is_out_of_memory(error):
            raise error
        longest = max(len(sequences[index].inputs) for index in batch.indices)
        if len(batch.indices) == 1 or self.token_budget == 1:
            raise EvaluationError(
                f"the device ran out of memory on a single prompt of {longest} tokens",
                hint="use a smaller --max-length, --dtype bfloat16, or a device with more memory",
            ) from error
        self.token_budget //= 2
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        logger.warning("out of memory: the token budget is now %d tokens a batch", self.token_budget)

    def _check_finite(self, sequences: Sequences[Sequence], scores: BatchScores) -> None:
        if np.isfinite(scores.log_probabilities).all():
            return
        # a NaN reaches its neighbours through masked attention (0 x NaN): alone and cut short, the culprit shows itself
        suspects = [index for index, values, _ in each_sequence(scores) if not np.isfinite(values).all()]
        for suspect in suspects:
            sequence = sequences[suspect]
            if not self._is_finite(sequence):
                lengths = range(1, len(sequence.targets) + 1)
                good = bisect_left(lengths, True, key=lambda kept: not self._is_finite(_cut(sequence, kept)))
                raise NonFiniteSequenceError(suspect, good)
        raise NonFiniteSequenceError(suspects[0], 0)

    def _is_finite(self, sequence: Sequence) -> bool:
        (batch,) = self.path.plan([sequence], plan.depth_first([sequence]), self.token_budget)
        return bool(np.isfinite(self.path.compute([sequence], batch).log_probabilities).all())


def _cut(sequence: Sequence, targets: int) -> Sequence:
    """The sequence with its first so many targets only."""
    return Sequence(sequence.inputs[: sequence.first_scored + targets], sequence.targets[:targets])


class NonFiniteSequenceError(NonFiniteError):
    """As `NonFiniteError`, before the caller has put names to the numbers.

    Attributes:
        sequence: Index of the sequence.
        token: Place of the first bad target among those scored.
    """

    def __init__(self, sequence: int, token: int) -> None:
        super().__init__(
            f"the model's logits are not finite at scored token {token} of sequence {sequence}",
            hint="the weights may be damaged, or overflow in this dtype: try --dtype float32 or bfloat16",
        )
        self.sequence = sequence
        self.token = token


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the error says that memory ran out (CUDA raises its own type, the CPU allocator a RuntimeError)."""
    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )


def default_budget(split: SplitModel) -> int:
    """Tokens a batch: `CPU_BUDGET` on CPU, else the largest of `BUDGETS` whose activations fit the free memory."""
    if split.core.device.type != "cuda":
        return CPU_BUDGET
    config = split.core.config.get_text_config()
    free, _ = torch.cuda.mem_get_info(split.core.device)
    size = torch.finfo(split.core.dtype).bits // 8
    hidden = int(config.hidden_size)
    widest = max(int(getattr(config, "intermediate_size", 0) or 4 * hidden), hidden)
    # residual stream, norm, query, key, value and output of one layer, and both halves of its feed-forward
    bytes_per_token = size * (8 * hidden + 4 * widest)
    fitting = [budget for budget in BUDGETS if budget * bytes_per_token < 0.5 * free]
    return fitting[-1] if fitting else BUDGETS[0]
