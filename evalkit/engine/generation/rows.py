"""Sequences that are stepped together: rows of one of transformers' caches, which slots share, leave and split."""

from __future__ import annotations

import copy
from collections.abc import Collection
from typing import Any

import torch

# Rows of the cache that no slot stands on any more, as a share of all, before the others are moved together.
IDLE_ROWS = 0.25


class Rows:
    """Rows of a cache, and the slots that stand on them.

    Several slots may stand on one row, as after a fork or when prompts are the same: they part at the next step.

    Args:
        cache: As transformers made it; `reorder_cache` selects its rows.
        mask: int64 [rows, tokens], 0 at padding, of what is attended to (of an encoder-decoder, in the encoder).
        lengths: int64 [rows], tokens seen, padding not counted.
        slots: The row of each slot.
    """

    def __init__(self, cache: Any, mask: torch.Tensor, lengths: torch.Tensor, slots: dict[int, int]) -> None:
        self.cache = cache
        self.mask = mask
        self.lengths = lengths
        self.slots = slots

    def apart(self) -> None:
        """Gives every slot a row of its own, and drops the rows without a slot when they are many."""
        taken = set(self.slots.values())
        idle = len(self.lengths) - len(taken)
        if len(taken) == len(self.slots) and idle <= IDLE_ROWS * len(self.lengths):
            return
        self._select(list(self.slots.values()))
        self.slots = {slot: row for row, slot in enumerate(self.slots)}

    def split(self, slots: Collection[int]) -> Rows:
        """Takes these slots out; returns them as rows of their own."""
        chosen = {slot: row for slot, row in self.slots.items() if slot in slots}
        self.slots = {slot: row for slot, row in self.slots.items() if slot not in slots}
        other = Rows(copy.deepcopy(self.cache), self.mask, self.lengths, chosen)
        for one in (self, other):
            one._select(list(one.slots.values()))
            one.slots = {slot: row for row, slot in enumerate(one.slots)}
        return other

    def _select(self, rows: list[int]) -> None:
        places = torch.tensor(rows, device=self.lengths.device)
        self.cache.reorder_cache(places)
        self.mask, self.lengths = self.mask[places], self.lengths[places]
