"""Beam search with the rules of transformers' `generate` (5.x, `early_stopping=False`), one prompt at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch

from evalkit.engine.generation.prompt import Finish
from evalkit.engine.generation.stopping import Stopping


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A finished text.

    Attributes:
        tokens: What was generated.
        total: Sum of the tokens' log-probabilities (nats).
        score: `total` / (number of tokens) ** length penalty: what it is ranked by.
        finish: Why it ended.
    """

    tokens: tuple[int, ...]
    total: float
    score: float
    finish: Finish


class _Beam(NamedTuple):
    tokens: tuple[int, ...]
    total: float


class BeamSearch:
    """The hypotheses of one prompt.

    Args:
        stopping: Says when a hypothesis is finished; its prompt says how many are kept.
    """

    def __init__(self, stopping: Stopping) -> None:
        decoding = stopping.prompt.decoding
        self._stopping = stopping
        self._beams = decoding.beams
        self._penalty = decoding.length_penalty
        # so many that enough are left to go on with when all the best end at once
        self._candidates = max(2, 1 + len(stopping.prompt.end_tokens)) * decoding.beams
        self._running = [_Beam((), 0.0)]
        self._finished: list[Hypothesis] = []
        self.done = False

    @property
    def hypotheses(self) -> tuple[Hypothesis, ...]:
        """The finished texts, the best first."""
        return tuple(self._finished)

    @property
    def last_tokens(self) -> list[int]:
        """The token each running beam goes on with."""
        return [beam.tokens[-1] for beam in self._running]

    @property
    def length(self) -> int:
        """Tokens of each running beam."""
        return len(self._running[0].tokens)

    def advance(self, log_probabilities: torch.Tensor) -> list[int]:
        """Takes one step.

        Args:
            log_probabilities: float32 [running beams, vocabulary], of the next token.

        Returns:
            For each beam that runs on, the beam before the step that it continues.
        """
        totals = torch.tensor([beam.total for beam in self._running], device=log_probabilities.device)
        sums = (log_probabilities + totals[:, None]).flatten()
        best, places = sums.topk(min(self._candidates, len(sums)))
        vocabulary = log_probabilities.shape[1]
        running: list[tuple[int, _Beam]] = []
        ended: list[Hypothesis] = []
        everything_ends = True
        for rank, (total, place) in enumerate(zip(best.tolist(), places.tolist(), strict=True)):
            parent, token = divmod(place, vocabulary)
            tokens = (*self._running[parent].tokens, token)
            finish = self._stopping.finish(tokens)
            everything_ends &= finish is not None
            if finish is None:
                if len(running) < self._beams:
                    running.append((parent, _Beam(tokens, total)))
            elif rank < self._beams:
                # those further down are there only to go on with
                ended.append(Hypothesis(tokens, total, total / len(tokens) ** self._penalty, finish))
        self._finished = sorted([*self._finished, *ended], key=lambda one: -one.score)[: self._beams]
        self._running = [beam for _, beam in running]
        self.done = everything_ends or not self._can_improve()
        return [parent for parent, _ in running]

    def _can_improve(self) -> bool:
        """Whether the best running beam, ending now, would be better than the worst finished text."""
        if not self._running or len(self._finished) < self._beams:
            return bool(self._running)
        best = self._running[0]
        worst = self._finished[-1].score
        return bool(best.total / len(best.tokens) ** self._penalty > worst)
