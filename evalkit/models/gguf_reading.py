"""Reads GGUF files quickly.

transformers parses the whole file anew for the configuration, the tokenizer, and the weights, and builds the table of
tensor names once a module. Both are pure functions of the file, so one parse serves all. And the package `gguf` makes
several arrays for each of the hundred thousand entries of a vocabulary, where views of the file will do.
"""

from __future__ import annotations

import functools
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from evalkit.errors import ModelError

if TYPE_CHECKING:
    import numpy as np

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
    gguf.GGUFReader = functools.cache(_quick_reader(gguf))
    gguf.get_tensor_name_map = functools.cache(gguf.get_tensor_name_map)
    loading.tqdm = functools.partial(loading.tqdm, disable=True)
    try:
        yield
    finally:
        gguf.GGUFReader, gguf.get_tensor_name_map, loading.tqdm = kept


def _quick_reader(gguf: Any) -> Any:
    import numpy as np

    string, array = int(gguf.GGUFValueType.STRING), int(gguf.GGUFValueType.ARRAY)

    class QuickReader(gguf.GGUFReader):  # type: ignore[misc]
        """A reader whose slices are plain arrays (slicing a `memmap` costs ten times as much), and arrays read at once."""

        @property
        def data(self) -> np.ndarray[Any, Any]:
            return self._data

        @data.setter
        def data(self, mapped: np.ndarray[Any, Any]) -> None:
            self._data = mapped.view(np.ndarray)

        def _get_field_parts(self, orig_offs: int, raw_type: int) -> tuple[int, list[Any], list[int], list[Any]]:
            if raw_type == array and self.byte_order == "I":
                kind, count = struct.unpack_from("=IQ", self._data.data, orig_offs)
                start = orig_offs + struct.calcsize("=IQ")
                if kind == string:
                    parts, end = _strings(self._data.data, start, count)
                    return self._array(kind, parts, end - orig_offs)
                if kind != array:
                    values = self._get(start, self.gguf_scalar_to_np[gguf.GGUFValueType(kind)], count)
                    return self._array(kind, list(values[:, None]), start + values.nbytes - orig_offs)
            return cast(tuple[int, list[Any], list[int], list[Any]], super()._get_field_parts(orig_offs, raw_type))

        def _array(self, kind: int, parts: list[Any], size: int) -> tuple[int, list[Any], list[int], list[Any]]:
            return size, parts, list(range(len(parts))), [gguf.GGUFValueType.ARRAY, gguf.GGUFValueType(kind)]

    return QuickReader


def _strings(view: memoryview, position: int, count: int) -> tuple[list[memoryview], int]:
    """The bytes of strings that stand one behind the other, each after its length, and the place behind the last."""
    length = struct.Struct("=Q")
    strings = []
    for _ in range(count):
        (size,) = length.unpack_from(view, position)
        start, position = position + length.size, position + length.size + size
        strings.append(view[start:position])
    return strings, position


def check_gguf(path: Path) -> None:
    """Checks that a file begins as a GGUF file does.

    Raises:
        ModelError: It does not.
    """
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise ModelError(f"the file '{path}' is not a GGUF file", hint="Download or copy it again.")
