"""The model that is trained: the one that was evaluated, with what the method puts on it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.errors import ModelError, UsageError
from evalkit.models import ModelOptions, load_model
from evalkit.models.location import resolve
from evalkit.models.quiet import quiet_libraries
from evalkit.sft.spec import TrainingSpec
from evalkit.sft.training import together

if TYPE_CHECKING:
    from evalkit.models import LoadedModel


def check_devices(device: str) -> None:
    """TRL refuses several visible GPUs without a launcher.

    Raises:
        UsageError: There are several.
    """
    import torch

    if device != "cpu" and together.size() == 1 and torch.cuda.device_count() > 1:
        raise UsageError(
            f"{torch.cuda.device_count()} GPUs are visible, and one process trains on one",
            hint="start one on each: torchrun --nproc-per-node auto -m evalkit sft ...; "
            "or show it one: CUDA_VISIBLE_DEVICES=0 evalkit sft ...",
        )


def load(model: str, options: ModelOptions) -> LoadedModel:
    """The base in float32, without an adapter of its own."""
    location = resolve(model)
    loaded = load_model(location.base.spec if location.base is not None else model, options)
    _unpacked(loaded.model, model)
    return loaded


def _unpacked(network: Any, model: str) -> None:
    """Takes off the mark of a .gguf file, whose weights are plain numbers by now; others stay as they are.

    With the mark the trainer would refuse the model, and the one that is saved could not be loaded again.
    """
    quantizer = getattr(network, "hf_quantizer", None)
    if quantizer is None or _quantization(network) != "gguf":
        return
    if any("Gguf" in type(module).__name__ for module in network.modules()):
        raise ModelError(
            f"the weights of {model} were left packed, and cannot be trained",
            hint="uninstall the package kernels, so that they are unpacked, or name the model that the file was made of",
        )
    network.hf_quantizer = None
    network.is_quantized = False
    del network.config.quantization_config


def _quantization(network: Any) -> str:
    """The method, as transformers names it; empty without any."""
    found = getattr(network.config, "quantization_config", None) or {}
    method = (found if isinstance(found, dict) else found.to_dict()).get("quant_method", "")
    return str(getattr(method, "value", method))


def for_training(loaded: LoadedModel, model: str, spec: TrainingSpec) -> Any:
    """The network with weights to train: all of it, a new adapter on it, or the adapter that it was given with.

    Args:
        loaded: By `load`; it is changed.
        model: As the user named it: `peft:DIR` goes on with that adapter, or merges it where all weights are trained.
        spec: How.

    Raises:
        UsageError: All weights of a quantized model should be trained.
    """
    from peft import LoraConfig, PeftModel, TaskType, get_peft_model

    location = resolve(model)
    network: Any = loaded.model
    if location.base is not None:
        assert location.path is not None
        adapted = PeftModel.from_pretrained(network, str(location.path), is_trainable=bool(spec.lora_rank))
        if spec.lora_rank and spec.objective != "reward":
            return adapted.train()
        network = adapted.merge_and_unload()
    if spec.objective == "reward":
        network = _with_reward_head(network, loaded.tokenizer)
    if not spec.lora_rank:
        if getattr(network, "is_quantized", False):
            raise UsageError(
                "the model's weights are quantized, and only an adapter can be trained on them", hint="leave --full out"
            )
        return network.requires_grad_(True).train()
    reward = spec.objective == "reward"
    config = LoraConfig(
        r=spec.lora_rank,
        lora_alpha=spec.alpha,
        lora_dropout=spec.lora_dropout,
        target_modules="all-linear",
        task_type=TaskType.SEQ_CLS if reward else TaskType.CAUSAL_LM,
        modules_to_save=["score"] if reward else None,
    )
    return get_peft_model(network, config).train()


def _with_reward_head(network: Any, tokenizer: Any) -> Any:
    """The same network with one number in place of the vocabulary."""
    from transformers import AutoModelForSequenceClassification

    config = network.config
    config.num_labels = 1
    if config.get_text_config().pad_token_id is None:
        config.get_text_config().pad_token_id = tokenizer.pad_token_id or tokenizer.eos_token_id
    rewarding = AutoModelForSequenceClassification.from_config(config).to(network.device, network.dtype)
    rewarding.base_model.load_state_dict(network.base_model.state_dict())
    return rewarding


def save(network: Any, tokenizer: Any, model: str, spec: TrainingSpec, folder: Path) -> str:
    """Writes the trained model, so that it is there whole or not at all.

    Returns:
        What `--model` takes.
    """
    import shutil

    network.config.use_cache = True  # which the trainer turns off, and answers are slow without
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    location = resolve(model)
    is_adapter = hasattr(network, "peft_config")
    with quiet_libraries():
        if is_adapter and spec.objective == "reward":
            network, is_adapter = network.merge_and_unload(), False
        if is_adapter:
            base = location.base or location
            known = base.kind in ("directory", "gguf") and base.path is not None
            name = str(base.path.resolve()) if known and base.path is not None else base.spec
            network.peft_config["default"].base_model_name_or_path = name
            network.save_pretrained(str(part), selected_adapters=["default"])
        else:
            network.save_pretrained(str(part))
        tokenizer.save_pretrained(str(part))
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)
    return f"peft:{folder}" if is_adapter else str(folder)
