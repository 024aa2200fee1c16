"""Loads tokenizers."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.errors import ModelError
from evalkit.models.checkpoint import has_tokenizer, refuse_remote_code, require_tokenizer_files
from evalkit.models.gguf_reading import check_gguf, shared_gguf_reader
from evalkit.models.hub import snapshot
from evalkit.models.location import ModelLocation, resolve
from evalkit.models.options import ModelOptions
from evalkit.models.quiet import quiet_libraries

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def load_tokenizer(spec: str, options: ModelOptions | None = None) -> PreTrainedTokenizerBase:
    """Loads a model's tokenizer without its weights.

    Args:
        spec: Any model that `evalkit.models.resolve` knows.
        options: Whether the network and remote code are allowed.

    Raises:
        ModelError: There is no such model, it has no tokenizer, or the tokenizer cannot be read.
    """
    return tokenizer_at(resolve(spec), options or ModelOptions())


def tokenizer_at(location: ModelLocation, options: ModelOptions) -> PreTrainedTokenizerBase:
    """As `load_tokenizer`, for a model that was found before. An adapter's own tokenizer wins over its base's."""
    if location.base is not None:
        assert location.path is not None
        if has_tokenizer(location.path):
            return tokenizer_in(location.path, options)
        return tokenizer_at(location.base, options)
    if location.kind == "hub":
        directory, _ = snapshot(location, options, weights=False)
        refuse_remote_code(directory, options)
        return tokenizer_in(directory, options)
    assert location.path is not None
    if location.kind == "directory":
        refuse_remote_code(location.path, options)
        return tokenizer_in(location.path, options)
    check_gguf(location.path)
    with shared_gguf_reader():
        return _load(location.path.parent, options, gguf_file=location.path.name)


def tokenizer_in(directory: Path, options: ModelOptions) -> PreTrainedTokenizerBase:
    """Loads the tokenizer saved in a directory.

    Raises:
        ModelError: There is none, or it cannot be read.
    """
    require_tokenizer_files(directory)
    return _load(directory, options)


def _load(directory: Path, options: ModelOptions, **where: Any) -> PreTrainedTokenizerBase:
    from transformers import AutoTokenizer

    try:
        with quiet_libraries():
            tokenizer = AutoTokenizer.from_pretrained(
                directory, trust_remote_code=options.trust_remote_code, local_files_only=True, **where
            )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError, RuntimeError, struct.error) as error:
        raise ModelError(
            f"the tokenizer in '{directory}' cannot be loaded: {first_line(error)}",
            hint="A missing package or a file that was not copied are the usual causes; "
            "a tokenizer with its own code needs `--trust-remote-code`.",
        ) from error
    if len(tokenizer) == 0 or tokenizer.vocab_size == 0:
        raise ModelError(f"the tokenizer in '{directory}' has no tokens", hint="Save or download it again.")
    return tokenizer


def first_line(error: BaseException) -> str:
    """An error's first line, or its type where it says nothing."""
    text = str(error).strip()
    return text.splitlines()[0].rstrip(" .:") if text else type(error).__name__


def prefix_token(tokenizer: PreTrainedTokenizerBase) -> int:
    """Id of the token that stands before a text without context: the beginning-of-sequence token, else the end's.

    The rule is lm-eval's (`HFLM.prefix_token_id`, 0.4.13).

    Raises:
        ModelError: The tokenizer has neither.
    """
    for token in (tokenizer.bos_token_id, tokenizer.eos_token_id):
        if token is not None:
            return int(token)
    raise ModelError(
        f"the tokenizer of '{tokenizer.name_or_path}' has neither a beginning-of-sequence nor an end-of-sequence token",
        hint="Set `bos_token` or `eos_token` in its tokenizer_config.json.",
    )
