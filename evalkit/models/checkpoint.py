"""What a directory with a model must hold before it is loaded: a readable configuration, whole and safe weight files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from evalkit.errors import ModelError
from evalkit.models.options import ModelOptions

_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "vocab.json",
    "vocab.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tekken.json",
)


def read_json(path: Path) -> dict[str, Any]:
    """Reads a JSON object.

    Raises:
        ModelError: The file is missing, unreadable, or no JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelError(f"the file '{path}' is missing", hint="Download or save the model again.") from error
    except (OSError, ValueError) as error:
        raise ModelError(
            f"the file '{path}' cannot be read as JSON: {error}", hint="Download or save the model again."
        ) from error
    if not isinstance(content, dict):
        raise ModelError(f"the file '{path}' holds no JSON object", hint="Download or save the model again.")
    return content


def refuse_remote_code(directory: Path, options: ModelOptions) -> None:
    """Stops at a checkpoint that cannot be loaded without running Python code that comes with it.

    Where the installed transformers has its own code for the model type, that is used and nothing is run.

    Raises:
        ModelError: The code would be needed, and `trust_remote_code` is off.
    """
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    config = read_json(directory / "config.json")
    if not config.get("auto_map") or options.trust_remote_code:
        return
    if config.get("model_type") in CONFIG_MAPPING_NAMES:
        return
    raise ModelError(
        f"the model '{directory}' needs Python code that comes with it (model type '{config.get('model_type')}')",
        hint="Read that code, and if you trust it, pass `--trust-remote-code`.",
    )


def require_tokenizer_files(directory: Path) -> None:
    """Checks that there is a tokenizer: without its files transformers would build an empty one for some models.

    Raises:
        ModelError: There is none.
    """
    if any((directory / name).is_file() for name in _TOKENIZER_FILES) or any(directory.glob("*.tiktoken")):
        return
    config_file = directory / "tokenizer_config.json"
    if config_file.is_file() and read_json(config_file).get("auto_map"):  # its own code finds its own files
        return
    raise ModelError(
        f"the directory '{directory}' has no tokenizer",
        hint="Save the tokenizer beside the model with `tokenizer.save_pretrained(DIR)`.",
    )


def has_tokenizer(directory: Path) -> bool:
    """Whether the directory holds a tokenizer of its own."""
    try:
        require_tokenizer_files(directory)
    except ModelError:
        return False
    return True


def weight_files(directory: Path, options: ModelOptions) -> list[Path]:
    """The weight files that will be loaded from a directory, each seen to be there and, if safetensors, whole.

    Raises:
        ModelError: There are none, a shard is missing, a file is cut short or corrupt, or all are pickled and
            `allow_pickle` is off.
    """
    files = _indexed(directory / "model.safetensors.index.json") or _existing(directory, "model.safetensors")
    if files:
        for file in files:
            _check_safetensors(file)
        return files
    pickled = _indexed(directory / "pytorch_model.bin.index.json") or _existing(directory, "pytorch_model.bin")
    if not pickled:
        raise ModelError(
            f"the directory '{directory}' has a config.json but no weights",
            hint="It needs model.safetensors, or shards with model.safetensors.index.json.",
        )
    if not options.allow_pickle:
        raise ModelError(
            f"the model '{directory}' has only pickled weights ({pickled[0].name}), which can run code when loaded",
            hint="Convert them with `save_pretrained` (safetensors), or pass `--allow-pickle` if you trust them.",
        )
    return pickled


def _existing(directory: Path, name: str) -> list[Path]:
    return [directory / name] if (directory / name).is_file() else []


def _indexed(index: Path) -> list[Path]:
    if not index.is_file():
        return []
    shards = read_json(index).get("weight_map")
    if not isinstance(shards, dict) or not shards:
        raise ModelError(f"the file '{index}' lists no weights", hint="Download or save the model again.")
    files = [index.parent / name for name in sorted(set(shards.values()))]
    for file in files:
        if not file.is_file():
            raise ModelError(
                f"the weight file '{file}', listed in {index.name}, is missing",
                hint="Download or copy the model again; the download was probably cut.",
            )
    return files


def _check_safetensors(file: Path) -> None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="pt") as content:
            content.keys()
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"the weight file '{file}' is cut short or corrupt ({error})",
            hint="Download or copy the model again.",
        ) from error


def adapter_files(directory: Path, options: ModelOptions) -> list[Path]:
    """The weight file of an adapter, as `weight_files`.

    Raises:
        ModelError: There is none, it is corrupt, or it is pickled and `allow_pickle` is off.
    """
    files = _existing(directory, "adapter_model.safetensors")
    if files:
        _check_safetensors(files[0])
        return files
    pickled = _existing(directory, "adapter_model.bin")
    if not pickled:
        raise ModelError(f"the adapter '{directory}' has no weights", hint="It needs a file adapter_model.safetensors.")
    if not options.allow_pickle:
        raise ModelError(
            f"the adapter '{directory}' has only pickled weights, which can run code when loaded",
            hint="Save it as safetensors, or pass `--allow-pickle` if you trust it.",
        )
    return pickled
