import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from evalkit.errors import ModelError
from evalkit.models import load_model, load_tokenizer
from tests.tiny_models import CHAT_TEMPLATE, tiny_tokenizer

peft = pytest.importorskip("peft")

# peft asks transformers for an attribute that it has renamed
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")

TOKENS = torch.tensor([[5, 9, 300, 17, 44]])


def save_adapter(base: Path, folder: Path, config: Any = None) -> Any:
    """A LoRA adapter whose second matrix is not 0, as it would be before training."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base)
    config = config or peft.LoraConfig(r=4, target_modules=["q_proj", "down_proj"], task_type="CAUSAL_LM")
    adapted = peft.get_peft_model(model, config)
    torch.manual_seed(1)
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    adapted.save_pretrained(folder)
    return adapted.eval()


@pytest.fixture
def adapter(tiny_llama: Path, tmp_path: Path) -> tuple[Path, Any]:
    folder = tmp_path / "tuned"
    return folder, save_adapter(tiny_llama, folder)


def test_gives_peft_s_logits(adapter: tuple[Path, Any], tiny_llama: Path) -> None:
    folder, expected = adapter
    loaded = load_model(f"peft:{folder}")
    with torch.no_grad():
        logits = loaded.model(TOKENS).logits
        assert torch.equal(logits, expected(TOKENS).logits)
        assert (logits - load_model(str(tiny_llama)).model(TOKENS).logits).abs().max() > 0.1
    assert not any(parameter.requires_grad for parameter in loaded.model.parameters())


def test_identity(adapter: tuple[Path, Any], tiny_llama: Path, tmp_path: Path) -> None:
    folder, _ = adapter
    base, info = load_model(str(tiny_llama)).info, load_model(f"peft:{folder}").info
    assert (info.source, info.parameters, info.extra["base"]) == ("peft", base.parameters, str(tiny_llama))
    assert info.weights_sha256 != base.weights_sha256
    assert info.adapter is not None
    assert info.adapter.startswith("tuned@")
    again = load_model(f"peft:{shutil.copytree(folder, tmp_path / 'renamed')}").info
    assert again.weights_sha256 == info.weights_sha256
    weights = load_file(folder / "adapter_model.safetensors")
    next(iter(weights.values()))[0, 0] += 1
    save_file(weights, folder / "adapter_model.safetensors")
    assert load_model(f"peft:{folder}").info.weights_sha256 != info.weights_sha256


def test_scaling_is_part_of_the_identity(adapter: tuple[Path, Any]) -> None:
    folder, _ = adapter
    before = load_model(f"peft:{folder}")
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"lora_alpha": 64}))
    after = load_model(f"peft:{folder}")
    assert not torch.equal(before.model(TOKENS).logits, after.model(TOKENS).logits)
    assert before.info.weights_sha256 != after.info.weights_sha256


def test_own_tokenizer_wins(adapter: tuple[Path, Any]) -> None:
    folder, _ = adapter
    assert not load_tokenizer(f"peft:{folder}").chat_template
    tiny_tokenizer(chat_template=CHAT_TEMPLATE).save_pretrained(folder)
    assert load_tokenizer(f"peft:{folder}").chat_template == CHAT_TEMPLATE
    assert load_model(f"peft:{folder}").tokenizer.chat_template == CHAT_TEMPLATE


def test_missing_adapter_weight(adapter: tuple[Path, Any]) -> None:
    folder, _ = adapter
    weights = load_file(folder / "adapter_model.safetensors")
    gone = next(iter(weights))
    del weights[gone]
    save_file(weights, folder / "adapter_model.safetensors")
    with pytest.raises(ModelError, match="lacks weights for"):
        load_model(f"peft:{folder}")


def test_adapter_of_another_model(adapter: tuple[Path, Any]) -> None:
    folder, _ = adapter
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"target_modules": ["c_attn"]}))
    with pytest.raises(ModelError, match="does not fit its base model"):
        load_model(f"peft:{folder}")


def test_weights_absent_cut_or_pickled(adapter: tuple[Path, Any]) -> None:
    folder, _ = adapter
    file = folder / "adapter_model.safetensors"
    content = file.read_bytes()
    file.write_bytes(content[:-9])
    with pytest.raises(ModelError, match="cut short or corrupt"):
        load_model(f"peft:{folder}")
    file.unlink()
    with pytest.raises(ModelError, match="has no weights"):
        load_model(f"peft:{folder}")
    (folder / "adapter_model.bin").write_bytes(b"")
    with pytest.raises(ModelError, match="pickled"):
        load_model(f"peft:{folder}")


def test_prompt_tuning_is_refused(tiny_llama: Path, tmp_path: Path) -> None:
    config = peft.PromptTuningConfig(num_virtual_tokens=3, task_type="CAUSAL_LM")
    save_adapter(tiny_llama, tmp_path / "prompt", config)
    with pytest.raises(ModelError, match="tunes the prompt"):
        load_model(f"peft:{tmp_path / 'prompt'}")


def test_new_tokens_need_their_embeddings(adapter: tuple[Path, Any]) -> None:
    folder, _ = adapter
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens([f"<new{index}>" for index in range(20)])
    tokenizer.save_pretrained(folder)
    with pytest.raises(ModelError, match="brings no embeddings"):
        load_model(f"peft:{folder}")


def test_peft_not_installed(adapter: tuple[Path, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "peft" else find(name))
    with pytest.raises(ModelError, match=r"'peft'.*not installed") as caught:
        load_model(f"peft:{adapter[0]}")
    assert "pip install" in (caught.value.hint or "")
