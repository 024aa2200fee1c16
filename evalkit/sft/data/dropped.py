"""Rows that are left out of training, with reasons."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evalkit.files import atomic_writer
from evalkit.sft.rows import TrainingRow


@dataclass(frozen=True, slots=True)
class Dropped:
    """A row that is left out.

    Attributes:
        source: The file or dataset it is from.
        index: Its place there, from 0.
        reason: A code: `no-answer`, `empty-prompt`, `wrong-type`, `roles`, `same-answers`, `duplicate`, `near-duplicate`,
            `language-outlier`, `length-outlier`, `contaminated`.
        detail: What exactly, for people.
        content: The row.
    """

    source: str
    index: int
    reason: str
    detail: str
    content: Any

    @classmethod
    def of(cls, row: TrainingRow, reason: str, detail: str) -> Dropped:
        """A row that was understood."""
        content: dict[str, Any] = {"messages": [one._asdict() for one in row.messages]}
        if row.rejected is not None:
            content["rejected"] = row.rejected
        if row.text is not None:
            content = {"text": row.text}
        return cls(row.source, row.index, reason, detail, content)


def write_dropped(path: Path, dropped: Sequence[Dropped]) -> None:
    """Writes one JSON object a line.

    Raises:
        OutputError: The place cannot be written.
    """
    with atomic_writer(path) as stream:
        for one in dropped:
            text = json.dumps(asdict(one), ensure_ascii=False, default=str)
            stream.write(text.encode("utf-8", "backslashreplace") + b"\n")
