"""The generation loop: prompts join, every sequence grows by a token a step, what is finished leaves at once.

A step is one forward pass over the single tokens of all running sequences and pieces of prompts that join, as many tokens
as the budget allows. Prompts join in depth-first order of their prefix tree, so that those with a common prefix run
together; a prefix that several share (all samples of one prompt share all but its last token) is computed in a slot of its
own, a trunk, from which they fork.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from collections.abc import Sequence as Sequences
from dataclasses import dataclass
from itertools import count

import torch

from evalkit.engine import memory
from evalkit.engine.generation.path import DecodingPath, Feed
from evalkit.engine.generation.prompt import Decode, Prompt, Text
from evalkit.engine.generation.sampling import choose
from evalkit.engine.generation.stopping import Stopping
from evalkit.engine.generation.waiting import Waiting
from evalkit.engine.generation.writers import Beams, Sample, Writer, next_tokens
from evalkit.engine.sequences import TokenArray
from evalkit.errors import NonFiniteError

logger = logging.getLogger(__name__)

SMALLEST_BUDGET = 32
_ONE_TEXT = "the device ran out of memory while generating a single text"
_MORE_MEMORY = "use a smaller --max-length or --max-new-tokens, --dtype bfloat16, or a device with more memory"
# Prompts whose room is asked for at once.
LOOK_AHEAD = 64

Generated = tuple[int, tuple[Text, ...]]


@dataclass(slots=True)
class Limits:
    """How much is computed together; halved when memory runs out.

    Attributes:
        slots: Sequences that are written at a time.
        budget: Prompt tokens a step.
    """

    slots: int
    budget: int


@dataclass(slots=True)
class Counts:
    """What was done.

    Attributes:
        computed: Tokens put through the model.
        generated: Tokens of finished texts.
    """

    computed: int = 0
    generated: int = 0


class NonFinitePromptError(NonFiniteError):
    """As `NonFiniteError`, before the caller has put names to the numbers.

    Attributes:
        prompt: Index of the prompt.
        token: Place of the generated token whose logits are not finite.
    """

    def __init__(self, prompt: int, token: int) -> None:
        super().__init__(
            f"the model's logits are not finite at generated token {token} of prompt {prompt}",
            hint="the weights may be damaged, or overflow in this dtype: try --dtype float32 or bfloat16",
        )
        self.prompt = prompt
        self.token = token


@dataclass(slots=True, eq=False)
class _Trunk:
    """A slot whose state others fork from; `length` tokens of their prompts are in it."""

    slot: int
    length: int


@dataclass(slots=True, eq=False)
class _Joining:
    """A prompt, or a trunk, of which the tokens from `done` on are still to be fed."""

    slot: int
    tokens: TokenArray
    done: int
    writer: Writer | None


def generate(
    path: DecodingPath,
    prompts: Sequences[Prompt],
    decode: Decode,
    limits: Limits,
    counts: Counts | None = None,
    *,
    shares: bool = True,
    shrinks: bool = True,
) -> Iterator[list[Generated]]:
    """Continues prompts.

    Args:
        path: Computes.
        prompts: What is continued.
        decode: Token ids -> text.
        limits: How much at once; changed when memory runs out.
        counts: Where to count what is done.
        shares: Whether prefixes are computed once.
        shrinks: Whether less is computed at once when memory runs out; otherwise the same is tried again after a while.

    Yields:
        (index of the prompt, its texts) as they are finished: one a sample, or all hypotheses of a beam search.

    Raises:
        NonFinitePromptError: Logits are not finite.
        EvaluationError: Memory runs out with a single sequence.
    """
    counts = counts or Counts()
    patience = memory.Patience()
    texts: dict[int, dict[int, tuple[Text, ...]]] = {}
    waiting = [
        _writer(index, sample, prompt, decode)
        for index, prompt in enumerate(prompts)
        for sample in range(prompt.decoding.samples)
    ]
    while waiting:
        loop = _Loop(path, prompts, waiting, limits, counts, shares)
        try:
            for finished in loop.steps():
                complete = []
                for writer in finished:
                    assert writer.texts is not None
                    own = texts.setdefault(writer.request, {})
                    own[writer.sample] = writer.texts
                    counts.generated += sum(len(text.tokens) for text in writer.texts)
                    if len(own) == prompts[writer.request].decoding.samples:
                        del texts[writer.request]
                        complete.append((writer.request, sum((own[sample] for sample in sorted(own)), ())))
                if complete:  # a step alone is no progress: what is cut off begins again
                    patience.succeeded()
                yield complete
            return
        except RuntimeError as error:
            if not memory.is_out_of_memory(error):
                raise
            if shrinks:
                _shrink(limits, error, patience)
            else:
                patience.wait(_ONE_TEXT, error, _MORE_MEMORY)
        finally:
            loop.release()
        # what was being written starts again: a draw depends on its place, so the same text comes
        waiting = [
            _writer(writer.request, writer.sample, prompts[writer.request], decode)
            for writer in waiting
            if writer.texts is None
        ]


def _writer(request: int, sample: int, prompt: Prompt, decode: Decode) -> Writer:
    stopping = Stopping.of(prompt, decode)
    return Beams(request, stopping) if prompt.decoding.beams > 1 else Sample(request, sample, stopping)


def _shrink(limits: Limits, error: RuntimeError, patience: memory.Patience) -> None:
    memory.release()
    if limits.slots == 1 and limits.budget <= SMALLEST_BUDGET:
        patience.wait(_ONE_TEXT, error, _MORE_MEMORY)
        return
    limits.slots, limits.budget = max(1, limits.slots // 2), max(SMALLEST_BUDGET, limits.budget // 2)
    logger.warning("out of memory: now %d texts at a time, %d prompt tokens a step", limits.slots, limits.budget)


class _Loop:
    """One run over the waiting texts, until all are written or memory runs out."""

    def __init__(
        self,
        path: DecodingPath,
        prompts: Sequences[Prompt],
        writers: Sequences[Writer],
        limits: Limits,
        counts: Counts,
        shares: bool,
    ) -> None:
        self.path = path
        self.prompts = prompts
        self.writers = writers
        self.limits = limits
        self.counts = counts
        tokens = [prompts[one.request].tokens for one in writers]
        self.waiting = Waiting(tokens, shares=shares and path.joins)
        self.trunks: list[_Trunk] = []
        self.joining: deque[_Joining] = deque()
        self.running: list[Writer] = []
        self._numbers = count()
        self._used: set[int] = set()

    def steps(self) -> Iterator[list[Writer]]:
        """Takes steps until nothing is left; yields what each step finishes."""
        while len(self.waiting) or self.joining or self.running:
            if self.path.joins:
                self._admit()
            elif not self._used:
                self._admit_together()
            yield self._step()

    def release(self) -> None:
        """Gives all slots back."""
        for slot in self._used:
            self.path.release(slot)
        self._used.clear()

    def _new(self, origin: int | None = None) -> int:
        """A slot's number, of a fork where an origin is given."""
        slot = next(self._numbers)
        if origin is not None:
            self.path.fork(origin, slot)
        self._used.add(slot)
        return slot

    def _free(self, slot: int) -> None:
        self._used.discard(slot)
        self.path.release(slot)

    # joining -----------------------------------------------------------------------------------------------------

    def _admit(self) -> None:
        """Lets prompts join while there is room, one after another; those behind a trunk wait until it is computed."""
        budget = self.limits.budget - sum(len(one.tokens) - one.done for one in self.joining)
        room: int | None = None
        while len(self.waiting) and budget > 0 and not any(one.writer is None for one in self.joining):
            writer = self.writers[self.waiting.first(1)[0]]
            if not self._has_slots(writer):
                return
            depth = self.trunks[-1].length if self.trunks else 0
            tokens = self.prompts[writer.request].tokens
            if (end := self.waiting.trunk(depth)) is not None:
                trunk = _Trunk(self._branch(), end)
                self.trunks.append(trunk)
                self.joining.append(_Joining(trunk.slot, tokens[depth:end], 0, None))
                return
            room = self._room(depth) if room is None else room
            if room < writer.width:
                return
            room -= writer.width
            self.waiting.take()
            writer.slots = [self._branch()]
            self.joining.append(_Joining(writer.slots[0], tokens[depth:], 0, writer))
            budget -= len(tokens) - depth
            while self.trunks and self.trunks[-1].length > self.waiting.shared_with_previous:
                self._free(self.trunks.pop().slot)

    def _branch(self) -> int:
        return self._new(self.trunks[-1].slot if self.trunks else None)

    def _has_slots(self, writer: Writer) -> bool:
        busy = sum(one.width for one in self.running) + sum(one.writer.width for one in self.joining if one.writer)
        return not busy or busy + writer.width <= self.limits.slots

    def _room(self, depth: int) -> int:
        """Slots for which there is memory; one writer's in any case when nothing else is being written."""
        ahead = [self.writers[index] for index in self.waiting.first(LOOK_AHEAD)]
        spread = [one for one in ahead for _ in range(one.width)]
        prompts = [self.prompts[one.request] for one in spread]
        room = self.path.room(
            [prompt.tokens[min(depth, len(prompt.tokens) - 1) :] for prompt in prompts],
            [prompt.decoding.max_new_tokens for prompt in prompts],
        )
        return max(room, 0 if self.running or self.joining else ahead[0].width)

    def _admit_together(self) -> None:
        """Starts as many prompts as fit, for a path that takes no more until these are done."""
        room = self._room(0)
        while len(self.waiting):
            writer = self.writers[self.waiting.first(1)[0]]
            if room < writer.width or not self._has_slots(writer):
                break
            room -= writer.width
            self.waiting.take()
            writer.slots = [self._new()]
            self.joining.append(_Joining(writer.slots[0], self.prompts[writer.request].tokens, 0, writer))

    # a step ------------------------------------------------------------------------------------------------------

    def _step(self) -> list[Writer]:
        """One forward pass; returns what it finishes."""
        feeds = [
            Feed(slot, tokens)
            for writer in self.running
            for slot, tokens in zip(writer.slots, next_tokens(writer), strict=True)
        ]
        writers = list(self.running)
        budget = self.limits.budget
        pieces: list[Feed] = []
        for one in self.joining:
            if budget <= 0:
                break
            size = min(budget, len(one.tokens) - one.done) if self.path.joins else len(one.tokens)
            pieces.append(Feed(one.slot, one.tokens[one.done : one.done + size]))
            budget -= size if self.path.joins else 0
            one.done += size
        logits = self.path.feed([*feeds, *pieces])
        self.counts.computed += sum(len(feed.tokens) for feed in [*feeds, *pieces])
        # a prompt's first token comes from its last piece; of other pieces only the state is wanted
        wanted = list(range(len(feeds)))
        for place, one in enumerate(list(self.joining)[: len(pieces)]):
            if one.done == len(one.tokens):
                self.joining.remove(one)
                if one.writer is not None:
                    wanted.append(len(feeds) + place)
                    writers.append(one.writer)
        if len(wanted) < len(logits):
            logits = logits[wanted]
        self._advance(writers, logits)
        self.running = [writer for writer in writers if writer.texts is None]
        finished = [writer for writer in writers if writer.texts is not None]
        for writer in finished:
            for slot in writer.slots:
                self._free(slot)
        return finished

    def _advance(self, writers: Sequences[Writer], logits: torch.Tensor) -> None:
        """Gives every writer its next token."""
        samples: list[Sample] = []
        rows: list[int] = []
        groups: list[tuple[Beams, int]] = []
        place = 0
        for writer in writers:
            if isinstance(writer, Sample):
                samples.append(writer)
                rows.append(place)
            elif isinstance(writer, Beams):
                groups.append((writer, place))
            place += len(writer.slots)
        if samples:
            own = logits if len(samples) == len(logits) else logits[rows]
            chosen = choose(own, [one.decoding for one in samples], [one.number for one in samples])
            for one, token, value, finite in zip(samples, *(array.tolist() for array in chosen), strict=True):
                if not finite:
                    raise NonFinitePromptError(one.request, one.length)
                one.add(token, value)
        for group, first in groups:
            self._advance_beams(group, logits[first : first + len(group.slots)])

    def _advance_beams(self, group: Beams, logits: torch.Tensor) -> None:
        """One step of a beam search: the slots of beams with several continuations fork, those with none are freed."""
        if not bool(torch.isfinite(torch.logsumexp(logits, dim=-1)).all()):
            raise NonFinitePromptError(group.request, group.length)
        parents = group.advance(logits)
        if group.texts is not None:
            return
        before, group.slots = group.slots, []
        kept: set[int] = set()
        for parent in parents:
            if parent in kept:
                group.slots.append(self._new(before[parent]))
            else:
                kept.add(parent)
                group.slots.append(before[parent])
        for place, slot in enumerate(before):
            if place not in kept:
                self._free(slot)
