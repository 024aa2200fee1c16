"""Is it a language model that writes from left to right? Asked of the configuration first, then of the model itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evalkit.errors import ModelError

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

_OTHER_HEADS = (
    "ForSequenceClassification",
    "ForTokenClassification",
    "ForQuestionAnswering",
    "ForMultipleChoice",
    "ForMaskedLM",
    "ForPreTraining",
)
HINT = "evalkit evaluates causal (decoder-only) and encoder-decoder language models; give one of those."


def refuse_other_heads(config: PretrainedConfig, name: str) -> None:
    """Stops at a checkpoint that says it is an encoder or a classifier.

    Its transformer may load as a language model all the same, with a head that was never trained.

    Raises:
        ModelError: It is one of those.
    """
    architectures = getattr(config, "architectures", None) or []
    if architectures and all(architecture.endswith(_OTHER_HEADS) for architecture in architectures):
        raise ModelError(f"the model '{name}' is not a causal language model but {architectures[0]}", hint=HINT)


def is_encoder_decoder(config: PretrainedConfig) -> bool:
    """Whether the model reads its input with an encoder and writes with a decoder (T5, BART, mBART, Marian, ...)."""
    return bool(getattr(config, "is_encoder_decoder", False))


def check_causal(model: PreTrainedModel, name: str) -> None:
    """Runs four tokens twice with another last token: earlier positions of a causal model must not notice.

    Of an encoder-decoder that is asked of the decoder, after one and the same encoder input.

    Raises:
        ModelError: They do.
    """
    import torch

    tokens = torch.tensor([[1, 2, 3, 4], [1, 2, 3, 5]], device=model.device)
    inputs = {"input_ids": tokens}
    if is_encoder_decoder(model.config):
        inputs = {"input_ids": tokens[:1].repeat(2, 1), "decoder_input_ids": tokens}
    with torch.inference_mode():
        logits = model(**inputs).logits[:, :3].float()
    difference = (logits[0] - logits[1]).abs().max() / logits.std()
    # 0 in causal models, but for rounding where a mixture of experts groups tokens otherwise; encoders move by 0.01 when
    # untrained and by far more when trained
    if difference > (1e-3 if model.dtype in (torch.float32, torch.float64) else 0.05):
        raise ModelError(
            f"the model '{name}' is not a causal language model: an earlier token's prediction sees later tokens",
            hint=HINT,
        )
