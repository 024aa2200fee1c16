"""The engine: token sequences in, log-probabilities out; its `generator` continues prompts."""

from __future__ import annotations

import logging
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Collection, Generator, Iterable, Iterator
from collections.abc import Sequence as Sequences
from itertools import compress
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from evalkit.engine import memory, plan
from evalkit.engine.encoder_decoder import EncoderDecoderModel, choose_encoder_decoder_path, split_model
from evalkit.engine.forecast import Forecast, forecast
from evalkit.engine.generation.generator import TextGenerator
from evalkit.engine.paths import Launched, PaddedPath, Part, Path
from evalkit.engine.plan import Batch
from evalkit.engine.planner import Planner
from evalkit.engine.self_check import SelfCheck, choose_path
from evalkit.engine.sequences import Sequence
from evalkit.errors import EvaluationError, NonFiniteError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

logger = logging.getLogger(__name__)

MORE_MEMORY = "use a smaller --max-length, --dtype bfloat16, or a device with more memory"


class Score(NamedTuple):
    """The answer to one sequence.

    Attributes:
        sequence: Which one.
        log_probabilities: float32 [targets] (nats).
        greedy: Whether every target is the most probable token.
    """

    sequence: int
    log_probabilities: npt.NDArray[np.float32]
    greedy: bool


class Engine:
    """Scores token sequences with one model on one device.

    Args:
        model: A transformers causal language model, or an encoder-decoder.
        max_length: Inputs the model takes at once; of an encoder-decoder its encoder, and its decoder.
        token_budget: Tokens a batch may hold; None chooses one of `memory.BUDGETS` for the device.
        share_prefixes: False computes every sequence whole (for comparison).
        upcast: See `SplitModel.log_probabilities`.
        deterministic: Compute every batch with the same sizes, so that a score depends on nothing but its sequence: not
            on order, subset, neighbours or budget. A model whose layers cannot be held to that on this device (found by
            comparing bits at load) is computed one sequence at a time.

    Attributes:
        planner: Makes the plan of batches.
        generator: Generates text with the same model.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        max_length: int,
        *,
        token_budget: int | None = None,
        share_prefixes: bool = True,
        upcast: bool = True,
        deterministic: bool = False,
    ) -> None:
        if model.device.type == "cuda":
            # cuDNN builds a plan for each new shape, and here nearly every call has one of its own; for the whole process
            torch.backends.cuda.enable_cudnn_sdp(False)
        self.split = split_model(model)
        self.deterministic = deterministic
        self.path: Path
        self.check: SelfCheck
        try:
            if isinstance(self.split, EncoderDecoderModel):
                self.path, self.check = choose_encoder_decoder_path(
                    self.split, max_length, upcast=upcast, deterministic=deterministic
                )
            else:
                self.path, self.check = choose_path(
                    self.split, max_length, allow_packed=share_prefixes, upcast=upcast, deterministic=deterministic
                )
        except RuntimeError as error:
            if not memory.is_out_of_memory(error):
                raise
            raise EvaluationError(
                "the device ran out of memory when the model was tried on a few short prompts", hint=MORE_MEMORY
            ) from error
        self.single = PaddedPath(self.split, upcast=upcast, alone=True)
        self.planner = Planner(self.path.planner, self.split.position_limit)
        self.token_budget = token_budget or memory.default_budget(self.split, max_length)
        if deterministic:
            self.token_budget = memory.fixed_size(self.split)
        self.tokens_computed = 0
        self._patience = memory.Patience()
        self.generator = TextGenerator(self.split, max_length, deterministic=deterministic)

    def score(self, sequences: Sequences[Sequence], done: Collection[int] = frozenset()) -> Iterator[list[Score]]:
        """Scores sequences batch by batch.

        The plan covers all sequences, also those already done, so that a resumed run computes the same batches as an
        uninterrupted one; batches that nothing needs any more are skipped.

        Args:
            sequences: What to score.
            done: Indices whose scores are known.

        Yields:
            The sequences that a batch completes.

        Raises:
            NonFiniteError: A scored position has NaN or infinite logits; `sequence` and `token` say which.
            EvaluationError: A single sequence does not fit the device's memory.
        """
        gathered = Gathered(sequences, done)
        batches: Sequences[Batch] | None = self._plan(sequences)
        while batches is not None:
            batches = yield from self._score(sequences, batches, gathered)

    def forecast(self, sequences: Sequences[Sequence]) -> Forecast:
        """What `score` would take."""
        fixed = self.token_budget if self.check.deterministic == "fixed sizes" else 0
        return forecast(self.split, sequences, self._plan(sequences), fixed)

    def probe(self, sequences: Sequences[Sequence], seconds: float) -> float:
        """Tokens a second on this machine, from some of the batches that `score` would compute.

        Args:
            sequences: What would be scored.
            seconds: How long to compute; something is computed in any case.
        """
        while True:
            try:
                return self._probe(sequences, self._plan(sequences), seconds)
            except RuntimeError as error:
                self._shrink(error)

    def _probe(self, sequences: Sequences[Sequence], batches: Sequences[Batch], seconds: float) -> float:
        everything = set(range(len(sequences)))
        start, tokens = time.perf_counter(), 0
        for place in _spread(len(batches)):
            others = everything.difference(batches[place].indices)
            for batch, wanted in zip(batches[: place + 1], plan.needed(batches[: place + 1], others), strict=True):
                if wanted:
                    launched = self._launch(sequences, batch)
                    launched.parts()
                    tokens += launched.tokens
            if tokens and time.perf_counter() - start > seconds:
                break
        return max(tokens, 1) / (time.perf_counter() - start)

    def compute(self, sequences: Sequences[Sequence], batches: Iterable[Batch]) -> Iterator[list[Part]]:
        """Computes batches, one after another.

        Args:
            sequences: What the batches are of.
            batches: In the order of their plan, as `planner` makes it. Those that carry something come after what they stand
                on, in this call or in the last one.

        Yields:
            What each batch says.

        Raises:
            RuntimeError: Memory ran out (`memory.is_out_of_memory`). What was computed before is yielded first.
            NonFiniteError: As `score`.
        """
        # a GPU computes the next batch while the last one's results are looked at; a CPU gains nothing by waiting
        depth = 0 if self.split.core.device.type == "cpu" else 1
        under_way: deque[Launched] = deque()
        for batch in batches:
            try:
                under_way.append(self._launch(sequences, batch))
            except RuntimeError:
                while under_way:
                    yield self._finish(sequences, under_way.popleft())
                raise
            while len(under_way) > depth:
                yield self._finish(sequences, under_way.popleft())
        while under_way:
            yield self._finish(sequences, under_way.popleft())

    def _score(
        self, sequences: Sequences[Sequence], batches: Sequences[Batch], gathered: Gathered
    ) -> Generator[list[Score], None, Sequences[Batch] | None]:
        """Computes a plan; returns another one when memory ran out on the way, else None."""
        needed = compress(batches, plan.needed(batches, gathered.done))
        try:
            for parts in self.compute(sequences, needed):
                completed = gathered.add(parts)
                if completed:  # a batch alone is no progress: those that others stand on are computed again each time
                    self._patience.succeeded()
                yield completed
        except RuntimeError as error:  # of which torch.OutOfMemoryError is one
            self._shrink(error)
            gathered.parts.clear()
            # of all sequences, as a resumed run would plan with this budget
            return self._plan(sequences)
        return None

    def _finish(self, sequences: Sequences[Sequence], launched: Launched) -> list[Part]:
        parts = launched.parts()
        self._check_finite(sequences, parts)
        self.tokens_computed += launched.tokens
        return parts

    def _launch(self, sequences: Sequences[Sequence], batch: Batch) -> Launched:
        limit = self.split.position_limit
        if limit is not None and max((len(sequences[index].inputs) for index in batch.indices), default=0) > limit:
            self.split.reset_positions()
            return self.single.launch(sequences, batch)
        return self.path.launch(sequences, batch)

    def _plan(self, sequences: Sequences[Sequence]) -> Sequences[Batch]:
        return self.planner.batches(sequences, self.token_budget)

    def _shrink(self, error: RuntimeError) -> None:
        """Halves the token budget after running out of memory; another error is raised.

        With `deterministic`, and where there is no room left to shrink, the budget stays, and the same is to be tried
        again: another program may give memory back.
        """
        if not memory.is_out_of_memory(error):
            raise error
        out_of_memory = f"the device ran out of memory on a batch of {self.token_budget} tokens"
        if self.deterministic:
            hint = "use --dtype bfloat16, or leave --deterministic out"
            self._patience.wait(f"{out_of_memory}, the fixed size of --deterministic", error, hint)
            return
        memory.release()
        if self.token_budget <= memory.SMALLEST_BUDGET:
            self._patience.wait(out_of_memory, error, MORE_MEMORY)
            return
        self.token_budget //= 2
        logger.warning("out of memory: the token budget is now %d tokens a batch", self.token_budget)

    def _check_finite(self, sequences: Sequences[Sequence], parts: Sequences[Part]) -> None:
        # a NaN reaches its neighbours through masked attention (0 x NaN): alone and cut short, the culprit shows itself
        suspects = [part for part in parts if not np.isfinite(part.log_probabilities).all()]
        for part in suspects:
            sequence = sequences[part.sequence]
            if not self._is_finite(sequence):
                lengths = range(1, len(sequence.targets) + 1)
                good = bisect_left(lengths, True, key=lambda kept: not self._is_finite(sequence.cut(kept)))
                raise NonFiniteSequenceError(part.sequence, good)
        if suspects:
            raise NonFiniteSequenceError(suspects[0].sequence, suspects[0].offset)

    def _is_finite(self, sequence: Sequence) -> bool:
        batches = self.path.planner.plan([sequence], plan.depth_first([sequence]), self.token_budget)
        parts = [part for batch in batches for part in self.path.launch([sequence], batch).parts()]
        return all(bool(np.isfinite(part.log_probabilities).all()) for part in parts)


class Gathered:
    """Parts of sequences, put together as batches finish.

    Attributes:
        done: Sequences whose scores are complete.
    """

    def __init__(self, sequences: Sequences[Sequence], done: Collection[int]) -> None:
        self.sequences = sequences
        self.done = set(done)
        self.parts: dict[int, dict[int, Part]] = {}

    def add(self, parts: Sequences[Part]) -> list[Score]:
        """Takes a batch's parts; returns the sequences that they complete."""
        completed = []
        for part in parts:
            if part.sequence in self.done:
                continue
            own = self.parts.setdefault(part.sequence, {})
            own[part.offset] = part
            if sum(len(one.greedy) for one in own.values()) == len(self.sequences[part.sequence].targets):
                ordered = [own[offset] for offset in sorted(own)]
                values = np.concatenate([one.log_probabilities for one in ordered])
                completed.append(Score(part.sequence, values, all(bool(one.greedy.all()) for one in ordered)))
                self.done.add(part.sequence)
                del self.parts[part.sequence]
        return completed


def _spread(count: int) -> Iterator[int]:
    """0 .. count - 1, the middle first, then the quarters, and so on, so that any beginning covers the whole evenly."""
    seen: set[int] = set()
    parts = 2
    while len(seen) < count:
        for odd in range(1, parts, 2):
            place = count * odd // parts
            if place not in seen:
                seen.add(place)
                yield place
        parts *= 2


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
