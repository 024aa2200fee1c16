"""The generating half of the engine: prompts in, texts out."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from collections.abc import Sequence as Sequences
from dataclasses import dataclass

import numpy as np

from evalkit.engine import memory, plan
from evalkit.engine.forward import SplitModel
from evalkit.engine.generation.loop import Counts, Generated, Limits, generate
from evalkit.engine.generation.path import DecodingPath, Feed
from evalkit.engine.generation.prompt import Decode, Prompt
from evalkit.engine.generation.rounds import Rounds
from evalkit.engine.generation.self_check import DecodingCheck, choose_decoding_path

# On a CPU matrix products reach their peak rate at some hundred rows: prompts are read in pieces so small that single
# tokens of running texts ride along in most steps, and more texts than this gain little.
CPU_SLOTS, CPU_BUDGET = 64, 256
SLOTS, BUDGET = 256, 4096
# Texts of a round, as a multiple of those written side by side: at its end fewer and fewer run, and after a crash it is
# written again.
ROUND = 8
PROBE_STEPS = 4


@dataclass(frozen=True, slots=True)
class GenerationForecast:
    """What generating will take at most.

    Attributes:
        tokens_asked: Tokens of all prompts, each counted whole.
        prompt_tokens: Prompt tokens that will be computed: shared prefixes once where the path shares them, else every
            prompt whole for each of its samples.
        new_tokens: Tokens that may be generated.
        steps: Forward passes.
        peak_bytes: Memory in use at the worst moment, with all that is there now.
    """

    tokens_asked: int
    prompt_tokens: int
    new_tokens: int
    steps: int
    peak_bytes: int


class TextGenerator:
    """Generates text with one model.

    Args:
        split: The model.
        max_length: Inputs it takes at once.
        deterministic: Write one text at a time and share nothing, so that a text depends on nothing but its prompt.

    Attributes:
        slots: Texts written side by side, where memory suffices.
        limits: How much is computed together.
        rounds: Which texts are written in one round.
        counts: Tokens computed and generated so far.
    """

    def __init__(self, split: SplitModel, max_length: int, *, deterministic: bool = False) -> None:
        on_cpu = split.core.device.type == "cpu"
        self.split = split
        self.max_length = max_length
        self.deterministic = deterministic
        self.slots = 1 if deterministic else CPU_SLOTS if on_cpu else SLOTS
        self.limits = Limits(self.slots, CPU_BUDGET if on_cpu else BUDGET)
        self.rounds = Rounds(self.slots * ROUND, split.position_limit, single=deterministic)
        self.counts = Counts()
        self._chosen: tuple[DecodingPath, DecodingCheck] | None = None

    @property
    def path(self) -> DecodingPath:
        """What computes; chosen and checked when it is first needed."""
        return self._choose()[0]

    @property
    def check(self) -> DecodingCheck | None:
        """What the check of the path found; None while nothing has been generated."""
        return None if self._chosen is None else self._chosen[1]

    def _choose(self) -> tuple[DecodingPath, DecodingCheck]:
        patience = memory.Patience()
        while self._chosen is None:
            try:
                self._chosen = choose_decoding_path(self.split, self.max_length, deterministic=self.deterministic)
            except RuntimeError as error:
                if not memory.is_out_of_memory(error):
                    raise
                patience.wait(
                    "the device ran out of memory when a few short texts were tried",
                    error,
                    "use --dtype bfloat16, or a device with more memory",
                )
        return self._chosen

    def generate(
        self, prompts: Sequences[Prompt], decode: Decode, done: Collection[int] = ()
    ) -> Iterator[list[Generated]]:
        """Continues prompts; see `evalkit.engine.generation.loop.generate`.

        Which texts stand side by side has a part in their last digits. So they are written in rounds that are a function of
        the prompts alone: a continued run writes the round again in which it was cut, and gets the same bits. Prompts that
        may grow past a length from which the model embeds all positions differently come alone and whole.

        Args:
            prompts: What is continued.
            decode: Token ids -> text.
            done: Prompts whose texts are known, which are not given again.
        """
        for one in self.rounds.of(prompts):
            if not done or not set(one.prompts).issubset(done):
                for finished in self.write([prompts[index] for index in one.prompts], decode, alone=one.alone):
                    yield [(one.prompts[place], texts) for place, texts in finished if one.prompts[place] not in done]

    def write(self, prompts: Sequences[Prompt], decode: Decode, *, alone: bool = False) -> Iterator[list[Generated]]:
        """Writes the texts of one round.

        Args:
            prompts: Those of the round.
            decode: Token ids -> text.
            alone: See `Round`.
        """
        if alone:
            self.split.reset_positions()
        limits = Limits(1, len(prompts[0].tokens)) if alone else self.limits
        free = not self.deterministic
        yield from generate(self.path, prompts, decode, limits, self.counts, shares=free, shrinks=free)
        if alone:
            self.split.reset_positions()

    def forecast(self, prompts: Sequences[Prompt]) -> GenerationForecast:
        """What `generate` will take if every text becomes as long as it may."""
        order = plan.order_of([prompt.tokens for prompt in prompts])
        lengths = np.array([len(prompts[index].tokens) for index in order.indices], dtype=np.int64)
        texts = [prompt.decoding.samples * prompt.decoding.beams for prompt in prompts]
        new = sum(count * prompt.decoding.max_new_tokens for count, prompt in zip(texts, prompts, strict=True))
        if self.path.joins and not self.deterministic:
            read = int(lengths.sum() - order.shared.sum())
        else:
            read = sum(len(prompt.tokens) * prompt.decoding.samples for prompt in prompts)
        footprint = memory.Footprint.of(self.split)
        longest = max((len(one.tokens) + one.decoding.max_new_tokens for one in prompts), default=0)
        slots = min(self.limits.slots, sum(texts))
        return GenerationForecast(
            tokens_asked=int(lengths.sum()),
            prompt_tokens=read,
            new_tokens=new,
            steps=-(-read // self.limits.budget) + -(-new // max(1, slots)),
            peak_bytes=memory.used_memory(self.split.core.device)
            + slots * longest * footprint.carried
            + (self.limits.budget + slots) * footprint.token
            + footprint.logits,
        )

    def probe(self, prompts: Sequences[Prompt], seconds: float) -> tuple[float, float]:
        """Prompt tokens a second, and generated tokens a second, measured with some of the prompts.

        A slow machine starts fewer prompts in the time than would run together: generating is then faster than said.

        Args:
            prompts: What would be continued.
            seconds: How long to compute, about; something is computed in any case.
        """
        path, slots = self.path, min(self.limits.slots, len(prompts))
        start, tokens, used = time.perf_counter(), 0, 0
        while used < slots and (not used or time.perf_counter() - start < seconds / 2):
            whole = prompts[used * len(prompts) // slots].tokens
            size = self.limits.budget if path.joins else len(whole)
            for at in range(0, len(whole), size):
                path.feed([Feed(used, whole[at : at + size])])
            used, tokens = used + 1, tokens + len(whole)
            if not path.joins:
                break
        prompt_rate = tokens / (time.perf_counter() - start)
        start, steps = time.perf_counter(), 0
        while steps < PROBE_STEPS or time.perf_counter() - start < seconds / 4:
            path.feed([Feed(slot, prompts[0].tokens[:1]) for slot in range(used)])
            steps += 1
        rate = steps * used / (time.perf_counter() - start)
        for slot in range(used):
            path.release(slot)
        return prompt_rate, rate
