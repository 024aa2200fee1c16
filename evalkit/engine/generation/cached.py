"""Decoding over transformers' own caches, for models that cannot be packed (state-space layers, attention of their own).

Prompts are fed together as far as the model agrees with itself when they are (`choose_fallback_decoding`).
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Sequence as Sequences
from typing import Any, Literal

import numpy as np
import torch

from evalkit.engine import memory
from evalkit.engine.forward import SplitModel
from evalkit.engine.generation.path import Feed
from evalkit.engine.generation.rows import Rows
from evalkit.engine.paths import padded
from evalkit.engine.sequences import TokenArray
from evalkit.engine.transfer import to_device

Batching = Literal["padded", "equal lengths", "single"]
"""Which prompts share a batch: all, padded; those of one length; none."""


class CachedPath(ABC):
    """What decoding over transformers' caches has in common, whatever the kind of model.

    Args:
        split: The model.
        batching: Which prompts share a batch.
        memory_bytes: What the caches may take; None for a share of the device's free memory.

    Attributes:
        tokens_computed: Tokens put through the model (padding not counted).
    """

    name: str
    joins = False

    def __init__(self, split: SplitModel, batching: Batching = "padded", *, memory_bytes: int | None = None) -> None:
        self.split = split
        self.batching = batching
        self.device = split.core.device
        self.tokens_computed = 0
        self._memory_bytes = memory_bytes
        self._groups: list[Rows] = []

    def room(self, prompts: Sequences[TokenArray], new_tokens: Sequences[int]) -> int:
        """How many fit the memory side by side, all as long as the longest; none while slots are in use."""
        if self._groups:
            return 0
        if self._memory_bytes is None:
            self._memory_bytes = memory.generation_bytes(self.device)
        footprint = memory.Footprint.of(self.split)
        limit = self.split.position_limit
        longest = width = 0
        for count, (prompt, more) in enumerate(zip(prompts, new_tokens, strict=True)):
            if limit is not None and len(prompt) + more > limit:
                return max(count, 1)  # it would move the positions of others: it comes alone
            longest, width = max(longest, len(prompt) + more), max(width, len(prompt))
            # what grows is there twice while it is moved; a prompt's states and its next token's logits come on top
            state = 2 * longest * footprint.carried + width * footprint.token + 8 * self.split.vocabulary
            if (count + 1) * state > self._memory_bytes:
                return count
        return len(prompts)

    def feed(self, feeds: Sequences[Feed]) -> torch.Tensor:
        """See `DecodingPath.feed`. Tokens after a prompt go in one by one: not all layers take several at once."""
        known = {slot for group in self._groups for slot in group.slots}
        with torch.inference_mode():
            new = [place for place, feed in enumerate(feeds) if feed.slot not in known]
            logits: dict[int, torch.Tensor] = self._start([feeds[place] for place in new]) if new else {}
            going_on = [feed for feed in feeds if feed.slot in known]
            for place in range(max((len(feed.tokens) for feed in going_on), default=0)):
                tokens = {feed.slot: int(feed.tokens[place]) for feed in going_on if place < len(feed.tokens)}
                logits.update(self._go_on(tokens))
            return torch.stack([logits[feed.slot] for feed in feeds]).float()

    def fork(self, slot: int, copy: int) -> None:
        """See `DecodingPath.fork`: both stand on one row until the next step."""
        group = next(group for group in self._groups if slot in group.slots)
        group.slots[copy] = group.slots[slot]

    def release(self, slot: int) -> None:
        """See `DecodingPath.release`; a slot whose first feed failed is forgotten already."""
        for group in list(self._groups):
            group.slots.pop(slot, None)
            if not group.slots:
                self._groups.remove(group)

    def clear(self) -> None:
        """Forgets all slots."""
        self._groups.clear()

    def _start(self, feeds: Sequences[Feed]) -> dict[int, torch.Tensor]:
        """Puts prompts through the model, each distinct one once; returns each slot's logits."""
        slots: dict[bytes, list[int]] = {}
        prompts: dict[bytes, TokenArray] = {}
        for feed in feeds:
            key = feed.tokens.tobytes()
            slots.setdefault(key, []).append(feed.slot)
            prompts[key] = feed.tokens
        logits: dict[int, torch.Tensor] = {}
        for batch in self._batches(prompts):
            cache, mask, lengths, own = self._prompts([prompts[key] for key in batch])
            rows = {slot: row for row, key in enumerate(batch) for slot in slots[key]}
            self._groups.append(Rows(cache, mask, lengths, rows))
            logits.update({slot: own[row] for slot, row in rows.items()})
        return logits

    def _batches(self, prompts: dict[bytes, TokenArray]) -> list[list[bytes]]:
        if self.batching == "padded":
            return [list(prompts)]
        if self.batching == "single":
            return [[key] for key in prompts]
        lengths: dict[int, list[bytes]] = {}
        for key, tokens in prompts.items():
            lengths.setdefault(len(tokens), []).append(key)
        return list(lengths.values())

    def _go_on(self, tokens: dict[int, int]) -> dict[int, torch.Tensor]:
        """One token more for some slots; returns their logits."""
        logits: dict[int, torch.Tensor] = {}
        for group in list(self._groups):
            fed = [slot for slot in group.slots if slot in tokens]
            if not fed:
                continue
            if len(fed) < len(group.slots):
                group = group.split(fed)
                self._groups.append(group)
            group.apart()
            inputs = np.zeros(len(group.lengths), dtype=np.int64)
            for slot, row in group.slots.items():
                inputs[row] = tokens[slot]
            own = self._step(group, to_device(inputs, self.device)[:, None])
            self.tokens_computed += len(fed)
            logits.update({slot: own[row] for slot, row in group.slots.items()})
        return logits

    @abstractmethod
    def _prompts(self, prompts: Sequences[TokenArray]) -> tuple[Any, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Puts distinct prompts through the model.

        Returns:
            Cache, mask and lengths of `Rows`, and the logits [prompts, vocabulary] of the token after each.
        """

    @abstractmethod
    def _step(self, rows: Rows, tokens: torch.Tensor) -> torch.Tensor:
        """Puts a token after each row, int64 [rows, 1]; logits [rows, vocabulary]."""


class CachedDecoding(CachedPath):
    """A `DecodingPath` of a causal model, prompts padded on the left."""

    name = "cached"

    def __init__(self, split: SplitModel, batching: Batching = "padded", *, memory_bytes: int | None = None) -> None:
        super().__init__(split, batching, memory_bytes=memory_bytes)
        self._takes = inspect.signature(split.core.forward).parameters
        self._cache_name = "past_key_values" if "past_key_values" in self._takes else "cache_params"

    def _prompts(self, prompts: Sequences[TokenArray]) -> tuple[Any, torch.Tensor, torch.Tensor, torch.Tensor]:
        tokens, ones = padded(prompts, left=True)
        mask = to_device(ones, self.device)
        positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
        cache, logits = self._run(to_device(tokens, self.device), mask, positions, None)
        self.tokens_computed += int(ones.sum())
        return cache, mask, mask.sum(dim=1), logits

    def _step(self, rows: Rows, tokens: torch.Tensor) -> torch.Tensor:
        rows.mask = torch.cat([rows.mask, torch.ones_like(tokens)], dim=1)
        rows.cache, logits = self._run(tokens, rows.mask, rows.lengths[:, None], rows.cache)
        rows.lengths = rows.lengths + 1
        return logits

    def _run(
        self, tokens: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor, cache: Any
    ) -> tuple[Any, torch.Tensor]:
        """One forward pass; the cache after it, and the logits of the last position."""
        inputs: dict[str, Any] = {"attention_mask": mask, "position_ids": positions, "logits_to_keep": 1}
        inputs[self._cache_name] = cache
        if cache is not None and self._cache_name == "cache_params":
            # a state-space model attends to nothing: its mask is one of the tokens given, none of which is padding
            inputs["attention_mask"] = None
        given = {name: value for name, value in inputs.items() if name in self._takes and value is not None}
        output = self.split.core(input_ids=tokens, use_cache=True, **given)
        return output[self._cache_name], output.logits[:, -1]


class UncachedDecoding:
    """A `DecodingPath` of any causal model: every step computes the whole sequences again, padded on the right.

    For models whose caches transformers cannot reorder, or whose caches give other answers than no cache.

    Args:
        split: The model.
        memory_bytes: What a step may take; None for a share of the device's free memory.
    """

    name = "uncached"
    joins = True

    def __init__(self, split: SplitModel, *, memory_bytes: int | None = None) -> None:
        self.split = split
        self.device = split.core.device
        self.tokens_computed = 0
        self._memory_bytes = memory_bytes
        self._tokens: dict[int, TokenArray] = {}

    def room(self, prompts: Sequences[TokenArray], new_tokens: Sequences[int]) -> int:
        """How many fit the memory side by side, all as long as the longest."""
        if self._memory_bytes is None:
            self._memory_bytes = memory.generation_bytes(self.device)
        footprint = memory.Footprint.of(self.split)
        longest = max((len(tokens) for tokens in self._tokens.values()), default=0)
        for count, (prompt, more) in enumerate(zip(prompts, new_tokens, strict=True)):
            longest = max(longest, len(prompt) + more)
            state = longest * (footprint.token + footprint.state) + 8 * self.split.vocabulary
            if (len(self._tokens) + count + 1) * state > self._memory_bytes:
                return count
        return len(prompts)

    def feed(self, feeds: Sequences[Feed]) -> torch.Tensor:
        """See `DecodingPath.feed`; a slot may be fed its prompt in pieces."""
        for feed in feeds:
            before = self._tokens.get(feed.slot)
            self._tokens[feed.slot] = feed.tokens if before is None else np.concatenate([before, feed.tokens])
        rows = [self._tokens[feed.slot] for feed in feeds]
        tokens, mask = padded(rows)
        ends = np.arange(len(rows)) * tokens.shape[1] + mask.sum(axis=1) - 1
        self.tokens_computed += int(mask.sum())
        with torch.inference_mode():
            states = self.split.states(input_ids=to_device(tokens, self.device))
            return self.split.logits(states.flatten(0, 1), to_device(ends, self.device))

    def fork(self, slot: int, copy: int) -> None:
        """See `DecodingPath.fork`."""
        self._tokens[copy] = self._tokens[slot]

    def release(self, slot: int) -> None:
        """See `DecodingPath.release`."""
        self._tokens.pop(slot, None)

    def clear(self) -> None:
        """Forgets all slots."""
        self._tokens.clear()
