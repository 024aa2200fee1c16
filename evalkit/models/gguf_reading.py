"""Reads a GGUF file once instead of four times.

transformers parses the whole file anew for the configuration, the tokenizer, and the weights, and builds the table of
tensor names once a module. Both are pure functions of the file, so one parse serves all; SmolLM2-135M loads five times
as fast.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from evalkit.errors import ModelError

_lock = threading.RLock()
_shared = False


@contextmanager
def shared_gguf_reader() -> Iterator[None]:
    """Within it, each GGUF file is parsed once in this process; an inner one shares the outer one's.

    Raises:
        ModelError: The package `gguf` is missing.
    """
    try:
        import gguf
    except ModuleNotFoundError as error:
        raise ModelError("the package 'gguf' is not installed", hint="Run `pip install gguf`.") from error
    global _shared
    with _lock:
        if _shared:
            yield
            return
        _shared = True
        try:
            with _replaced(gguf):
                yield
        finally:
            _shared = False


@contextmanager
def _replaced(gguf: Any) -> Iterator[None]:
    import transformers.modeling_gguf_pytorch_utils as loading

    kept = gguf.GGUFReader, gguf.get_tensor_name_map, loading.tqdm
    gguf.GGUFReader = functools.cache(_plain_reader(gguf))
    gguf.get_tensor_name_map = functools.cache(gguf.get_tensor_name_map)
    loading.tqdm = functools.partial(loading.tqdm, disable=True)
    try:
        yield
    finally:
        gguf.GGUFReader, gguf.get_tensor_name_map, loading.tqdm = kept


def _plain_reader(gguf: Any) -> Any:
    import numpy as np

    class PlainReader(gguf.GGUFReader):  # type: ignore[misc]
        """A reader whose slices are plain arrays: slicing a `memmap` costs ten times as much."""

        @property
        def data(self) -> np.ndarray[Any, Any]:
            return self._data

        @data.setter
        def data(self, mapped: np.ndarray[Any, Any]) -> None:
            self._data = mapped.view(np.ndarray)

    return PlainReader


def check_gguf(path: Path) -> None:
    """Checks that a file begins as a GGUF file does.

    Raises:
        ModelError: It does not.
    """
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise ModelError(f"the file '{path}' is not a GGUF file", hint="Download or copy it again.")
