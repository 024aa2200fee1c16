"""The packed decoding path against plain forward passes: joins, forks, growth and gaps between rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from evalkit.engine.generation.path import Feed
from evalkit.engine.sequences import TokenArray
from tests.engine.generation.support import load, next_logits, packed, random_tokens
from tests.engine.test_engine import PACKED


def with_sinks() -> Any:
    """A tiny gpt-oss: attention sinks, and a window on every other layer."""
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(
        "gpt_oss",
        vocab_size=416,
        hidden_size=48,
        intermediate_size=32,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=12,
        sliding_window=12,
        num_local_experts=4,
        num_experts_per_tok=2,
        initializer_range=0.2,
        pad_token_id=1,
        max_position_embeddings=512,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
    )
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "sinks" in name or name.endswith("bias"):
                parameter.normal_(0.0, 0.5)
    return model


@pytest.mark.parametrize("name", [*PACKED, "gpt_oss"])
def test_logits_are_those_of_plain_forward_passes(name: str, tmp_path: Path) -> None:
    model = with_sinks() if name == "gpt_oss" else load(name, tmp_path)
    path = packed(model)
    prefix = random_tokens(90, 0)
    tails = [random_tokens(count, count) for count in (3, 1, 30, 17)]
    path.feed([Feed(0, prefix[:15])])
    path.feed([Feed(0, prefix[15:]), Feed(5, random_tokens(25, 9))])
    texts: dict[int, TokenArray] = {0: prefix, 5: random_tokens(25, 9)}
    for slot, tail in enumerate(tails, start=1):
        path.fork(0, slot)
        texts[slot] = prefix
        texts = advanced(path, model, texts, {slot: tail})
    path.fork(3, 7)  # what is short is copied
    texts[7] = texts[3]
    generator = np.random.default_rng(0)
    for step in range(14):
        if step in (4, 8):  # rows fall free below others
            path.release(step // 4)
            del texts[step // 4]
        if step == 10:  # far beyond what rows held
            texts = advanced(path, model, texts, {3: random_tokens(150, 3)})
        new = {slot: generator.integers(2, 400, 1).astype(np.int32) for slot in texts if slot}
        texts = advanced(path, model, texts, new)
    for slot in list(texts):
        path.release(slot)
    assert not path._store.states


def advanced(path: Any, model: Any, texts: dict[int, TokenArray], new: dict[int, TokenArray]) -> dict[int, TokenArray]:
    """Feeds tokens, and compares the logits with those of the whole texts."""
    logits = path.feed([Feed(slot, tokens) for slot, tokens in new.items()])
    texts = texts | {slot: np.concatenate([texts[slot], tokens]) for slot, tokens in new.items()}
    for row, slot in zip(logits, new, strict=True):
        assert torch.allclose(row, next_logits(model, texts[slot]), atol=5e-5)
    return texts


def test_bfloat16_stays_near_float32(tmp_path: Path) -> None:
    model = load("llama", tmp_path)
    prompt = random_tokens(40, 0)
    expected = torch.log_softmax(next_logits(model, prompt), -1)
    path = packed(model.to(torch.bfloat16))
    path.feed([Feed(0, prompt[:30])])
    path.fork(0, 1)
    path.feed([Feed(1, prompt[30:39])])
    logits = path.feed([Feed(1, prompt[39:]), Feed(2, prompt[:5])])
    assert logits.dtype == torch.float32
    assert (torch.log_softmax(logits[0], -1) - expected).abs().max() < 0.5


def test_explicit_attention_is_the_kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What accelerators and soft caps use, on the CPU."""
    from evalkit.engine.generation import attention

    generator = torch.Generator().manual_seed(0)
    queries, keys, values = (torch.randn(2, 3, count, 16, generator=generator) for count in (4, 9, 9))
    masks = [None, torch.where(torch.rand(2, 1, 1, 9, generator=generator) < 0.5, 0.0, -torch.inf)]
    masks[1][..., 0] = 0.0
    for mask in masks:
        fused = attention._attend(queries, keys[:, :1], values[:, :1], mask, False, 0.3, None)
        explicit = attention._attend(queries, keys[:, :1], values[:, :1], mask, False, 0.3, 1e6)
        for one, other in zip(fused, explicit, strict=True):
            assert torch.allclose(one, other, atol=1e-4)
    causal = [attention._attend(queries, keys[:, :, :4], values[:, :, :4], None, True, 0.3, cap) for cap in (None, 1e6)]
    for one, other in zip(*causal, strict=True):
        assert torch.allclose(one, other, atol=1e-4)
