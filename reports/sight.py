"""What comparing two planned runs could see: the second table of a plan, for the terminal and as Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from evalkit.reports.rows import FOLDED_FROM
from evalkit.reports.text import visible
from evalkit.run_plan import RunPlan, Sight

if TYPE_CHECKING:
    from rich.table import Table

OVERALL = "mean over tasks"
POINTS = (0.02, 0.01)
HEADINGS = ("task", "documents", "smallest difference", "for 2 points", "for 1 point")


def sight_rows(plan: RunPlan) -> list[tuple[str, ...]]:
    """Cells of a row for each task and group, those in a large group left out, and for the mean over tasks."""
    folded = {
        member
        for members in plan.groups.values()
        if len(members) > FOLDED_FROM and not any(member in plan.groups for member in members)
        for member in members
    }
    rows = [_cells(visible(name), sight) for name, sight in plan.sights.items() if name not in folded]
    return rows + ([_cells(OVERALL, plan.overall)] if plan.overall is not None else [])


def sight_notes(plan: RunPlan) -> list[str]:
    """How to read the table, and what it rests on."""
    if not plan.sights:
        return []
    found = [
        "smallest difference: the true one that two such runs would show (p < .05) in 4 of 5 tries; "
        "then the documents that would show 2 points and 1 point"
    ]
    bases: dict[str, list[str]] = {}
    for name in plan.sights:
        if name not in plan.groups:
            bases.setdefault(plan.sights[name].basis, []).append(name)
    if len(bases) == 1:
        found.append(next(iter(bases)))
    else:
        found += [f"{_names(names)}: {basis}" for basis, names in bases.items()]
    if any("assumed" in basis for basis in bases):
        found.append(
            "a model and its fine-tune agree more than that: where they disagree on 10 % of the documents, differences "
            "less than half as large show. --baseline base.json tuned.json takes what earlier runs show"
        )
    return found


def sight_table(plan: RunPlan) -> Table:
    """The table for the terminal."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(HEADINGS[0], overflow="fold")
    for heading in HEADINGS[1:]:
        table.add_column(heading, justify="right")
    for row in sight_rows(plan):
        table.add_row(*map(Text, row))
    return table


def _cells(name: str, sight: Sight) -> tuple[str, ...]:
    needed = [f"{sight.needed[points]:,}" if points in sight.needed else "" for points in POINTS]
    return (name, f"{sight.documents:,}", difference(sight), *needed)


def difference(sight: Sight) -> str:
    """The smallest visible difference in points, or in the metric's unit; `unknown` where it is."""
    if sight.difference is None:
        return "unknown"
    if sight.is_share:
        # rounded up: it must not promise more than there is
        return f"{math.ceil(1000 * sight.difference - 1e-6) / 10:.1f} points"
    return f"{sight.difference:.3g}"


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(visible(name) for name in names[:3])
    return shown + (f" and {len(names) - 3:,} more" if len(names) > 3 else "")
