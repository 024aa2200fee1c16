"""Loading whole models, and every way in which a checkpoint can be unfit: each must stop with one plain sentence."""

import json
import logging
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from evalkit.errors import ModelError, UsageError
from evalkit.models import ModelOptions, load_model, open_model
from tests.tiny_models import NAMES, tiny_model, tiny_tokenizer


@pytest.fixture
def copy(tiny_llama: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_llama, tmp_path / "copy"))


def edit_config(folder: Path, **fields: object) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


def edit_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    file = folder / "model.safetensors"
    weights = {name: tensor.clone() for name, tensor in load_file(file).items()}
    change(weights)
    save_file(weights, file, metadata={"format": "pt"})


def refused(folder: Path, message: str, options: ModelOptions | None = None) -> ModelError:
    with pytest.raises(ModelError, match=message) as caught:
        load_model(str(folder), options)
    assert caught.value.hint
    assert "\n" not in caught.value.message
    return caught.value


@pytest.mark.parametrize("name", NAMES)
def test_loads_as_saved(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tiny_model(name, tmp_path_factory.getbasetemp())
    loaded = load_model(str(folder))
    stored = load_file(folder / "model.safetensors")
    assert (loaded.dtype, loaded.device.type, loaded.info.dtype) == (torch.float32, "cpu", "float32")
    assert not loaded.model.training
    assert not any(parameter.requires_grad for parameter in loaded.model.parameters())
    assert loaded.info.parameters == sum(tensor.numel() for tensor in stored.values())
    weight = loaded.model.get_input_embeddings().weight
    assert any(torch.equal(weight, tensor) for tensor in stored.values())


def test_opened_before_loaded(tiny_llama: Path, copy: Path) -> None:
    opened, loaded = open_model(str(tiny_llama)), load_model(str(tiny_llama))
    assert (opened.max_length, opened.prefix_token, opened.device.type) == (512, loaded.prefix_token, "cpu")
    assert opened.tokenizer.encode("The fox") == loaded.tokenizer.encode("The fox")
    assert opened.load().info == loaded.info
    edit_weights(copy, lambda weights: weights.pop("lm_head.weight"))
    damaged = open_model(str(copy))
    with pytest.raises(ModelError, match="lacks weights"):
        damaged.load()
    (copy / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="no weights"):  # what can be seen without loading is seen at once
        open_model(str(copy))


def test_identity(tiny_llama: Path) -> None:
    info = load_model(str(tiny_llama)).info
    assert (info.name, info.source, info.revision, info.adapter) == (str(tiny_llama), "directory", None, None)
    assert info.extra.keys() == {"architecture", "config_sha256"}


def test_content_is_the_same_under_another_name_and_another_after_any_change(tiny_llama: Path, tmp_path: Path) -> None:
    content = load_model(str(tiny_llama)).info.content()
    copy = tmp_path / "renamed"
    shutil.copytree(tiny_llama, copy)
    assert load_model(str(copy)).info.content() == content
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "rms_norm_eps": 1e-3, "_name_or_path": "elsewhere"}))
    changed = load_model(str(copy)).info.content()
    assert {name for name in content if content[name] != changed[name]} == {"config_sha256"}
    retrained = bytearray((tiny_llama / "model.safetensors").read_bytes())
    retrained[-1] ^= 1
    (copy / "config.json").write_text(json.dumps(config))
    (copy / "model.safetensors").write_bytes(retrained)
    other = load_model(str(copy)).info.content()
    assert {name for name in content if content[name] != other[name]} == {"weights_sha256"}


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("tokenizer_config.json", {"eos_token": "a"}),
        ("tokenizer_config.json", {"clean_up_tokenization_spaces": True}),
        ("generation_config.json", {"eos_token_id": [5, 6]}),
        ("generation_config.json", {"suppress_tokens": [7]}),
    ],
)
def test_what_ends_and_decodes_texts_is_part_of_the_content(
    name: str, changed: dict[str, Any], copy: Path, tiny_llama: Path
) -> None:
    file = copy / name
    known = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps(known | changed))
    before, after = load_model(str(tiny_llama)).info.content(), load_model(str(copy)).info.content()
    assert "config_sha256" in {field for field in before if before[field] != after[field]}


def test_a_file_that_is_written_over_changes_no_model_that_was_read_from_it(copy: Path) -> None:
    weights = copy / "model.safetensors"
    loaded = load_model(str(copy))
    before = [one.clone() for one in loaded.model.parameters()]
    with weights.open("r+b") as stream:  # as a training that saves to the same folder does
        stream.seek(weights.stat().st_size // 2)
        stream.write(b"\x01" * (weights.stat().st_size // 4))
    with weights.open("wb") as stream:  # a mapped file that gets shorter ends the process
        stream.write(b"short")
    assert all(bool((one == old).all()) for one, old in zip(loaded.model.parameters(), before, strict=True))
    assert loaded.files is None


def test_pickled_weights_are_mapped_and_watched(copy: Path) -> None:
    weights = copy / "pytorch_model.bin"
    torch.save(load_file(copy / "model.safetensors"), weights)
    (copy / "model.safetensors").unlink()
    loaded = load_model(str(copy), ModelOptions(allow_pickle=True))
    assert loaded.files is not None
    loaded.files.check(replaced=False)
    again = copy / "again"
    again.write_bytes(weights.read_bytes())
    again.rename(weights)  # another file of the same name leaves the mapped one alone
    loaded.files.check(replaced=False)
    with pytest.raises(ModelError, match="was changed while it was in use"):
        loaded.files.check()
    loaded = load_model(str(copy), ModelOptions(allow_pickle=True))
    assert loaded.files is not None
    with weights.open("r+b") as stream:
        stream.seek(weights.stat().st_size // 2)
        stream.write(b"\x01" * 100)
    with pytest.raises(ModelError, match=r"pytorch_model\.bin .* was changed while it was in use"):
        loaded.files.check(replaced=False)


def test_dtype_option(tiny_llama: Path) -> None:
    loaded = load_model(str(tiny_llama), ModelOptions(dtype="bf16"))
    assert loaded.dtype == torch.bfloat16
    assert {parameter.dtype for parameter in loaded.model.parameters()} == {torch.bfloat16}
    assert loaded.info.dtype == "bfloat16"


@pytest.mark.parametrize(
    "options", [ModelOptions(dtype="int7"), ModelOptions(device="toaster"), ModelOptions(device="cuda:99")]
)
def test_unknown_dtype_or_device(options: ModelOptions, tiny_llama: Path) -> None:
    with pytest.raises(UsageError, match=r"int7|toaster|cuda:99"):
        load_model(str(tiny_llama), options)


def test_nothing_is_printed(tiny_llama: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    edited = Path(shutil.copytree(tiny_llama, tmp_path / "m"))
    edit_weights(edited, lambda weights: weights.update(extra=torch.zeros(1)))
    load_model(str(tiny_llama))
    # transformers' own report of unused weights, too, must go through `logging` (which pytest catches)
    load_model(str(edited))
    out, err = capfd.readouterr()
    assert out == ""
    assert "Loading" not in err
    assert "LOAD REPORT" not in err


def test_unused_weights_are_logged(copy: Path, caplog: pytest.LogCaptureFixture) -> None:
    edit_weights(copy, lambda weights: weights.update(extra=torch.zeros(1)))
    with caplog.at_level(logging.WARNING, logger="evalkit.models"):
        load_model(str(copy))
    assert "1 weights of the checkpoint are not used, such as extra" in caplog.text


def test_library_loggers_are_restored(tiny_llama: Path) -> None:
    library = logging.getLogger("transformers")
    before = (library.handlers[:], library.propagate)
    load_model(str(tiny_llama))
    assert (library.handlers, library.propagate) == before


def test_missing_weight(copy: Path) -> None:
    edit_weights(copy, lambda weights: weights.pop("model.layers.1.mlp.up_proj.weight"))
    refused(copy, r"lacks weights for model\.layers\.1\.mlp\.up_proj\.weight$")


def test_missing_layers(copy: Path) -> None:
    edit_config(copy, num_hidden_layers=3)
    refused(copy, r"lacks weights for model\.layers\.2\.\S+ and 8 more")


def test_missing_head_is_not_drawn_at_random(copy: Path) -> None:
    edit_weights(copy, lambda weights: weights.pop("lm_head.weight"))
    refused(copy, r"lacks weights for lm_head\.weight")


def test_weight_of_another_shape(copy: Path) -> None:
    edit_config(copy, intermediate_size=32)
    refused(copy, "of another shape")


def test_cut_weight_file(copy: Path) -> None:
    file = copy / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    refused(copy, r"model\.safetensors' is cut short or corrupt")


def test_missing_shard(copy: Path) -> None:
    weights = load_file(copy / "model.safetensors")
    (copy / "model.safetensors").rename(copy / "model-00001-of-00002.safetensors")
    names = {name: f"model-0000{1 + (name == 'lm_head.weight')}-of-00002.safetensors" for name in weights}
    (copy / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": names}))
    refused(copy, r"model-00002-of-00002\.safetensors', listed in model\.safetensors\.index\.json, is missing")


def test_shards_load(copy: Path, tiny_llama: Path) -> None:
    from transformers import AutoModelForCausalLM

    AutoModelForCausalLM.from_pretrained(tiny_llama).save_pretrained(copy, max_shard_size="100KB")
    (copy / "model.safetensors").unlink()
    assert len(list(copy.glob("*.safetensors"))) > 1
    tokens = torch.tensor([[1, 2, 3]])
    assert torch.equal(load_model(str(copy)).model(tokens).logits, load_model(str(tiny_llama)).model(tokens).logits)


def test_no_weights(copy: Path) -> None:
    (copy / "model.safetensors").unlink()
    refused(copy, "no weights")


def test_pickled_weights_only_when_allowed(copy: Path, tiny_llama: Path) -> None:
    torch.save(load_file(copy / "model.safetensors"), copy / "pytorch_model.bin")
    (copy / "model.safetensors").unlink()
    assert "--allow-pickle" in (refused(copy, "pickled").hint or "")
    loaded = load_model(str(copy), ModelOptions(allow_pickle=True))
    expected = load_model(str(tiny_llama)).model.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in loaded.model.state_dict().items())


def test_pickle_beside_safetensors_is_not_read(copy: Path) -> None:
    (copy / "pytorch_model.bin").write_bytes(b"not a pickle")
    load_model(str(copy))
    load_model(str(copy), ModelOptions(allow_pickle=True))


REMOTE = """
from pathlib import Path
Path(__file__).with_name("ran").touch()
from transformers import LlamaConfig, LlamaForCausalLM
class Config(LlamaConfig):
    model_type = "own_llama"
class Model(LlamaForCausalLM):
    config_class = Config
"""


def test_remote_code_only_when_trusted(copy: Path) -> None:
    (copy / "own.py").write_text(REMOTE)
    edit_config(
        copy, model_type="own_llama", auto_map={"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model"}
    )
    assert "--trust-remote-code" in (refused(copy, "needs Python code").hint or "")
    loaded = load_model(str(copy), ModelOptions(trust_remote_code=True))
    assert type(loaded.model).__name__ == "Model"


def test_remote_code_is_not_run_where_transformers_has_its_own(copy: Path) -> None:
    (copy / "own.py").write_text("raise SystemExit('the code of the checkpoint was run')")
    edit_config(copy, auto_map={"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model"})
    assert type(load_model(str(copy)).model).__module__ == "transformers.models.llama.modeling_llama"


def test_unknown_model_type(copy: Path) -> None:
    edit_config(copy, model_type="nosuch")
    refused(copy, "cannot be loaded.*nosuch")


def test_damaged_config(copy: Path) -> None:
    (copy / "config.json").write_text("{")
    refused(copy, r"config\.json' cannot be read as JSON")


@pytest.mark.parametrize("files", [["tokenizer.json"], ["tokenizer.json", "tokenizer_config.json"]])
@pytest.mark.parametrize("name", ["llama", "qwen2", "gpt2"])  # for the latter two transformers makes an empty tokenizer
def test_no_tokenizer(name: str, files: list[str], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = Path(shutil.copytree(tiny_model(name, tmp_path_factory.getbasetemp()), tmp_path / "m"))
    for file in files:
        (folder / file).unlink()
    refused(folder, "has no tokenizer")


def test_damaged_tokenizer(copy: Path) -> None:
    (copy / "tokenizer.json").write_text("{}")
    refused(copy, "tokenizer in .* cannot be loaded")


def encoder(architecture: str) -> Any:
    import transformers

    config = transformers.BertConfig(
        vocab_size=416, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32
    )
    torch.manual_seed(0)
    return getattr(transformers, architecture)(config)


@pytest.mark.parametrize("architecture", ["BertForMaskedLM", "BertForSequenceClassification", "BertModel"])
def test_encoders_are_refused(architecture: str, tmp_path: Path) -> None:
    encoder(architecture).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    refused(tmp_path, r"is not a causal language model|lacks weights")


def test_encoder_that_says_nothing_is_found_out_by_trying(tmp_path: Path) -> None:
    encoder("BertForMaskedLM").save_pretrained(tmp_path)
    edit_config(tmp_path, architectures=None)
    tiny_tokenizer().save_pretrained(tmp_path)
    refused(tmp_path, "an earlier token's prediction sees later tokens")


def test_context_length_as_lm_eval(tmp_path_factory: pytest.TempPathFactory) -> None:
    from lm_eval.models.utils import resolve_max_length

    for name in NAMES:
        folder = tiny_model(name, tmp_path_factory.getbasetemp())
        loaded = load_model(str(folder))
        assert loaded.max_length == resolve_max_length(loaded.model.config, loaded.tokenizer), name
        assert load_model(str(folder), ModelOptions(max_length=77)).max_length == 77


def test_context_length_of_the_tokenizer_where_the_model_has_none(tmp_path: Path) -> None:
    from lm_eval.models.utils import resolve_max_length

    folder = tiny_model("mamba", tmp_path)
    config_file = folder / "tokenizer_config.json"
    config_file.write_text(json.dumps(json.loads(config_file.read_text()) | {"model_max_length": 96}))
    loaded = load_model(str(folder))
    assert loaded.max_length == 96 == resolve_max_length(loaded.model.config, loaded.tokenizer)


@pytest.mark.parametrize(("removed", "expected"), [((), 0), (("bos_token",), 1)])
def test_prefix_token(removed: tuple[str, ...], expected: int, copy: Path) -> None:
    file = copy / "tokenizer_config.json"
    file.write_text(json.dumps({k: v for k, v in json.loads(file.read_text()).items() if k not in removed}))
    assert load_model(str(copy)).prefix_token == expected


def test_no_prefix_token(copy: Path) -> None:
    file = copy / "tokenizer_config.json"
    kept = {k: v for k, v in json.loads(file.read_text()).items() if k not in ("bos_token", "eos_token")}
    file.write_text(json.dumps(kept))
    refused(copy, "neither a beginning-of-sequence nor an end-of-sequence token")


def test_models_loaded_at_once_do_not_spoil_each_other(tmp_path: Path) -> None:
    """Both have tied weights, which transformers ties in a step that it switches off and on for the whole process."""
    folders = [tiny_model(name, tmp_path) for name in ("gpt2", "bloom")]
    with ThreadPoolExecutor(4) as pool:
        loaded = list(pool.map(lambda folder: load_model(str(folder)), folders * 4))
    assert len({model.info.weights_sha256 for model in loaded}) == 2
    assert load_model(str(folders[1])).info == loaded[1].info
