"""Models whose layers lie in several places. There is one device here: what "does not fit" is on disk, and fetched."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import evalkit
from evalkit.backends.local import LocalBackend
from evalkit.decoding import Decoding
from evalkit.errors import ModelError, UsageError
from evalkit.models import ModelOptions, load_model, open_model
from evalkit.models.placement import check_placed, device_map_of, left_out
from evalkit.requests import Generate, Request, Roll, Score
from tests.tiny_models import tiny_model

PREFIX = "The quick brown fox jumps over the lazy dog. " * 3
REQUESTS: list[Request] = [
    Score(PREFIX, "A stitch"),
    Score(PREFIX, "A stitch in time"),
    Roll("She poured the water into the kettle. " * 4),
    Generate(PREFIX, Decoding(max_new_tokens=6)),
]
HALF = {
    "model.embed_tokens": "cpu",
    "model.rotary_emb": "cpu",
    "model.layers.0": "cpu",
    "model.layers.1": "disk",
    "model.norm": "cpu",
    "lm_head": "disk",
}
# a tied head is the embedding, so both are in one place
HALF_TIED = HALF | {"model.layers.2": "disk", "model.layers.3": "cpu", "lm_head": "cpu"}


@pytest.mark.parametrize(("name", "places"), [("llama", HALF), ("gemma3", HALF_TIED)])
def test_layers_on_disk_give_the_same_bits(
    name: str, places: dict[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = str(tiny_model(name, tmp_path))
    plain = LocalBackend(load_model(folder))
    with caplog.at_level(logging.WARNING, logger="evalkit.models"):
        spread = LocalBackend(load_model(folder, ModelOptions(device_map=places)))
    assert f"{list(places.values()).count('disk')} modules fit no device" in caplog.text
    kinds = {parameter.device.type for parameter in spread.loaded.model.parameters()}
    assert kinds == {"cpu", "meta"}
    assert dict(spread.answer(REQUESTS)) == dict(plain.answer(REQUESTS))
    assert spread.engine.path.name == spread.engine.generator.path.name == "packed"
    assert spread.info == plain.info
    assert str(spread.loaded.device) == spread.device == "cpu"


@pytest.mark.parametrize("device_map", ["auto", "balanced", "sequential"])
def test_a_model_that_fits_is_on_one_device(device_map: str, tiny_llama: Path) -> None:
    loaded = load_model(str(tiny_llama), ModelOptions(device_map=device_map))
    assert left_out(loaded.model) == []
    assert dict(LocalBackend(loaded).answer(REQUESTS)) == dict(
        LocalBackend(load_model(str(tiny_llama))).answer(REQUESTS)
    )


def test_files_are_watched_and_those_read_again_must_not_be_replaced(tiny_llama: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(tiny_llama, tmp_path / "m"))
    mapped = load_model(str(copy), ModelOptions(device_map="auto"))
    read = load_model(str(copy), ModelOptions(device_map=HALF))
    assert mapped.files is not None
    assert read.files is not None
    other = copy / "other"
    other.write_bytes((copy / "model.safetensors").read_bytes())
    other.rename(copy / "model.safetensors")
    mapped.files.check(replaced=False)
    with pytest.raises(ModelError, match=r"model\.safetensors .* was changed while it was in use"):
        read.files.check(replaced=False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (ModelOptions(device_map="spread"), "'spread' is not a device map"),
        (ModelOptions(device_map="auto", device="cpu"), "--device cpu puts the model on one device"),
    ],
)
def test_options_that_cannot_be_meant(options: ModelOptions, message: str, tiny_llama: Path) -> None:
    with pytest.raises(UsageError, match=message):
        open_model(str(tiny_llama), options)


def test_an_incomplete_map(tiny_llama: Path) -> None:
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_model(str(tiny_llama), ModelOptions(device_map={"model.layers.0": "disk"}))


def test_without_accelerate(tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def found(name: str) -> ModuleSpec | None:
        return None if name == "accelerate" else ModuleSpec(name, None)

    monkeypatch.setattr("importlib.util.find_spec", found)
    with pytest.raises(UsageError, match="needs the package accelerate") as error:
        open_model(str(tiny_llama), ModelOptions(device_map="auto"))
    assert "pip install accelerate" in str(error.value.hint)


def test_an_encoder_decoder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="decoder-only"):
        open_model(str(tiny_model("t5", tmp_path)), ModelOptions(device_map="auto"))


def test_converted_weights_cannot_be_read_layer_by_layer(tmp_path: Path) -> None:
    folder = tiny_model("mixtral", tmp_path)  # transformers joins the experts' matrices as it loads them
    with pytest.raises(ModelError, match="cannot be read layer by layer"):
        load_model(str(folder), ModelOptions(device_map=HALF))


def model_at(places: dict[str, Any], device: str = "cuda") -> Any:
    return SimpleNamespace(hf_device_map=places, device=SimpleNamespace(type=device))


def test_what_is_left_out_depends_on_where_the_model_computes() -> None:
    assert left_out(model_at({"a": 0, "b": "cpu", "c": "disk"})) == ["b", "c"]
    assert left_out(model_at({"a": "cpu", "b": "disk"}, "cpu")) == ["b"]
    assert left_out(model_at({"a": 0, "b": 1})) == []
    assert device_map_of(model_at({"a": 0})) == {"a": "0"}


def test_a_model_of_which_too_little_fits_is_refused() -> None:
    check_placed(model_at({"a": 0, "b": "cpu"}), "m", has_adapter=False)
    check_placed(model_at({"a": 0, "b": 1}), "m", has_adapter=True)
    with pytest.raises(ModelError, match="an adapter needs all of it"):
        check_placed(model_at({"a": 0, "b": "cpu"}), "m", has_adapter=True)
    with pytest.raises(ModelError, match="not even its embedding"):
        check_placed(model_at({"a": "cpu", "b": 0}, "meta"), "m", has_adapter=False)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"device_map": "auto", "model": "vllm:org/name"}, ["built-in engine", "--tensor-parallel"]),
        ({"device_map": "auto", "model": "openai:m@http://127.0.0.1:1/v1"}, ["built-in engine"]),
        ({"device_map": "auto", "model": object()}, ["built-in engine"]),
        ({"device_map": "auto", "device": "cuda"}, ["--device cuda", "CUDA_VISIBLE_DEVICES"]),
        ({"tensor_parallel": 2}, ["vLLM", "--model vllm:MODEL"]),
        ({"tensor_parallel": 2, "model": "openai:m@http://127.0.0.1:1/v1"}, ["vLLM"]),
        ({"tensor_parallel": 0, "model": "vllm:org/name"}, ["no number of devices"]),
    ],
)
def test_an_engine_that_does_not_have_it_is_told_before_anything_is_read(
    options: dict[str, Any], words: Sequence[str]
) -> None:
    for ask in (evalkit.Evaluation(tasks="arc_easy", **options).parts, evalkit.Evaluation(tasks="", **options).backend):
        with pytest.raises(UsageError) as error:
            ask()
        assert all(word in f"{error.value} {error.value.hint}" for word in words)
