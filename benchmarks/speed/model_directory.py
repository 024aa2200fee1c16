"""Writes a model as a Hugging Face directory, so that every engine loads the same float32 weights in the same way."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from evalkit.models import ModelOptions, load_model


def write_model(spec: str, directory: Path) -> Path:
    """The directory with the model's float32 weights and tokenizer; written once and kept.

    Args:
        spec: Any model that `evalkit run --model` takes.
        directory: Where it goes; a directory that holds a config.json is taken as it is.

    Returns:
        The directory's absolute path.
    """
    if not (directory / "config.json").is_file():
        partial = directory.with_name(directory.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        loaded = load_model(spec, ModelOptions(dtype="float32", device="cpu", offline=True))
        loaded.tokenizer.save_pretrained(partial)
        _without_quantisation(loaded.model).save_pretrained(partial)
        partial.rename(directory)
    return directory.resolve()


def _without_quantisation(model: Any) -> Any:
    """The same weights in a model that does not remember its GGUF file, which transformers would refuse to save."""
    from transformers import AutoModelForCausalLM

    config = model.config.to_dict()
    config.pop("quantization_config", None)
    plain = AutoModelForCausalLM.from_config(type(model.config).from_dict(config), dtype=model.dtype)
    plain.load_state_dict(model.state_dict())
    return plain
