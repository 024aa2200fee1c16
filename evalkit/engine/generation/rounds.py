"""Which texts are written side by side: that has a part in their last digits, so it follows from the prompts alone."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence as Sequences
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from evalkit.decoding import Decoding
from evalkit.engine import plan
from evalkit.engine.sequences import TokenArray


class HasTokens(Protocol):
    """A prompt, as far as it decides which round it comes to."""

    @property
    def tokens(self) -> TokenArray:
        """int32 [length]."""
        ...

    @property
    def decoding(self) -> Decoding:
        """How it is continued."""
        ...


class Round(NamedTuple):
    """Texts that are written side by side, as long as there is memory.

    Attributes:
        prompts: Which, in depth-first order of their prefix tree.
        alone: It is one text, written whole, as it may grow past a length from which the model embeds all positions
            differently.
    """

    prompts: tuple[int, ...]
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Rounds:
    """How prompts are shared out to rounds; a pure function of them.

    Attributes:
        size: Texts of a round, about.
        position_limit: Length (tokens) from which the model embeds all positions differently; None where there is none.
        single: Every prompt is a round of its own.
    """

    size: int
    position_limit: int | None = None
    single: bool = False

    def of(self, prompts: Sequences[HasTokens]) -> list[Round]:
        """The rounds, in the order in which they are written."""
        limit = self.position_limit
        lengths = [len(prompt.tokens) + prompt.decoding.max_new_tokens for prompt in prompts]
        together = [index for index, length in enumerate(lengths) if limit is None or length <= limit]
        alone = [
            Round((index,), alone=True) for index, length in enumerate(lengths) if limit is not None and length > limit
        ]
        return [*self._together(prompts, together), *alone]

    def _together(self, prompts: Sequences[HasTokens], indices: Sequences[int]) -> Iterator[Round]:
        order = plan.order_of([prompts[index].tokens for index in indices]).indices.tolist() if indices else []
        size = 1 if self.single else self.size
        round_: list[int] = []
        texts = 0
        for place in order:
            decoding = prompts[indices[place]].decoding
            round_.append(indices[place])
            texts += decoding.samples * decoding.beams
            if texts >= size:
                yield Round(tuple(round_))
                round_, texts = [], 0
        if round_:
            yield Round(tuple(round_))
