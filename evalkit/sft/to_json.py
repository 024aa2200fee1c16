"""A fine-tuning as JSON values (schema `evalkit.sft/1`)."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from evalkit.comparison import Comparison
from evalkit.files import atomic_writer
from evalkit.fine_tuning import SCHEMA, FineTuning, RetrievalTable


def fine_tuning_to_json(result: FineTuning) -> dict[str, Any]:
    """The verdicts first, then everything they rest on; comparisons as `evalkit compare -o` writes them."""
    return {
        "schema": SCHEMA,
        "verdicts": {name: verdict.value for name, verdict in result.verdicts().items()},
        "exit_code": result.exit_code,
        **{one.name: _plain(getattr(result, one.name)) for one in fields(result)},
    }


def write_fine_tuning_json(result: FineTuning, path: Path) -> None:
    """Writes the file, whole or not at all.

    Raises:
        OutputError: The place cannot be written.
    """
    text = json.dumps(fine_tuning_to_json(result), ensure_ascii=False, indent=1, allow_nan=False)
    with atomic_writer(path) as stream:
        stream.write(text.encode("utf-8", "surrogatepass") + b"\n")


def _plain(value: Any) -> Any:
    """Plain JSON values; numbers that are not finite become null."""
    if isinstance(value, Comparison):
        return value.to_json()
    if isinstance(value, RetrievalTable):
        return {one.name: _plain(getattr(value, one.name)) for one in fields(value)}
    if hasattr(value, "to_json"):
        return value.to_json()
    if hasattr(value, "__dataclass_fields__"):
        return _plain(asdict(value))
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value
