"""What is being written: one sampled text, or the beams of one prompt."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch

from evalkit.decoding import Decoding
from evalkit.engine.generation.beams import BeamSearch
from evalkit.engine.generation.prompt import Text
from evalkit.engine.generation.sampling import Draws
from evalkit.engine.generation.stopping import Stopping


class Writer(Protocol):
    """Texts that grow by a token each step.

    Attributes:
        request: Index of the prompt.
        sample: Which of its samples.
        slots: Where the state of each of its sequences is, in the order in which they are fed.
        texts: What came of it; None while it is being written.
    """

    request: int
    sample: int
    slots: list[int]
    texts: tuple[Text, ...] | None

    @property
    def width(self) -> int:
        """Slots it needs at most."""
        ...

    @property
    def last_tokens(self) -> list[int]:
        """What each slot is fed next."""
        ...


class Sample:
    """One text, greedy or drawn.

    Args:
        request: Index of the prompt.
        sample: Which of its samples.
        stopping: Says when it is over.
    """

    width = 1

    def __init__(self, request: int, sample: int, stopping: Stopping) -> None:
        self.request, self.sample = request, sample
        self.slots: list[int] = []
        self.texts: tuple[Text, ...] | None = None
        self._stopping = stopping
        self._draws = None
        if not self.decoding.is_greedy:
            self._draws = Draws(self.decoding.seed, stopping.prompt.tokens, sample)
        self._tokens: list[int] = []
        self._log_probability = 0.0

    @property
    def decoding(self) -> Decoding:
        """How tokens are chosen."""
        return self._stopping.prompt.decoding

    @property
    def number(self) -> float:
        """What decides the next draw."""
        return 0.0 if self._draws is None else self._draws.at(len(self._tokens))

    @property
    def length(self) -> int:
        """Tokens written."""
        return len(self._tokens)

    @property
    def last_tokens(self) -> list[int]:
        """The last token."""
        return self._tokens[-1:]

    def add(self, token: int, log_probability: float) -> None:
        """Takes the next token."""
        self._tokens.append(token)
        self._log_probability += log_probability
        finish = self._stopping.finish(self._tokens)
        if finish is not None:
            text = self._stopping.text(self._tokens)
            self.texts = (Text(text, finish, tuple(self._tokens), self._log_probability),)


class Beams:
    """The hypotheses of one prompt.

    Args:
        request: Index of the prompt.
        stopping: Says when a hypothesis is over.
    """

    sample = 0

    def __init__(self, request: int, stopping: Stopping) -> None:
        self.request = request
        self.slots: list[int] = []
        self.texts: tuple[Text, ...] | None = None
        self._stopping = stopping
        self._search = BeamSearch(stopping)

    @property
    def width(self) -> int:
        """A slot a beam."""
        return self._stopping.prompt.decoding.beams

    @property
    def length(self) -> int:
        """Tokens written in each running beam."""
        return self._search.length

    @property
    def last_tokens(self) -> list[int]:
        """The last token of each running beam."""
        return self._search.last_tokens

    def advance(self, logits: torch.Tensor) -> list[int]:
        """Takes one step.

        Args:
            logits: float32 [slots, vocabulary].

        Returns:
            For each beam that runs on, the place in `slots` of the beam it continues.
        """
        parents = self._search.advance(torch.log_softmax(logits, dim=-1))
        if self._search.done:
            self.texts = tuple(
                Text(self._stopping.text(one.tokens), one.finish, one.tokens, one.total, one.score)
                for one in self._search.hypotheses
            )
        return parents


def next_tokens(writer: Writer) -> list[np.ndarray]:
    """What each slot of a writer is fed: int32 [1]."""
    return [np.array([token], dtype=np.int32) for token in writer.last_tokens]
