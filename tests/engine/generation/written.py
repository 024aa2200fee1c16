"""Texts written by a path through the generation loop, and by transformers' `generate`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from evalkit.decoding import Decoding
from evalkit.engine.generation.loop import Limits
from evalkit.engine.generation.path import DecodingPath
from evalkit.engine.generation.prompt import Prompt, Text
from tests.engine.generation import support

END = 1


def prompts(lengths: tuple[int, ...], seed: int = 7) -> list[np.ndarray]:
    """Random prompts of tokens that are not special."""
    random = np.random.default_rng(seed)
    return [random.integers(5, 390, length).astype(np.int32) for length in lengths]


def written(path: DecodingPath, tokens: list[np.ndarray], slots: int = 64, **decoding: Any) -> list[tuple[Text, ...]]:
    """What the loop writes after each prompt; no slot is left behind."""
    asked = [Prompt(one, Decoding(**decoding), frozenset({END})) for one in tokens]
    texts = support.written(path, asked, Limits(slots, 512))
    assert path.room(tokens[:1], [1]) == 1
    return texts


def expected(model: torch.nn.Module, tokens: np.ndarray, **settings: Any) -> tuple[tuple[int, ...], float | None]:
    """Tokens after one prompt by transformers' `generate`, an end token included, and the score of a beam search."""
    inputs = torch.from_numpy(tokens.astype(np.int64))[None]
    output = model.generate(
        inputs,
        attention_mask=torch.ones_like(inputs),
        do_sample=False,
        eos_token_id=END,
        return_dict_in_generate=True,
        output_scores=True,
        **settings,
    )
    ids = output.sequences[0].tolist()[1 if model.config.is_encoder_decoder else len(tokens) :]
    if END in ids:
        ids = ids[: ids.index(END) + 1]
    scores = getattr(output, "sequences_scores", None)
    return tuple(ids), None if scores is None else float(scores[0])
