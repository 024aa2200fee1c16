"""A run as GitHub-flavoured Markdown: the terminal's table, for a pull request or a model card."""

from __future__ import annotations

import re

from evalkit.reports.notes import notes
from evalkit.reports.rows import ScoreRow, score_rows
from evalkit.reports.text import visible
from evalkit.results import Run

_HEADINGS = ("task", "version", "shots", "n", "metric", "value", "95 % interval", "chance")
_RIGHT = {"version", "shots", "n", "value", "95 % interval", "chance"}


def markdown(run: Run, *, expand: bool = False) -> str:
    """The run as a Markdown section.

    Args:
        run: Finished run.
        expand: Show the members of large groups (MMLU's subjects) too.
    """
    lines = [
        f"**{escape(run.model.name)}** ({escape(run.model.dtype)}, {escape(run.model.source)}), "
        f"evalkit {escape(run.evalkit_version)}, {escape(run.created)}",
        "",
        _line(_HEADINGS),
        _line(["---:" if heading in _RIGHT else "---" for heading in _HEADINGS]),
        *(_line(_cells(row)) for row in score_rows(run, expand=expand)),
    ]
    remarks = notes(run)
    if remarks:
        lines += ["", *(f"- {escape(remark)}" for remark in remarks)]
    return "\n".join(lines) + "\n"


def escape(text: str) -> str:
    """Text that Markdown and HTML show as it is."""
    return re.sub(r"([\\`*_{}\[\]<>()#!|~&])", r"\\\1", visible(text))


def _cells(row: ScoreRow) -> list[str]:
    name = escape(row.name)
    if row.is_group and name:
        name = f"**{name}**"
    metric = escape(row.metric) + (" ↓" if row.lower_is_better else "")
    return ["&emsp;" * row.depth + name, row.version, row.shots, row.n, metric, row.value, row.interval, row.chance]


def _line(cells: tuple[str, ...] | list[str]) -> str:
    return f"| {' | '.join(cells)} |"
