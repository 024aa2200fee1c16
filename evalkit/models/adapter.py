"""Puts a PEFT adapter on its base model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.errors import ModelError
from evalkit.models.quiet import quiet_libraries
from evalkit.models.tokenizer import first_line
from evalkit.models.weights import LOADING_ERRORS, refuse_incomplete

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def require_peft() -> None:
    """Checks that the package `peft` is installed.

    Raises:
        ModelError: It is not.
    """
    import importlib.util

    if importlib.util.find_spec("peft") is None:
        raise ModelError(
            "the package 'peft', which adapters need, is not installed", hint="Run `pip install 'evalkit[peft]'`."
        )


def apply_adapter(model: PreTrainedModel, directory: Path, tokens: int) -> PreTrainedModel:
    """Puts an adapter on a loaded model, its matrices kept apart from the base's as they were trained.

    Args:
        model: The base model; it is changed.
        directory: The adapter, as `save_pretrained` of peft writes it.
        tokens: Size of the tokenizer that goes with the adapter: the embedding is enlarged to it when the adapter
            brings the new rows.

    Returns:
        The same model object with the adapter's layers in it.

    Raises:
        ModelError: peft is missing, the adapter does not fit, lacks weights, or changes prompts instead of layers.
    """
    require_peft()
    from peft import PeftConfig, PeftModel

    try:
        config = PeftConfig.from_pretrained(str(directory))
    except LOADING_ERRORS as error:
        raise ModelError(
            f"the adapter '{directory}' has a configuration that peft cannot read: {first_line(error)}",
            hint="Install the version of peft that it was saved with, or a newer one.",
        ) from error
    if config.is_prompt_learning:
        raise ModelError(
            f"the adapter '{directory}' tunes the prompt ({config.peft_type.value}), which is not supported",
            hint="LoRA and other adapters that change layers are.",
        )
    _resize(model, config, directory, tokens)
    with quiet_libraries() as messages:
        adapted = _attach(model, directory, PeftModel)
    for message in messages:
        if "missing adapter keys" in message:
            refuse_incomplete(str(directory), [message.split("[", 1)[-1].split("'")[1]], ())
    adapted.requires_grad_(False)
    base: PreTrainedModel = adapted.eval().get_base_model()
    return base


def _attach(model: PreTrainedModel, directory: Path, peft_model: Any) -> Any:
    from safetensors import SafetensorError

    try:
        return peft_model.from_pretrained(model, str(directory), is_trainable=False)
    except (*LOADING_ERRORS, SafetensorError) as error:
        raise ModelError(
            f"the adapter '{directory}' does not fit its base model: {first_line(error)}",
            hint="Check base_model_name_or_path in its adapter_config.json.",
        ) from error


def _resize(model: PreTrainedModel, config: Any, directory: Path, tokens: int) -> None:
    rows = model.get_input_embeddings().weight.shape[0]
    if tokens <= rows:
        return
    brought = set(getattr(config, "modules_to_save", None) or ()) & {"embed_tokens", "wte", "word_embeddings"}
    if not brought:
        raise ModelError(
            f"the adapter '{directory}' has a tokenizer of {tokens} tokens, its base model {rows}, "
            "and the adapter brings no embeddings for the new ones",
            hint="Save it with its embeddings: modules_to_save=['embed_tokens', 'lm_head'].",
        )
    model.resize_token_embeddings(tokens, mean_resizing=False)
