"""A run as GitHub-flavoured Markdown: the terminal's table, for a pull request or a model card."""

from __future__ import annotations

import re
from collections.abc import Sequence

from evalkit.reports.notes import notes
from evalkit.reports.rows import ScoreRow, score_rows
from evalkit.reports.text import visible
from evalkit.results import Run

_SEEDS = "sd of seeds"
_HEADINGS = ("task", "version", "shots", "n", "metric", "value", "95 % interval", _SEEDS, "chance")
_RIGHT = {"version", "shots", "n", "value", "95 % interval", _SEEDS, "chance"}
_REFERENCE = re.compile(r"@|\\#(?=\d)|\bGH-(?=\d)|:(?=//)|\bwww(?=\.)", re.IGNORECASE)
"""The first part of what GitHub links: `@name` and addresses of mail, `#12`, `GH-12`, `https://`, `www.`"""


def markdown(run: Run, *, expand: bool = False) -> str:
    """The run as a Markdown section.

    Args:
        run: Finished run.
        expand: Show the members of large groups (MMLU's subjects) too.
    """
    rows = score_rows(run, expand=expand)
    seeds = any(row.spread for row in rows)
    headings = [heading for heading in _HEADINGS if seeds or heading != _SEEDS]
    lines = [
        f"**{escape(run.model.name)}** ({escape(run.model.dtype)}, {escape(run.model.source)}), "
        f"evalkit {escape(run.evalkit_version)}, {escape(run.created)}",
        "",
        _line(headings),
        _line(["---:" if heading in _RIGHT else "---" for heading in headings]),
        *(_line(_cells(row, seeds)) for row in rows),
    ]
    remarks = notes(run)
    if remarks:
        lines += ["", *(f"- {escape(remark)}" for remark in remarks)]
    return "\n".join(lines) + "\n"


def escape(text: str) -> str:
    """Text that Markdown and HTML show as it is, and that names no person, issue or address to GitHub.

    GitHub looks for these after Markdown was made HTML, where a backslash or `&#64;` has gone; an empty comment, raw HTML
    by the GFM specification (6.10), stays between the letters and shows nothing.
    """
    shown = re.sub(r"([\\`*_{}\[\]<>()#!|~&])", r"\\\1", visible(text))
    return _REFERENCE.sub(r"\g<0><!-- -->", shown)


def _cells(row: ScoreRow, seeds: bool) -> list[str]:
    name = escape(row.name)
    if row.is_group and name:
        name = f"**{name}**"
    metric = escape(row.metric) + (" ↓" if row.lower_is_better else "")
    cells = ["&emsp;" * row.depth + name, row.version, row.shots, row.n, metric, row.value, row.interval]
    return [*cells, *([row.spread] if seeds else []), row.chance]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
