"""What workers are asked to do: values that travel, run where the model is, and answer with values that travel back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from evalkit import __version__
from evalkit.backends.base import Answer
from evalkit.backends.local_cost import cost
from evalkit.backends.local_generation import TokenizedPrompt, reply_of
from evalkit.engine import memory
from evalkit.engine.encoder_decoder import EncoderDecoderModel
from evalkit.engine.engine import NonFiniteSequenceError
from evalkit.engine.generation.loop import NonFinitePromptError
from evalkit.engine.generation.rounds import Rounds
from evalkit.engine.generation.self_check import DecodingCheck
from evalkit.engine.paths import Part
from evalkit.engine.plan import Batch
from evalkit.engine.planner import Planner
from evalkit.engine.self_check import SelfCheck
from evalkit.engine.sequences import Sequence as TokenSequence
from evalkit.engine.sequences import TokenArray
from evalkit.environment import Environment
from evalkit.requests import Request
from evalkit.run_plan import Cost

if TYPE_CHECKING:
    from evalkit.backends.local import LocalBackend
    from evalkit.results import ModelInfo


_MORE_MEMORY = "use --dtype bfloat16, or a device with more memory"


class Job(Protocol):
    """A piece of work."""

    def run(self, backend: LocalBackend) -> Iterator[Any]:
        """Does it; yields what comes of it, piece by piece."""
        ...


@dataclass(frozen=True, slots=True)
class Description:
    """What a worker has loaded, and all that is needed to plan its work elsewhere.

    Attributes:
        version: evalkit's.
        info: The model's identity.
        device: Where it computes.
        budget: Tokens in a batch that suit its memory.
        check: How it scores.
        planner: Makes plans of batches for it.
        rounds: Makes rounds of texts for it.
        is_known_code: See `EngineBackend`.
        decoder_start: What an encoder-decoder's decoder begins with, int32; None for other models.
        environment: Its libraries and hardware.
    """

    version: str
    info: ModelInfo
    device: str
    budget: int
    check: SelfCheck
    planner: Planner
    rounds: Rounds
    is_known_code: bool
    decoder_start: TokenArray | None
    environment: Environment


@dataclass(frozen=True, slots=True)
class Describe:
    """Loads the model, checks it, and says what it is."""

    def run(self, backend: LocalBackend) -> Iterator[Description]:
        """Yields a `Description`."""
        engine = backend.engine
        split = engine.split
        yield Description(
            version=__version__,
            info=backend.info,
            device=backend.device,
            budget=engine.token_budget,
            check=engine.check,
            planner=engine.planner,
            rounds=engine.generator.rounds,
            is_known_code=backend.is_known_code(),
            decoder_start=split.start if isinstance(split, EncoderDecoderModel) else None,
            environment=Environment.of(backend.device),
        )


@dataclass(frozen=True, slots=True)
class CheckGeneration:
    """Finds out how the model's texts are written."""

    def run(self, backend: LocalBackend) -> Iterator[DecodingCheck]:
        """Yields the check."""
        backend.check_generation()
        found = backend.engine.generator.check
        assert found is not None
        yield found


@dataclass(frozen=True, slots=True)
class MeasureCost:
    """Computes a few batches to see how fast the worker is.

    Attributes:
        sequences: What would be scored.
        requests: What would be asked.
        prompts: What would be continued, by its place among `requests`.
        seconds: How long to measure, about.
    """

    sequences: Sequence[TokenSequence]
    requests: Sequence[Request]
    prompts: Mapping[int, TokenizedPrompt]
    seconds: float

    def run(self, backend: LocalBackend) -> Iterator[Cost]:
        """Yields the cost for one such worker."""
        prompts = backend.generation.prompts(self.requests, self.prompts, backend.loaded.model)
        yield cost(backend.engine, self.sequences, list(prompts.values()), self.seconds)


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """What a batch says, in few arrays.

    Attributes:
        places: int64 [parts], the sequence of each part.
        offsets: int64 [parts], its first target that is scored here.
        counts: int64 [parts], targets scored here.
        log_probabilities: float32 [targets] (nats), part after part.
        greedy: bool [targets].
        tokens: Tokens put through the model.
    """

    places: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]
    log_probabilities: npt.NDArray[np.float32]
    greedy: npt.NDArray[np.bool_]
    tokens: int

    @classmethod
    def of(cls, parts: Sequence[Part], tokens: int) -> Scored:
        """Put together from a batch's parts."""
        return cls(
            np.array([part.sequence for part in parts], dtype=np.int64),
            np.array([part.offset for part in parts], dtype=np.int64),
            np.array([len(part.greedy) for part in parts], dtype=np.int64),
            np.concatenate([part.log_probabilities for part in parts]) if parts else np.zeros(0, np.float32),
            np.concatenate([part.greedy for part in parts]) if parts else np.zeros(0, np.bool_),
            tokens,
        )

    def parts(self, indices: Sequence[int]) -> list[Part]:
        """The parts, with `indices` in the place of places."""
        ends = np.cumsum(self.counts).tolist()
        cut = zip(self.places.tolist(), self.offsets.tolist(), self.counts.tolist(), ends, strict=True)
        return [
            Part(indices[place], offset, self.log_probabilities[end - size : end], self.greedy[end - size : end])
            for place, offset, size, end in cut
        ]


@dataclass(frozen=True, slots=True)
class OutOfMemory:
    """The batches are too large for the worker.

    Attributes:
        message: What its library said.
    """

    message: str


@dataclass(frozen=True, slots=True)
class NonFinite:
    """The model's logits are not finite.

    Attributes:
        place: Of the sequence, or prompt, within the job.
        token: Place of the first bad token among those scored, or generated.
        message: For the user.
        hint: What to do.
    """

    place: int
    token: int
    message: str
    hint: str | None


@dataclass(frozen=True, slots=True)
class ScoreBatches:
    """Scores batches of a plan.

    Attributes:
        sequences: Those that the batches read.
        batches: In the order of the plan, of places in `sequences`. What the first ones stand on was computed by the job
            before this one, or is computed by them.
        patient: Whether to wait and try again when memory runs out, as the batches cannot be smaller.
    """

    sequences: Sequence[TokenSequence]
    batches: Sequence[Batch]
    patient: bool

    def run(self, backend: LocalBackend) -> Iterator[Scored | OutOfMemory | NonFinite]:
        """Yields what each batch says, or in the end why there is no more."""
        engine, before = backend.engine, backend.engine.tokens_computed
        patience = memory.Patience()
        done = 0
        while done < len(self.batches):
            try:
                for parts in engine.compute(self.sequences, islice(self.batches, done, None)):
                    yield Scored.of(parts, engine.tokens_computed - before)
                    before = engine.tokens_computed
                    done += 1
                    patience.succeeded()
            except NonFiniteSequenceError as error:
                yield NonFinite(error.sequence, error.token, error.message, error.hint)
                return
            except RuntimeError as error:
                if not memory.is_out_of_memory(error):
                    raise
                memory.release()
                if not self.patient:
                    yield OutOfMemory(str(error))
                    return
                patience.wait("the device ran out of memory on a batch that cannot be smaller", error, _MORE_MEMORY)


@dataclass(frozen=True, slots=True)
class Written:
    """Texts of a round.

    Attributes:
        answers: Replies, by the prompt's place in the round.
        computed: Tokens put through the model for them.
        generated: Tokens of finished texts.
    """

    answers: Sequence[Answer]
    computed: int
    generated: int


@dataclass(frozen=True, slots=True)
class WriteRound:
    """Writes the texts of a round.

    Attributes:
        requests: What is asked.
        prompts: The same as tokens.
        alone: See `evalkit.engine.generation.rounds.Round`.
    """

    requests: Sequence[Request]
    prompts: Sequence[TokenizedPrompt]
    alone: bool

    def run(self, backend: LocalBackend) -> Iterator[Written | NonFinite]:
        """Yields texts as they are complete."""
        generator, generation = backend.engine.generator, backend.generation
        tokenized = dict(enumerate(self.prompts))
        prompts = list(generation.prompts(self.requests, tokenized, backend.loaded.model).values())
        before = replace(generator.counts)
        try:
            for finished in generator.write(prompts, generation.decode, alone=self.alone):
                if finished:
                    after = replace(generator.counts)
                    yield Written(
                        [(place, reply_of(tokenized[place], texts)) for place, texts in finished],
                        after.computed - before.computed,
                        after.generated - before.generated,
                    )
                    before = after
        except NonFinitePromptError as error:
            yield NonFinite(error.prompt, error.token, error.message, error.hint)
