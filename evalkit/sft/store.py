"""Result dataclasses as JSON files, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from evalkit.errors import UsageError
from evalkit.files import atomic_writer

Result = TypeVar("Result")


def write_result(path: Path, value: Any) -> None:
    """Writes a dataclass, or a tuple of some, whole or not at all.

    Raises:
        OutputError: The place cannot be written.
    """
    import pydantic_core

    with atomic_writer(path) as stream:
        stream.write(pydantic_core.to_json(value, indent=1, inf_nan_mode="strings") + b"\n")


def read_result(path: Path, kind: type[Result]) -> Result:
    """Reads what `write_result` wrote.

    Raises:
        UsageError: It is not of this kind.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(kind).validate_json(path.read_bytes())
    except (ValidationError, OSError) as error:
        raise UsageError(f"{path} cannot be read: {error}", hint="--fresh starts anew") from error
