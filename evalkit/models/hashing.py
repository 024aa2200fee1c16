"""Identity of a model: hashes of its weights, configuration and tokenizer, and whether its files stay what they were."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_THREADS = 4
_NAMES = frozenset(
    {
        *("_name_or_path", "_model_name_or_path", "transformers_version", "architectures", "dtype", "torch_dtype"),
        "_from_model_config",
    }
)


class WeightsHash:
    """SHA-256 of weight files, computed in threads while the weights load (hashing releases Python's lock).

    The hash covers the content of every file; with several files also their names relative to the model's directory
    (shards of a checkpoint), so neither renaming the directory nor renaming a single GGUF file changes it.

    Args:
        files: The weight files.
        root: Directory that the files' names are taken relative to.
    """

    def __init__(self, files: Sequence[Path], root: Path) -> None:
        self._pool = ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="evalkit-hash")
        self._digests: list[tuple[str, Future[str]]] = [
            (file.relative_to(root).as_posix(), self._pool.submit(file_sha256, file)) for file in sorted(files)
        ]
        self._pool.shutdown(wait=False)

    def hexdigest(self) -> str:
        """The hash, once all files are read.

        Raises:
            OSError: A file cannot be read.
        """
        if len(self._digests) == 1:
            return self._digests[0][1].result()
        return combine(*(f"{name} {digest.result()}" for name, digest in self._digests))


class WatchedFiles:
    """Files that must stay as they are while a model is read from them, and as long as its weights are mapped from them.

    Whoever writes into a mapped file, as a training that saves to the same folder does, changes the model under way, and
    the hash in the result would be that of another one.

    Args:
        files: The files.
        name: The model's, for messages.

    Attributes:
        read_again: Whether weights are read from them again and again, and not only mapped.
    """

    def __init__(self, files: Sequence[Path], name: str) -> None:
        self._name = name
        self.read_again = False
        self._states = {file: _state(file) for file in files}

    def check(self, *, replaced: bool = True) -> None:
        """Makes sure that the files are what they were.

        Args:
            replaced: Whether another file in one's place matters too. It does not once the weights are loaded: the old one
                stays mapped, unless they are `read_again`.

        Raises:
            ModelError: One has changed.
        """
        for file, before in self._states.items():
            now = _state(file)
            if now != before and (
                replaced or self.read_again or (now is not None and before is not None and now[0] == before[0])
            ):
                raise ModelError(
                    f"the file {file.name} of the model '{self._name}' was changed while it was in use",
                    hint="let the other program finish, then give the same command again",
                )


def _state(file: Path) -> tuple[tuple[int, int], int, int] | None:
    """Which file it is, its size and when it was last written; None where there is none."""
    try:
        found = os.stat(file)
    except OSError:
        return None
    return (found.st_dev, found.st_ino), found.st_size, found.st_mtime_ns


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def combine(*parts: str) -> str:
    """SHA-256 of several texts, one a line."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def config_sha256(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> str:
    """SHA-256 of what decides a model's answers besides its weights and the ids of its tokens.

    That is its class and configuration, how it generates by default, which tokens begin and end a text, and how tokens
    become text again. Names, paths and versions are no part of it, so that a renamed or saved again model is the same.
    """
    config = _content(model.config)
    config["quantization_config"] = {**(config.get("quantization_config") or {}), "gguf_file": None}
    generation = _content(getattr(model, "generation_config", None))
    tokens = {
        "named": {name: str(token) for name, token in tokenizer.special_tokens_map.items()},
        "ids": [tokenizer.bos_token_id, tokenizer.eos_token_id],
        "special": sorted(index for index, token in tokenizer.added_tokens_decoder.items() if token.special),
        "clean_up": getattr(tokenizer, "clean_up_tokenization_spaces", None),
    }
    parts = (json.dumps(part, sort_keys=True, default=str) for part in (config, generation, tokens))
    return combine(type(model).__name__, *parts)


def _content(config: Any) -> dict[str, Any]:
    values: dict[str, Any] = {} if config is None else config.to_dict()
    return {name: value for name, value in values.items() if name not in _NAMES}


def tokenizer_sha256(tokenizer: PreTrainedTokenizerBase) -> str:
    """SHA-256 of what decides a tokenizer's ids: its vocabulary, merges, normaliser and special tokens.

    The chat template is no part of it: two runs without chat templates are alike whatever the template says.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        return hashlib.sha256(backend.to_str().encode()).hexdigest()
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    return combine(type(tokenizer).__name__, *(f"{index} {token}" for token, index in vocabulary))
