r"""Results as LaTeX tables with booktabs' rules, for a paper: put `\usepackage{booktabs}` into the preamble."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from evalkit.reports.rows import score_rows
from evalkit.reports.text import visible
from evalkit.results import Run

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "'": r"\textquotesingle{}",
    "`": r"\textasciigrave{}",
    # brackets after a row's end would be read as an optional argument; "--" would become a dash
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
    "-": "{-}",
}
_TYPOGRAPHY = {
    "–": "--",
    "−": "$-$",
    "±": r"$\pm$",
    "↓": r"$\downarrow$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "…": r"\dots{}",
}
_PATTERN = re.compile("|".join(map(re.escape, (*_SPECIAL, *_TYPOGRAPHY))))


@dataclass(frozen=True, slots=True)
class Table:
    r"""A table of finished cells.

    Attributes:
        columns: One letter a column: `l` or `r`.
        headings: LaTeX, one a column.
        rows: LaTeX cells; None for a rule.
        caption: LaTeX.
        label: For `\ref`; letters, digits, `:` and `-`.
    """

    columns: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str] | None]
    caption: str
    label: str


def escape(text: str) -> str:
    r"""Text that LaTeX sets as it is, whatever is in it: `a_b` -> `a\_b`.

    Letters outside of Latin stay: pdfLaTeX has no glyphs for some of them, XeLaTeX and LuaLaTeX do with a fitting font.
    """
    return _PATTERN.sub(lambda found: {**_SPECIAL, **_TYPOGRAPHY}[found[0]], visible(text))


def number(text: str) -> str:
    r"""A number that evalkit wrote, as `41.2%` or `-3.1 to 2.0`: minus signs and dashes as LaTeX sets them."""
    minus = re.sub(r"(?<![0-9a-z])-(?=[0-9])", "$-$", text)
    return minus.replace("%", r"\%").replace("–", "--").replace("±", r"$\pm$").replace("↓", r"$\downarrow$")


def bold(text: str) -> str:
    """Finished LaTeX, in bold."""
    return rf"\textbf{{{text}}}" if text else ""


def render(table: Table) -> str:
    r"""The `table` environment, with its caption above as papers have it."""
    lines = [
        "% needs \\usepackage{booktabs}",
        r"\begin{table}[t]",
        r"\centering\small\setlength{\tabcolsep}{4pt}",
        rf"\caption{{{table.caption}}}",
        rf"\label{{{_label(table.label)}}}",
        rf"\begin{{tabular}}{{{table.columns}}}",
        r"\toprule",
        _row(table.headings),
        r"\midrule",
        *(r"\midrule" if row is None else _row(row) for row in table.rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def run_latex(run: Run, *, expand: bool = False) -> str:
    """A run: task, shots, n, metric, value, interval, chance.

    Args:
        run: Finished run.
        expand: Show the members of large groups (MMLU's subjects) too.
    """
    rows = []
    for row in score_rows(run, expand=expand):
        name = r"\quad " * row.depth + escape(row.name) if row.name else ""
        metric = escape(row.metric) + (r" $\downarrow$" if row.lower_is_better else "")
        cells = [name, row.shots, row.n, metric, number(row.value), number(row.interval), number(row.chance)]
        rows.append([bold(cell) for cell in cells] if row.is_group else cells)
    caption = f"{escape(run.model.name)} ({escape(run.model.dtype)}), evalkit {escape(run.evalkit_version)}."
    headings = ("Task", "Shots", "$n$", "Metric", "Value", r"95\,\% interval", "Chance")
    return render(Table("lrrlrrr", headings, rows, caption, f"tab:{run.model.name}"))


def _row(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


def _label(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9:]+", "-", text).strip("-")
