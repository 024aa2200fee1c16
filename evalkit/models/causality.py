"""Is it a causal language model? Asked of the configuration first, then of the model itself."""

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
_HINT = "evalkit evaluates causal (decoder-only) language models; give one of those."


def refuse_other_heads(config: PretrainedConfig, name: str) -> None:
    """Stops at a checkpoint that says it is an encoder, an encoder-decoder or a classifier.

    Its transformer may load as a causal model all the same, with a head that was never trained.

    Raises:
        ModelError: It is one of those.
    """
    architectures = getattr(config, "architectures", None) or []
    if architectures and all(architecture.endswith(_OTHER_HEADS) for architecture in architectures):
        raise ModelError(f"the model '{name}' is not a causal language model but {architectures[0]}", hint=_HINT)
    if getattr(config, "is_encoder_decoder", False):
        raise ModelError(f"the model '{name}' is an encoder-decoder ({config.model_type})", hint=_HINT)


def check_causal(model: PreTrainedModel, name: str) -> None:
    """Runs four tokens twice with another last token: earlier positions of a causal model must not notice.

    Raises:
        ModelError: They do.
    """
    import torch

    tokens = torch.tensor([[1, 2, 3, 4], [1, 2, 3, 5]], device=model.device)
    with torch.inference_mode():
        logits = model(input_ids=tokens).logits[:, :3].float()
    difference = (logits[0] - logits[1]).abs().max() / logits.std()
    # 0 in causal models, but for rounding where a mixture of experts groups tokens otherwise; encoders move by 0.01 when
    # untrained and by far more when trained
    if difference > (1e-3 if model.dtype in (torch.float32, torch.float64) else 0.05):
        raise ModelError(
            f"the model '{name}' is not a causal language model: an earlier token's prediction sees later tokens",
            hint=_HINT,
        )
