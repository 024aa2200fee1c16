"""The built-in engine with the model in other processes: the same batches as in one process, and so the same bits."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import compress
from typing import TYPE_CHECKING, NamedTuple

from evalkit.backends.base import Answer, Prepared
from evalkit.backends.engine_backend import (
    Checks,
    EngineBackend,
    LocalOptions,
    NonFiniteRequestError,
    TokenizedRequests,
    own,
)
from evalkit.backends.local_generation import TokenizedPrompt
from evalkit.backends.workers.crew import Crew
from evalkit.backends.workers.fleet import Fleet
from evalkit.backends.workers.jobs import (
    CheckGeneration,
    MeasureCost,
    NonFinite,
    OutOfMemory,
    ScoreBatches,
    Scored,
    WriteRound,
    Written,
)
from evalkit.backends.workers.schedule import Chain, Grant, Schedule
from evalkit.decoding import Decoding
from evalkit.engine import memory, plan, planner
from evalkit.engine.engine import Gathered, NonFiniteSequenceError
from evalkit.engine.engine import Score as SequenceScore
from evalkit.engine.generation.rounds import Round
from evalkit.engine.generation.self_check import DecodingCheck
from evalkit.engine.plan import Batch
from evalkit.engine.sequences import Sequence as TokenSequence
from evalkit.engine.sequences import TokenArray
from evalkit.environment import Environment
from evalkit.errors import NonFiniteError, UsageError
from evalkit.requests import Reply
from evalkit.run_plan import Cost

if TYPE_CHECKING:
    from evalkit.models import OpenedModel
    from evalkit.results import ModelInfo

logger = logging.getLogger(__name__)

GRANT = 4
"""Budgets of a batch that a grant holds at most: long enough to hide that it travels, short enough to lose it."""


class FleetBackend(EngineBackend):
    """Answers requests with a model that several workers have loaded.

    Batches and rounds are planned here, as one process would plan them, and computed there. So an answer does not depend on
    how many workers there are, which of them computed it, or whether some were lost.

    Args:
        model: The model: its tokenizer and configuration are read here, its weights are not.
        fleet: The workers. They are ended with the backend.
        options: How to compute; the same as the workers'.
    """

    def __init__(self, model: OpenedModel, fleet: Fleet, options: LocalOptions | None = None) -> None:
        super().__init__(model, options)
        self.crew = Crew(fleet)
        self.close = weakref.finalize(self, fleet.close)
        self._budget: int | None = None
        self._generation: DecodingCheck | None = None
        self._tokens = {"computed": 0, "generated": 0}

    @property
    def info(self) -> ModelInfo:
        """The model's identity."""
        return self.crew.first.info

    @property
    def device(self) -> str:
        """The first worker's torch device."""
        return self.crew.first.device

    @property
    def budget(self) -> int:
        """Distinct tokens in a batch: what suits the first worker's memory."""
        return self.crew.first.budget if self._budget is None else self._budget

    @budget.setter
    def budget(self, tokens: int) -> None:
        if not self.options.deterministic:
            self._budget = tokens

    def environment(self) -> Environment:
        """The first worker's, with the number of workers; each other kind of hardware or libraries that had a part."""
        first = self.crew.first.environment
        described = {**first.described, "workers": len(self.crew.joined)}
        if self.crew.lost:
            described["workers_lost"] = self.crew.lost
        others = [one for one in self.crew.kinds if one != first.computing]
        return Environment({**described, **({"others": others} if others else {})}, first.computing)

    def _checks(self) -> Checks:
        return Checks(self.crew.first.check, self._generation)

    def is_known_code(self) -> bool:
        """As the workers say."""
        return self.crew.first.is_known_code

    def check_generation(self) -> None:
        """Has a worker find out how texts are written."""
        if self._generation is None:
            (self._generation,) = self.crew.ask(CheckGeneration())

    def _decoder_start(self, targets: TokenArray) -> TokenArray:
        if self.options.compat_lm_eval:
            raise UsageError(
                "--compat lm-eval with an encoder-decoder asks the model itself how its decoder begins",
                hint="leave --workers and --cluster out",
            )
        start = self.crew.first.decoder_start
        assert start is not None
        return start

    def cost(self, prepared: Prepared, seconds: float) -> Cost:
        """What `compute` would take, from some of its batches computed by one worker."""
        tokenized = own(prepared)
        (found,) = self.crew.ask(MeasureCost(tokenized.sequences, tokenized.requests, tokenized.prompts, seconds))
        assert isinstance(found, Cost)
        return replace(found, tokens_per_second=found.tokens_per_second * max(1, self.crew.fleet.size))

    def counters(self) -> dict[str, int]:
        """Tokens asked for (every request whole), tokens computed, and tokens generated."""
        return {
            "tokens_asked": self._asked,
            "tokens_computed": self._tokens["computed"],
            "tokens_generated": self._tokens["generated"],
        }

    # scoring -------------------------------------------------------------------------------------------------------

    def _scores(self, sequences: Sequence[TokenSequence], done: Collection[int]) -> Iterator[list[SequenceScore]]:
        gathered = Gathered(sequences, done)
        smaller = True
        while smaller:
            smaller = yield from self._score_with(sequences, gathered)

    def _score_with(
        self, sequences: Sequence[TokenSequence], gathered: Gathered
    ) -> Generator[list[SequenceScore], None, bool]:
        """Computes the plan of the present budget; returns whether another is needed, as memory ran out."""
        all_batches = self.crew.first.planner.batches(sequences, self.budget)
        batches = list(compress(all_batches, plan.needed(all_batches, gathered.done)))
        del all_batches
        patient = self.options.deterministic or self.budget <= memory.SMALLEST_BUDGET
        schedule = Schedule(chains(sequences, batches), GRANT * self.budget)
        sent: dict[int, list[int]] = {}  # grant -> the sequences that were sent with it

        def job(grant: Grant) -> ScoreBatches:
            chosen = [batches[grant.chain.name + step] for step in (*grant.again, *range(grant.first, grant.stop))]
            indices = sent[grant.number] = list(
                dict.fromkeys(index for batch in chosen for index in planner.used(batch))
            )
            places = {index: place for place, index in enumerate(indices)}
            own_batches = [planner.renumbered(batch, places) for batch in chosen]
            return ScoreBatches([sequences[index] for index in indices], own_batches, patient)

        for found in self.crew.run(schedule, job):
            completed: list[SequenceScore] = []
            for grant, value in found:
                if isinstance(value, OutOfMemory):
                    yield completed
                    self.budget //= 2
                    logger.warning("out of memory: the token budget is now %d tokens a batch", self.budget)
                    gathered.parts.clear()
                    return True
                indices = sent[grant.number]
                if isinstance(value, NonFinite):
                    raise NonFiniteSequenceError(indices[value.place], value.token)
                assert isinstance(value, Scored)
                self._tokens["computed"] += value.tokens
                completed += gathered.add(value.parts(indices))
            yield completed
        return False

    # writing -------------------------------------------------------------------------------------------------------

    def _texts(
        self, tokenized: TokenizedRequests, prompts: Mapping[int, TokenizedPrompt], finished: Collection[int]
    ) -> Iterator[list[Answer]]:
        indices, known = list(prompts), set(finished)
        asked = [_Asked(prompts[index].seen, prompts[index].decoding) for index in indices]
        rounds = [
            one for one in self.crew.first.rounds.of(asked) if not known.issuperset(indices[p] for p in one.prompts)
        ]

        def job(grant: Grant) -> WriteRound:
            one = rounds[grant.chain.name]
            own_indices = [indices[place] for place in one.prompts]
            requests = [tokenized.requests[index] for index in own_indices]
            return WriteRound(requests, [prompts[index] for index in own_indices], one.alone)

        weights = [_weight(one, asked) for one in rounds]
        schedule = Schedule((Chain.of(place, [size]) for place, size in enumerate(weights)), 1)
        for found in self.crew.run(schedule, job):
            new: dict[int, Reply] = {}
            for grant, value in found:
                one = rounds[grant.chain.name]
                if isinstance(value, NonFinite):
                    error = NonFiniteError(value.message, hint=value.hint)
                    raise NonFiniteRequestError(error, indices[one.prompts[value.place]], value.token)
                assert isinstance(value, Written)
                self._tokens["computed"] += value.computed
                self._tokens["generated"] += value.generated
                new.update((indices[one.prompts[place]], reply) for place, reply in value.answers)
            yield [(index, reply) for index, reply in new.items() if index not in known]
            known.update(new)


class _Asked(NamedTuple):
    """A prompt as it is seen, and how it is continued."""

    tokens: TokenArray
    decoding: Decoding


def _weight(one: Round, asked: Sequence[_Asked]) -> int:
    """Tokens that a round reads and may write."""
    decodings = [asked[place].decoding for place in one.prompts]
    return sum(len(asked[place].tokens) for place in one.prompts) + sum(
        decoding.samples * decoding.beams * decoding.max_new_tokens for decoding in decodings
    )


def chains(sequences: Sequence[TokenSequence], batches: Sequence[Batch]) -> Iterator[Chain]:
    """The subtrees of a plan: runs of batches of which each but the first stands on an earlier one.

    Args:
        sequences: What is scored.
        batches: Those of its plan that are needed, in order.

    Yields:
        A chain, named by the place of its first batch.
    """
    first = 0
    weights: list[int] = []
    providers: list[int] = []
    holders: dict[int, int] = {}
    for place, batch in enumerate(batches):
        if not batch.carried and weights:
            yield Chain.of(first, weights, providers)
            first, weights, providers, holders = place, [], [], {}
        weights.append(planner.weight(sequences, batch))
        providers.append(holders[batch.carried] if batch.carried else -1)
        if batch.keeps:
            holders[batch.keeps] = place - first
    if weights:
        yield Chain.of(first, weights, providers)
