"""Tables and sections of texts, the same for every format."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Table:
    """A small table: its first column names the row."""

    caption: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def is_text(self, place: int) -> bool:
        """Whether a column holds words, which stand on the left, and not numbers, which stand on the right."""
        cells = [row[place] for row in self.rows]
        return place == 0 or any(cell and cell[0] not in "+-−<.0123456789" for cell in cells)


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
