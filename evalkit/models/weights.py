"""Loads weights, and refuses to go on when the checkpoint does not hold all of them."""

from __future__ import annotations

import pickle
import struct
import threading
from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.errors import ModelError
from evalkit.models.causality import HINT, is_encoder_decoder, refuse_other_heads
from evalkit.models.gguf_reading import shared_gguf_reader
from evalkit.models.options import ModelOptions
from evalkit.models.placement import left_out
from evalkit.models.quiet import logger, quiet_libraries
from evalkit.models.tokenizer import first_line

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig, PreTrainedModel

LOADING_ERRORS = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    ImportError,
    RuntimeError,
    NotImplementedError,
    pickle.UnpicklingError,
    struct.error,
)
"""What transformers, peft, safetensors and gguf raise when a checkpoint cannot be used."""

# transformers replaces methods of its classes while it loads (tying of weights, initialisation) and puts them back: two
# loads at once leave them replaced for good, and every model loaded later lacks its tied weights.
_LOADING = threading.Lock()


def load_weights(
    directory: Path,
    name: str,
    options: ModelOptions,
    config: PretrainedConfig,
    dtype: torch.dtype,
    device: torch.device,
    gguf_file: str | None,
) -> PreTrainedModel:
    """Loads a causal or an encoder-decoder language model onto a device, whichever its configuration says it is.

    Args:
        directory: Where its files are.
        name: What to call it in messages.
        options: Whether remote code and pickled weights are allowed, and how it is spread over devices.
        config: Its configuration.
        dtype: Type of the weights in memory.
        device: Where they go, unless the options have a device map.
        gguf_file: Name of the GGUF file in `directory`; None for safetensors (or pickled) weights.

    Returns:
        The model in evaluation mode, no parameter of it asking for gradients.

    Raises:
        ModelError: It cannot be loaded, is no language model, or weights are missing or of another shape.
    """
    arguments = _arguments(options, gguf_file) | {"config": config, "dtype": dtype}
    with _LOADING, quiet_libraries(), shared_gguf_reader() if gguf_file else nullcontext():
        model, report = _load_model(directory, name, arguments, options, device)
        refuse_incomplete(name, report.get("missing_keys", ()), report.get("mismatched_keys", ()))
        if unused := sorted(report.get("unexpected_keys", ())):
            logger.warning("%s: %d weights of the checkpoint are not used, such as %s", name, len(unused), unused[0])
        if options.device_map is None:
            model = model.to(device)
        elif outside := left_out(model):
            logger.warning(
                "%s: %d modules fit no device and are fetched for every batch, which is slow; the first is %s",
                *(name, len(outside), outside[0]),
            )
    model.requires_grad_(False)
    return model.eval()


def load_config(directory: Path, name: str, options: ModelOptions, gguf_file: str | None) -> PretrainedConfig:
    """Loads a model's configuration.

    Args:
        directory: Where its files are.
        name: What to call it in messages.
        options: Whether remote code is allowed.
        gguf_file: Name of the GGUF file in `directory`; None for a config.json.

    Raises:
        ModelError: It cannot be loaded, or says that the model is not a language model.
    """
    from transformers import AutoConfig

    with quiet_libraries(), shared_gguf_reader() if gguf_file else nullcontext():
        try:
            config = AutoConfig.from_pretrained(directory, **_arguments(options, gguf_file))
        except LOADING_ERRORS as error:
            raise _cannot_load(name, error) from error
    refuse_other_heads(config, name)
    return config


def _arguments(options: ModelOptions, gguf_file: str | None) -> dict[str, Any]:
    arguments: dict[str, Any] = {"trust_remote_code": options.trust_remote_code, "local_files_only": True}
    return arguments if gguf_file is None else arguments | {"gguf_file": gguf_file}


def _load_model(
    directory: Path, name: str, arguments: dict[str, Any], options: ModelOptions, device: torch.device
) -> tuple[Any, dict[str, Any]]:
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

    auto_class = AutoModelForSeq2SeqLM if is_encoder_decoder(arguments["config"]) else AutoModelForCausalLM
    if options.device_map is not None:
        # read whole, the files of a model larger than one device may not fit the memory
        arguments = arguments | {"device_map": options.device_map}
    elif device.type != "cpu":
        arguments = arguments | {"device_map": {"": device}}
    else:
        # mapped, the weights would be the file: whoever writes into it, as a training that saves to the same folder does,
        # would change the model under way, or end this process where the file gets shorter
        arguments = arguments | {"disable_mmap": True}
    try:
        # shapes that differ are let through here, because only then transformers says which
        model, report = auto_class.from_pretrained(
            directory,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            use_safetensors=None if options.allow_pickle else True,
            **arguments,
        )
    except (*LOADING_ERRORS, SafetensorError) as error:
        raise _cannot_load(name, error) from error
    return model, report


def _cannot_load(name: str, error: BaseException) -> ModelError:
    text = first_line(error)
    if "Unrecognized configuration class" in text:
        return ModelError(
            f"the model '{name}' is not a language model that writes text after text",
            hint=HINT,
        )
    if "trust_remote_code" in str(error):
        return ModelError(
            f"the model '{name}' needs Python code that comes with it",
            hint="Read that code, and if you trust it, pass `--trust-remote-code`.",
        )
    if "offload_folder" in str(error):
        return ModelError(
            f"the model '{name}' fits neither the devices nor the memory, and its files cannot be read layer by layer",
            hint="Use more or larger devices, `--dtype bfloat16`, a quantised model, or a server (docs/endpoints.md).",
        )
    if "out of memory" in text:
        return ModelError(
            f"the model '{name}' does not fit into the device's memory",
            hint="Use `--dtype bfloat16`, a smaller or quantised model, or a larger device.",
        )
    return ModelError(
        f"the model '{name}' cannot be loaded: {text}",
        hint="Check that its files are whole and that the installed transformers knows this type of model.",
    )


def refuse_incomplete(name: str, missing: Iterable[str], mismatched: Iterable[Any]) -> None:
    """Stops when weights would have been drawn at random because the checkpoint lacks them.

    Raises:
        ModelError: Some are missing or have another shape than the configuration says.
    """
    absent = sorted(missing)
    if absent:
        more = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
        raise ModelError(
            f"the checkpoint '{name}' lacks weights for {absent[0]}{more}",
            hint="They would be random numbers. Save or download the whole model.",
        )
    wrong = sorted(entry if isinstance(entry, str) else str(entry[0]) for entry in mismatched)
    if wrong:
        raise ModelError(
            f"the checkpoint '{name}' has a weight {wrong[0]} of another shape than its config.json says",
            hint="The configuration and the weights belong to different models.",
        )
