"""Tables and sections of texts, the same for every format."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Table:
    """A small table: its first column names the row."""

    caption: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a report.

    Attributes:
        key: Short name.
        heading: For people.
        lines: Sentences.
        tables: Tables after them.
    """

    key: str
    heading: str
    lines: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
