"""Tiny random language models and a tiny byte-level BPE tokenizer, saved as a Hugging Face directory.

The weights are drawn wide enough that log-probabilities differ visibly from token to token, so that a wrong mask, a
wrong position or a dropped prefix moves a score by far more than float32 noise.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

VOCABULARY = 400
EMBEDDINGS = 416
"""Rows of the embedding: more than the tokenizer has tokens, as in most released checkpoints."""
WINDOW = 12
"""Sliding window (tokens) of the models that have one: shorter than the prefixes that tests share."""

SENTENCES = (
    "The quick brown fox jumps over the lazy dog. A stitch in time saves nine.",
    "Question: What is the capital of France?\nAnswer: Paris\n\nQuestion: Which gas do plants take in?\nAnswer:",
    "The following are multiple choice questions (with answers) about anatomy.\n\nA. heart\nB. lung\nC. liver\nD. skin",
    "She poured the water into the kettle, then waited until the whistle told her that the tea could be made.",
    "Energy is neither created nor destroyed; it only changes its form from one kind to another.",
    "In 1969 two people walked on the Moon, 384400 kilometres away from the Earth.",
)

CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>\n{{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)

_COMMON: dict[str, Any] = {
    "vocab_size": EMBEDDINGS,
    "hidden_size": 48,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "initializer_range": 0.2,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 1,
}

_ARCHITECTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", _COMMON),
    "mistral": ("mistral", _COMMON | {"sliding_window": WINDOW}),
    "qwen2": ("qwen2", _COMMON | {"tie_word_embeddings": True}),
    "qwen3": ("qwen3", _COMMON | {"head_dim": 12}),
    "gemma3": (
        "gemma3_text",
        _COMMON
        | {
            "num_hidden_layers": 4,
            "head_dim": 16,
            "sliding_window": WINDOW,
            "query_pre_attn_scalar": 16,
            "layer_types": ["sliding_attention", "full_attention"] * 2,
        },
    ),
    "gemma2": (
        "gemma2",
        _COMMON | {"head_dim": 16, "sliding_window": WINDOW, "query_pre_attn_scalar": 16, "num_hidden_layers": 2},
    ),
    "gpt2": (
        "gpt2",
        {"vocab_size": EMBEDDINGS, "n_embd": 48, "n_layer": 2, "n_head": 4, "n_positions": 512}
        | {"initializer_range": 0.2, "bos_token_id": 0, "eos_token_id": 1},
    ),
    "mixtral": ("mixtral", _COMMON | {"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": None}),
    "qwen2_moe": (
        "qwen2_moe",
        _COMMON
        | {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
        | {"shared_expert_intermediate_size": 32, "decoder_sparse_step": 1},
    ),
    "bloom": (
        "bloom",
        {"vocab_size": EMBEDDINGS, "hidden_size": 48, "n_layer": 2, "n_head": 4, "seq_length": 512}
        | {"initializer_range": 0.2, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1},
    ),
    "mamba": (
        "mamba",
        {"vocab_size": EMBEDDINGS, "hidden_size": 32, "state_size": 8, "num_hidden_layers": 2}
        | {"initializer_range": 0.2, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1},
    ),
    "jamba": (
        "jamba",
        _COMMON
        | {"num_hidden_layers": 4, "attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2}
        | {"expert_layer_offset": 1, "num_experts": 2, "num_experts_per_tok": 1, "mamba_d_state": 8}
        | {"mamba_dt_rank": 8},
    ),
    "lfm2": (
        "lfm2",
        _COMMON | {"num_hidden_layers": 4, "layer_types": ["conv", "full_attention"] * 2, "conv_L_cache": 3},
    ),
    "qwen3_next": (
        "qwen3_next",
        _COMMON
        | {"num_hidden_layers": 4, "head_dim": 16, "linear_num_key_heads": 2, "linear_num_value_heads": 4}
        | {"linear_key_head_dim": 8, "linear_value_head_dim": 8, "num_experts": 2, "num_experts_per_tok": 1}
        | {"moe_intermediate_size": 32, "shared_expert_intermediate_size": 32, "decoder_sparse_step": 1}
        | {"layer_types": ["linear_attention", "full_attention"] * 2},
    ),
}

_BART_SHAPE: dict[str, Any] = {
    "vocab_size": EMBEDDINGS,
    "d_model": 48,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "max_position_embeddings": 512,
    "init_std": 0.2,
    "eos_token_id": 1,
}

_ENCODER_DECODERS: dict[str, tuple[str, dict[str, Any]]] = {
    "t5": (
        "t5",
        {"vocab_size": EMBEDDINGS, "d_model": 48, "d_kv": 12, "d_ff": 64, "num_layers": 2, "num_heads": 4}
        | {"n_positions": 512, "initializer_factor": 0.7, "feed_forward_proj": "gated-gelu"}
        | {"eos_token_id": 1, "pad_token_id": 0, "decoder_start_token_id": 0},
    ),
    # the start is the end of a sentence and the first token forced, as in mBART-50; 410 stands for a language
    "mbart": (
        "mbart",
        _BART_SHAPE | {"bos_token_id": 0, "pad_token_id": 2, "decoder_start_token_id": 1, "scale_embedding": True},
    ),
    "marian": (
        "marian",
        _BART_SHAPE | {"pad_token_id": 2, "decoder_start_token_id": 2, "scale_embedding": True},
    ),
}

_GENERATION: dict[str, dict[str, Any]] = {
    "mbart": {"forced_bos_token_id": 410, "forced_eos_token_id": None},
    "marian": {"bad_words_ids": [[2]], "forced_eos_token_id": None},
}

ENCODER_DECODERS = tuple(_ENCODER_DECODERS)
"""All encoder-decoder architectures that `tiny_model` builds; their tokenizers put `<eos>` last."""
NAMES = tuple(_ARCHITECTURES)
"""All causal architectures that `tiny_model` builds."""


def tiny_tokenizer(
    add_bos: bool = False, *, add_eos: bool = False, chat_template: str | None = None
) -> PreTrainedTokenizerBase:
    """A byte-level BPE tokenizer of 400 tokens: `<bos>` is 0, `<eos>` is 1, every text can be encoded.

    Args:
        add_bos: Puts `<bos>` before every text (as Llama 3 and Gemma do) when special tokens are asked for.
        add_eos: Puts `<eos>` after every text (as T5 does) when special tokens are asked for.
        chat_template: Jinja source of a chat template; none by default.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<bos>", "<eos>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES * 3, trainer)
    if add_bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<bos> $A", pair="<bos> $A $B", special_tokens=[("<bos>", 0)]
        )
    if add_eos:
        tokenizer.post_processor = processors.TemplateProcessing(single="$A <eos>", special_tokens=[("<eos>", 1)])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<bos>", eos_token="<eos>")
    fast.chat_template = chat_template
    return fast


def tiny_model(
    name: str, directory: Path, *, add_bos: bool = False, chat_template: str | None = None, **overrides: Any
) -> Path:
    """Saves a tiny random model with its tokenizer under `directory` (safetensors) and returns its folder.

    A second call with the same arguments returns the folder of the first.

    Args:
        name: One of `NAMES` or `ENCODER_DECODERS`.
        directory: Where folders of models are made (for example `tmp_path_factory.getbasetemp()`).
        add_bos: Whether the tokenizer puts `<bos>` first.
        chat_template: Jinja source of the tokenizer's chat template.
        **overrides: Fields of the model's configuration; `seed` (default 0) seeds the weights.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM

    key = json.dumps([add_bos, chat_template, overrides], sort_keys=True)
    folder = directory / f"tiny-{name}-{hashlib.sha256(key.encode()).hexdigest()[:8]}"
    if (folder / "tokenizer.json").is_file():
        return folder
    seed = overrides.pop("seed", 0)
    model_type, fields = (_ARCHITECTURES | _ENCODER_DECODERS)[name]
    auto_class = AutoModelForSeq2SeqLM if name in _ENCODER_DECODERS else AutoModelForCausalLM
    config = AutoConfig.for_model(model_type, **(fields | overrides))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = auto_class.from_config(config, dtype=torch.float32)
        _spread_biases(model)
    for field, value in _GENERATION.get(name, {}).items():
        setattr(model.generation_config, field, value)
    model.save_pretrained(folder)
    tiny_tokenizer(add_bos, add_eos=name in _ENCODER_DECODERS, chat_template=chat_template).save_pretrained(folder)
    return folder


def _spread_biases(model: Any) -> None:
    """Biases start at 0, where leaving one out would not be noticed: draws them at random."""
    import torch

    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            # the bias of a state-space step size is drawn by the model itself: it sets how long the state remembers
            if parameter_name.endswith("bias") and "dt_" not in parameter_name:
                parameter.normal_(0.0, 0.1)
