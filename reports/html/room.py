"""What a page has room for: of ten thousand tasks those that say most, and how many are left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from evalkit.reports.html import figures

PLOT_ROWS = 120
"""Rows of a plot."""
TABLE_ROWS = 500
"""Rows of a table."""

Row = TypeVar("Row")


def most(rows: Sequence[Row], room: int, rank: Callable[[Row], tuple[float, ...]]) -> list[Row]:
    """The rows in their order, but no more than `room`: those whose `rank` is highest."""
    if len(rows) <= room:
        return list(rows)
    places = sorted(range(len(rows)), key=lambda place: rank(rows[place]), reverse=True)[:room]
    return [rows[place] for place in sorted(places)]


def left_out(total: int, shown: int, which: str) -> str:
    """How many rows are missing, and where they are; empty for none."""
    if total <= shown:
        return ""
    return f"{figures.count(shown)} of {figures.count(total)} rows: {which}; `evalkit report --format csv` has all."
