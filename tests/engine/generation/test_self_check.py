"""Which path generates is decided by numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from evalkit.engine.forward import SplitModel
from evalkit.engine.generation import attention
from evalkit.engine.generation.self_check import choose_decoding_path
from tests.engine.generation.support import load
from tests.engine.test_engine import PACKED, PADDED


@pytest.mark.parametrize("name", PACKED)
def test_models_with_common_attention_are_packed(name: str, tmp_path: Path) -> None:
    path, check = choose_decoding_path(SplitModel(load(name, tmp_path)), 512)
    assert path.name == check.path == "packed"
    assert check.packed_difference is not None
    assert check.packed_difference < 1e-4
    assert path.room([], []) == 0
    assert not path._slots


@pytest.mark.parametrize("name", PADDED)
def test_models_with_other_state_write_over_their_caches(name: str, tmp_path: Path) -> None:
    path, check = choose_decoding_path(SplitModel(load(name, tmp_path)), 512)
    assert path.name == check.path == "cached"
    assert check.packed_difference is None or check.packed_difference > check.tolerance
    assert check.fallback_difference is not None
    assert check.fallback_difference < 1e-4
    assert check.batching == "padded"


def test_a_path_that_forgets_the_window_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = attention._step_mask

    def blind(*, mask_function: object, dtype: torch.dtype, **_: object) -> attention.StepMask:
        return original(mask_function=lambda _b, _h, query, key: key <= query, dtype=dtype)

    monkeypatch.setitem(attention.AttentionMaskInterface._global_mapping, attention.NAME, blind)
    choose_decoding_path(SplitModel(load("llama", tmp_path)), 512)
    path, check = choose_decoding_path(SplitModel(load("mistral", tmp_path)), 512)
    assert path.name == "cached"
    assert check.packed_difference is not None
    assert check.packed_difference > 0.01


def test_half_precision_is_given_its_noise(tmp_path: Path) -> None:
    path, check = choose_decoding_path(SplitModel(load("llama", tmp_path).to(torch.bfloat16)), 512)
    assert path.name == "packed"
    assert check.tolerance >= 0.1


@pytest.mark.parametrize("max_length", [3, 14, 20])
def test_a_short_context_is_enough(max_length: int, tmp_path: Path) -> None:
    assert choose_decoding_path(SplitModel(load("llama", tmp_path)), max_length)[0].name == "packed"
