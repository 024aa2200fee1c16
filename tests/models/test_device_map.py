"""Models whose layers are not all in one place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import dispatch_model

import evalkit
from evalkit.engine.attention import GroupPlan, PackedMask
from evalkit.engine.engine import Engine
from evalkit.errors import UsageError
from evalkit.models import ModelOptions, load_model
from tests.engine.test_engine import few_shot_tree, load, scores
from tests.tiny_models import tiny_model


def test_layers_elsewhere_give_the_same_bits(tmp_path: Path) -> None:
    """One of the layers is on the disk, and accelerate's hooks bring it in for each pass."""
    sequences = few_shot_tree()
    expected = scores(Engine(load("llama", tmp_path), 512, token_budget=64), sequences)
    model = load("llama", tmp_path)
    places = {"model.embed_tokens": "cpu", "model.layers.0": "cpu", "model.layers.1": "disk"}
    places |= {"model.norm": "cpu", "model.rotary_emb": "cpu", "lm_head": "cpu"}
    dispatched = dispatch_model(model, places, main_device="cpu", offload_dir=str(tmp_path / "offloaded"))
    assert dispatched.model.layers[1].mlp.up_proj.weight.device.type == "meta"
    engine = Engine(dispatched, 512, token_budget=64)
    assert engine.check.path == "packed"
    for one, reference in zip(scores(engine, sequences), expected, strict=True):
        np.testing.assert_array_equal(one, reference)


def test_a_mapped_model_is_the_model(tmp_path: Path) -> None:
    model = str(tiny_model("llama", tmp_path))
    mapped, plain = (load_model(model, ModelOptions(device_map=one)) for one in ("auto", None))
    assert mapped.info == plain.info
    sequences = few_shot_tree()
    values = [scores(Engine(one.model, 512), sequences) for one in (mapped, plain)]
    np.testing.assert_array_equal(np.concatenate(values[0]), np.concatenate(values[1]))


def test_groups_are_copied_to_another_device_once() -> None:
    groups = (GroupPlan(0, 2, torch.tensor([0, 1]), 2, None), GroupPlan(2, 3, None, 3, torch.zeros(1, 3)))
    mask = PackedMask(groups)
    assert mask.on(torch.device("cpu")) is groups
    other = mask.on(torch.device("meta"))
    assert [one.device.type for group in other for one in (group.keys, group.mask) if one is not None] == ["meta"] * 2
    assert mask.on(torch.device("meta")) is other


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"device_map": "all"}, "'all' is not a device map"),
        ({"device_map": "auto", "device": "cpu"}, "a device map takes all devices"),
        ({"device_map": "auto", "workers": 2}, "--device-map spreads one model over all devices"),
        ({"workers": 2, "model": "openai:m@http://127.0.0.1:9/v1"}, "are for models that the built-in engine loads"),
        ({"device_map": "auto", "model": "vllm:m"}, "are for models that the built-in engine loads"),
    ],
)
def test_what_cannot_be_meant(given: dict[str, object], message: str, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("a b c")
    model = str(tiny_model("llama", tmp_path))
    with pytest.raises(UsageError, match=message):
        evalkit.run(**{"model": model, "tasks": f"perplexity:{tmp_path / 'text.txt'}", **given})  # type: ignore[arg-type]
