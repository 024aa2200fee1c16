"""Decoding over our own store of keys and values: sequences join and leave at every step."""

from __future__ import annotations

from collections.abc import Sequence as Sequences

import numpy as np
import torch

from evalkit.engine import memory
from evalkit.engine.forward import SplitModel
from evalkit.engine.generation.attention import Chunk, Shared, Singles, Step, decoding_attention
from evalkit.engine.generation.path import Feed
from evalkit.engine.generation.store import Node, Slot, Store
from evalkit.engine.sequences import TokenArray
from evalkit.engine.transfer import to_device

# A fork of more tokens than this makes them a node that both share; fewer are copied.
SHORTEST_NODE = 64
# Rows that attend in one kernel call, as far as the longest of them. Idle keys cost a CPU more than calls; an accelerator
# waits for calls.
BLOCK_ROWS_CPU = 8
BLOCK_ROWS = 256
# Rows the kernel may work through for nothing, as a share of those in use, before they are moved together.
IDLE_ROWS = 0.25


class PackedDecoding:
    """A `DecodingPath` that puts prompt pieces and single tokens of many sequences through the model in one row.

    Args:
        split: The model.
        memory_bytes: What the store may take; None for a share of the device's free memory.
    """

    name = "packed"
    joins = True

    def __init__(self, split: SplitModel, memory_bytes: int | None = None) -> None:
        self.split = split
        self.device = split.core.device
        self.block_rows = BLOCK_ROWS_CPU if self.device.type == "cpu" else BLOCK_ROWS
        self.bytes_per_token = memory.Footprint.of(split).carried
        self._memory_bytes = memory_bytes
        self._store = Store(self.device)
        self._slots: dict[int, Slot] = {}

    def room(self, prompts: Sequences[TokenArray], new_tokens: Sequences[int]) -> int:
        """How many fit the memory, each with what it may grow to; the rows all hold as much as the longest."""
        if self._memory_bytes is None:
            self._memory_bytes = memory.generation_bytes(self.device)
        nodes = {id(node): node.length for slot in self._slots.values() for node in slot.nodes}
        free = self._memory_bytes // self.bytes_per_token - sum(nodes.values())
        longest = max((slot.length for slot in self._slots.values()), default=0)
        longest = max(longest, self._store.capacity if self._slots else 0)
        for count, (prompt, more) in enumerate(zip(prompts, new_tokens, strict=True)):
            longest = max(longest, len(prompt) + more)
            if (len(self._slots) + count + 1) * longest > free:
                return count
        return len(prompts)

    def feed(self, feeds: Sequences[Feed]) -> torch.Tensor:
        """See `DecodingPath.feed`; a slot may be fed its prompt in pieces."""
        with torch.inference_mode():
            return self._feed(feeds)

    def _feed(self, feeds: Sequences[Feed]) -> torch.Tensor:
        for feed in feeds:
            if feed.slot not in self._slots:
                self._slots[feed.slot] = Slot(self._store.take())
        self._compact()
        self._store.reserve(max(self._slots[feed.slot].length + len(feed.tokens) for feed in feeds))
        order = sorted(range(len(feeds)), key=lambda place: len(feeds[place].tokens) > 1)
        step, tokens, last = self._step([feeds[place] for place in order])
        with decoding_attention(self.split.core, step):
            # an all-ones mask keeps transformers from reading the positions as independent packed texts
            states = self.split.states(
                input_ids=tokens, position_ids=step.positions[None], attention_mask=torch.ones_like(tokens)
            )
        rows = np.empty(len(feeds), dtype=np.int64)
        rows[order] = last
        logits = self.split.logits(states[0], to_device(rows, self.device))
        for feed in feeds:
            self._slots[feed.slot].length += len(feed.tokens)
        return logits

    def fork(self, slot: int, copy: int) -> None:
        """See `DecodingPath.fork`: what is long becomes a node of both, what is short is copied."""
        source = self._slots[slot]
        with torch.inference_mode():
            if source.length > SHORTEST_NODE:
                node = self._store.node(source)
                node.references = 1
                source.nodes = (*source.nodes, node)
                source.start, source.length = source.start + source.length, 0
            row = self._store.take()
            if source.length:
                self._store.copy(source, row)
        for node in source.nodes:
            node.references += 1
        self._slots[copy] = Slot(row, source.nodes, source.start, source.length)

    def release(self, slot: int) -> None:
        """See `DecodingPath.release`; the last one gives all memory back."""
        gone = self._slots.pop(slot, None)
        if gone is None:
            return
        for node in gone.nodes:
            node.references -= 1
        self._store.give(gone.row)
        if not self._slots:
            self._store.clear()

    def _step(self, feeds: Sequences[Feed]) -> tuple[Step, torch.Tensor, list[int]]:
        """The step, its tokens [1, tokens], and for each feed the place of its last token; single tokens come first."""
        slots = [self._slots[feed.slot] for feed in feeds]
        tokens = np.concatenate([feed.tokens for feed in feeds]).astype(np.int64)
        ends = np.cumsum([len(feed.tokens) for feed in feeds])
        starts = [slot.start + slot.length for slot in slots]
        positions = np.concatenate(
            [np.arange(start, start + len(feed.tokens)) for start, feed in zip(starts, feeds, strict=True)]
        )
        singles = sum(len(feed.tokens) == 1 for feed in feeds)
        chunks = tuple(
            Chunk(int(end) - len(feed.tokens), len(feed.tokens), slot.row, slot.length, slot.start)
            for feed, slot, end in zip(feeds[singles:], slots[singles:], ends[singles:], strict=True)
        )
        users: dict[int, tuple[Node, list[np.ndarray]]] = {}
        for feed, slot, end in zip(feeds, slots, ends, strict=True):
            for node in slot.nodes:
                users.setdefault(id(node), (node, []))[1].append(np.arange(end - len(feed.tokens), end))
        step = Step(
            store=self._store,
            positions=to_device(positions.astype(np.int64), self.device),
            singles=self._singles(slots[:singles]) if singles else None,
            chunks=chunks,
            shared=tuple(
                Shared(node, to_device(np.concatenate(places).astype(np.int64), self.device))
                for node, places in users.values()
            ),
        )
        return step, to_device(tokens, self.device)[None], [int(end) - 1 for end in ends]

    def _singles(self, slots: Sequences[Slot]) -> Singles:
        rows = np.array([slot.row for slot in slots], dtype=np.int64)
        count = int(rows.max()) + 1
        lengths, starts = np.ones(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
        lengths[rows] = [slot.length + 1 for slot in slots]
        starts[rows] = [slot.start for slot in slots]
        blocks = tuple(
            (first, min(first + self.block_rows, count), int(lengths[first : first + self.block_rows].max()))
            for first in range(0, count, self.block_rows)
        )
        on_rows, on_lengths, positions, on_starts = (
            to_device(array, self.device) for array in (rows, lengths, starts + lengths - 1, starts)
        )
        return Singles(on_rows, on_lengths, positions, on_starts, blocks)

    def _compact(self) -> None:
        """Moves the highest rows into lower free ones where many rows would be worked through for nothing."""
        used = sorted(self._slots.values(), key=lambda slot: slot.row)
        while used and used[-1].row + 1 > len(used) * (1 + IDLE_ROWS) + 1:
            last, row = used.pop(), self._store.take()
            self._store.copy(last, row)
            self._store.give(last.row)
            last.row = row
            used = sorted([*used, last], key=lambda slot: slot.row)
