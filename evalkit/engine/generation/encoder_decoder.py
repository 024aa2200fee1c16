"""Decoding with encoder-decoder models: a prompt is what the encoder reads, once, and the decoder writes after it."""

from __future__ import annotations

from collections.abc import Sequence as Sequences
from typing import Any

import torch

from evalkit.engine.encoder_decoder import EncoderDecoderModel, encoder_output
from evalkit.engine.generation.cached import Batching, CachedPath
from evalkit.engine.generation.rows import Rows
from evalkit.engine.paths import padded
from evalkit.engine.sequences import TokenArray
from evalkit.engine.transfer import to_device


class EncoderDecoderDecoding(CachedPath):
    """A `DecodingPath` of an encoder-decoder.

    The first feed of a slot goes to the encoder. The decoder begins with the model's start token; where the generation
    settings force the token after it (mBART-50's target language), only that one has a finite logit, so that it is the
    first token generated, as in transformers' `generate`. Tokens that the settings forbid (Marian's padding) have none.

    Args:
        split: The model.
        batching: Which prompts share a batch.
        memory_bytes: What the caches may take; None for a share of the device's free memory.
        restrict: Force and forbid tokens as the model's generation settings say; False gives the bare logits.
    """

    name = "encoder-decoder"

    def __init__(
        self,
        split: EncoderDecoderModel,
        batching: Batching = "padded",
        *,
        memory_bytes: int | None = None,
        restrict: bool = True,
    ) -> None:
        super().__init__(split, batching, memory_bytes=memory_bytes)
        self.model = split
        self.start = int(split.start[0])
        self.forced = split.start[1:].tolist() if restrict else []
        self.forbidden = forbidden_tokens(split.core.generation_config) if restrict else []

    def _prompts(self, prompts: Sequences[TokenArray]) -> tuple[Any, torch.Tensor, torch.Tensor, torch.Tensor]:
        tokens, ones = padded(prompts)
        mask = to_device(ones, self.device)
        encoded = self.model.encode(to_device(tokens, self.device), mask)
        lengths = torch.zeros(len(prompts), dtype=torch.long, device=self.device)
        # the hidden states go along: models ask for them although their keys and values are cached
        rows = Rows(_State(None, encoded), mask, lengths, {})
        start = torch.full((len(prompts), 1), self.start, device=self.device)
        logits = self._step(rows, start)
        self.tokens_computed += int(ones.sum()) + len(prompts)
        return rows.cache, mask, rows.lengths, logits

    def _step(self, rows: Rows, tokens: torch.Tensor) -> torch.Tensor:
        output = self.split.core(
            encoder_outputs=encoder_output(rows.cache.encoded),
            attention_mask=rows.mask,
            decoder_input_ids=tokens,
            past_key_values=rows.cache.cache,
            use_cache=True,
        )
        rows.cache.cache = output.past_key_values
        logits = self._restricted(output.logits[:, -1].float(), rows.lengths)
        rows.lengths = rows.lengths + 1
        return logits

    def _restricted(self, logits: torch.Tensor, written: torch.Tensor) -> torch.Tensor:
        """The logits without those of tokens that the settings do not allow; the start is not counted as written."""
        if self.forbidden:
            logits[:, self.forbidden] = -torch.inf
        for place, token in enumerate(self.forced):
            allowed = torch.full_like(logits, -torch.inf)
            allowed[:, token] = 0.0
            logits = torch.where((written == place)[:, None], allowed, logits)
        return logits


class _State:
    """What an encoder-decoder keeps: the cache of its decoder, and the encoder's hidden states.

    Args:
        cache: None before the first step.
        encoded: [rows, tokens, size].
    """

    def __init__(self, cache: Any, encoded: torch.Tensor) -> None:
        self.cache = cache
        self.encoded = encoded

    def reorder_cache(self, rows: torch.Tensor) -> None:
        """Selects rows."""
        self.cache.reorder_cache(rows)
        self.encoded = self.encoded[rows]


def forbidden_tokens(generation: Any) -> list[int]:
    """Tokens that a model's generation settings never let it write: `suppress_tokens`, `bad_words_ids` of one token."""
    words = [word[0] for word in getattr(generation, "bad_words_ids", None) or () if len(word) == 1]
    return sorted({*words, *(getattr(generation, "suppress_tokens", None) or ())})
