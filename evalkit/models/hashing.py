"""Identity of a model: hashes of its weights and of its tokenizer."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_THREADS = 4


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


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def combine(*parts: str) -> str:
    """SHA-256 of several texts, one a line."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def tokenizer_sha256(tokenizer: PreTrainedTokenizerBase) -> str:
    """SHA-256 of what decides a tokenizer's ids: its vocabulary, merges, normaliser and special tokens.

    The chat template is no part of it: two runs without chat templates are alike whatever the template says.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        return hashlib.sha256(backend.to_str().encode()).hexdigest()
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    return combine(type(tokenizer).__name__, *(f"{index} {token}" for token, index in vocabulary))
