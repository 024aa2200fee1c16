"""What the generation loop needs of a model: the next token's logits for many sequences whose state it keeps.

Every way to run a model (packed attention over our own key-value store, transformers' caches, encoder and decoder) is a
`DecodingPath`; sampling, beam search, stop texts and scheduling stand above it and know nothing of the model.
"""

from __future__ import annotations

from collections.abc import Sequence as Sequences
from typing import NamedTuple, Protocol

import torch

from evalkit.engine.sequences import TokenArray


class Feed(NamedTuple):
    """Tokens that a slot goes on with.

    Attributes:
        slot: The sequence's slot, a number of the caller's choice. The first feed of a slot is its prompt.
        tokens: int32 [length], length >= 1.
    """

    slot: int
    tokens: TokenArray


class DecodingPath(Protocol):
    """Keeps the state of the sequences being generated, and says what comes next.

    Attributes:
        name: For results: `packed`, `cached`, `uncached`, `encoder-decoder`.
        joins: Whether prompts may be fed while other slots are in use. Where False, a prompt is fed only when all slots
            are free, all prompts of a batch in one call.
    """

    name: str
    joins: bool

    def room(self, prompts: Sequences[TokenArray], new_tokens: Sequences[int]) -> int:
        """How many of these prompts, from the first, can be started now besides the slots in use.

        Args:
            prompts: Waiting prompts in the order in which they would start.
            new_tokens: Tokens that may follow each.
        """
        ...

    def feed(self, feeds: Sequences[Feed]) -> torch.Tensor:
        """Puts tokens through the model, each slot after what it has seen.

        Where prompts may join they may come in pieces: the first feed of a slot is then the beginning of its prompt. When
        an error is raised, slots that were fed can only be released.

        Returns:
            float32 [feeds, vocabulary]: logits of the token after each feed's last one, in the order of the feeds.
        """
        ...

    def fork(self, slot: int, copy: int) -> None:
        """Makes the unused slot `copy` a continuation of the same tokens as `slot`."""
        ...

    def release(self, slot: int) -> None:
        """Forgets a slot; one whose first feed failed may not be known."""
        ...
