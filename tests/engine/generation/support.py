"""What the tests of generation have in common."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from evalkit.decoding import Decoding
from evalkit.engine.forward import SplitModel
from evalkit.engine.generation.loop import Counts, Limits, generate
from evalkit.engine.generation.packed import PackedDecoding
from evalkit.engine.generation.path import DecodingPath
from evalkit.engine.generation.prompt import Prompt, Text
from evalkit.engine.sequences import TokenArray
from tests.tiny_models import tiny_model, tiny_tokenizer

TOKENIZER = tiny_tokenizer()


def decode(tokens: Sequence[int]) -> str:
    text = TOKENIZER.decode(list(tokens), skip_special_tokens=True)
    assert isinstance(text, str)
    return text


def load(name: str, folder: Path, **overrides: object) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(tiny_model(name, folder, **overrides), dtype=torch.float32).eval()


def random_tokens(count: int, seed: int) -> TokenArray:
    return np.random.default_rng(seed).integers(2, 400, count).astype(np.int32)


def ragged_prompts() -> list[TokenArray]:
    """Prompts of many lengths: some share a prefix beyond a sliding window, two are the same, one is one token long."""
    prefix = random_tokens(40, 0)
    sharing = [np.concatenate([prefix, random_tokens(count, 10 + count)]) for count in (3, 1, 30, 17, 5)]
    nested = [np.concatenate([sharing[2], random_tokens(count, 20 + count)]) for count in (4, 9)]
    return [*sharing, sharing[0].copy(), *nested, *(random_tokens(count, count) for count in (25, 1, 60))]


def written(
    path: DecodingPath, prompts: Sequence[Prompt], limits: Limits, counts: Counts | None = None, **options: bool
) -> list[tuple[Text, ...]]:
    """The texts of each prompt."""
    found = dict(one for finished in generate(path, prompts, decode, limits, counts, **options) for one in finished)
    return [found[index] for index in range(len(prompts))]


def packed(model: Any) -> PackedDecoding:
    return PackedDecoding(SplitModel(model))


def next_logits(model: Any, tokens: TokenArray) -> torch.Tensor:
    """float32 [vocabulary]: logits of the token after these, by a plain forward pass."""
    with torch.inference_mode():
        logits: torch.Tensor = model(input_ids=torch.from_numpy(tokens.astype(np.int64))[None], use_cache=False).logits
    return logits[0, -1]


def transformers_generate(model: Any, prompt: TokenArray, ends: frozenset[int], decoding: Decoding) -> Any:
    """What transformers' own `generate` writes: sequences without the prompt, cut behind an end token, and scores."""
    tokens = torch.from_numpy(prompt.astype(np.int64))[None].to(model.device)
    with torch.inference_mode():
        output = model.generate(
            tokens,
            attention_mask=torch.ones_like(tokens),
            max_new_tokens=decoding.max_new_tokens,
            do_sample=False,
            num_beams=decoding.beams,
            num_return_sequences=decoding.beams,
            length_penalty=decoding.length_penalty,
            eos_token_id=sorted(ends),
            pad_token_id=1,
            return_dict_in_generate=True,
            output_scores=True,
        )
    sequences = []
    for row in output.sequences[:, len(prompt) :].tolist():
        end = next((place + 1 for place, token in enumerate(row) if token in ends), len(row))
        sequences.append(tuple(row[:end]))
    return sequences, output.sequences_scores.tolist() if decoding.beams > 1 else None
