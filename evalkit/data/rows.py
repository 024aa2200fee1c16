"""Rows of a dataset, what is known of where they came from, and hashes of their content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, overload

from evalkit.task import Row


@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """What goes into the result file about one dataset split.

    Attributes:
        id: `org/name` as on the hub; for a task's own files the path as the task gives it.
        config: Configuration that was read; None for a task's own files.
        split: Split as the task names it.
        revision: Commit on the hub, or `package==version` for the embedded pack; None where unknown.
        source: `file`, `data-dir`, `embedded`, `hub`, or `sacrebleu` for its own test sets.
        sha256: Hash of the content of the rows in order (canonical JSON), the same for equal rows in any format.
    """

    id: str
    config: str | None
    split: str
    revision: str | None
    source: str
    sha256: str


class Rows(Sequence[Row]):
    """The rows of one split as plain Python dicts, with `info` about where they came from."""

    def __init__(self, rows: Sequence[Row], info: DatasetInfo) -> None:
        self._rows = rows
        self.info = info

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | Sequence[Row]:
        return self._rows[index]

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        return f"Rows({len(self)} rows, {self.info})"


def document_id(row: Row) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of the row's canonical JSON.

    It depends on the content alone, so two runs pair even when one was limited or reordered. Equal rows share an id.
    """
    return hashlib.sha256(_canonical(row)).hexdigest()[:16]


def unique_ids(ids: Sequence[str]) -> list[str]:
    """Marks copies of the same document, so that every document of a task has an id of its own."""
    seen: dict[str, int] = {}
    unique = []
    for identity in ids:
        seen[identity] = seen.get(identity, 0) + 1
        unique.append(identity if seen[identity] == 1 else f"{identity}#{seen[identity]}")
    return unique


def content_sha256(rows: Iterable[Row]) -> str:
    """SHA-256 (64 hexadecimal digits) of the rows' canonical JSON, one line a row, in order."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(_canonical(row))
        digest.update(b"\n")
    return digest.hexdigest()


def _canonical(row: Row) -> bytes:
    text = json.dumps(row, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=_encode)
    return text.encode("utf-8", "surrogatepass")


def _encode(value: Any) -> Any:
    """What JSON has no word for: bytes as hexadecimal digits, dates in ISO 8601, decimals as written."""
    if isinstance(value, bytes):
        return value.hex()
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return str(value)
