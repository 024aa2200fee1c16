"""A comparison as GitHub-flavoured Markdown, for a pull request or a model card."""

from __future__ import annotations

from collections.abc import Sequence

from evalkit.comparison import Comparison
from evalkit.ranking import Comparisons
from evalkit.reports.changes import ChangeRow, change_rows, listed_flips, reasons, remarks, unpaired
from evalkit.reports.markdown import escape

_RIGHT = {"n", "before", "after", "change", "fixed / broken", "p", "smallest visible"}


def markdown(comparison: Comparison, *, expand: bool = False, flips: int = 10, list_unpaired: bool = False) -> str:
    """Two runs as a Markdown section.

    Args:
        comparison: Two runs.
        expand: Show the members of large groups too.
        flips: Documents listed at most.
        list_unpaired: List the documents that are in no pair.
    """
    level = f"{100 * (1 - comparison.alpha):g}% interval"
    headings = ["task", "metric", "n", "before", "after", "change", level, "fixed / broken", "p", "smallest visible"]
    lines = [
        f"**{escape(comparison.headline())}**",
        "",
        _line([*headings, "verdict"]),
        _line(["---:" if heading in {*_RIGHT, level} else "---" for heading in [*headings, "verdict"]]),
        *(_line(_cells(row)) for row in change_rows(comparison, expand=expand)),
        "",
        *(f"- {escape(text)}" for text in reasons(comparison)),
    ]
    notes = remarks(comparison)
    if notes:
        lines += ["", *(f"- {escape(text)}" for text in notes)]
    return "\n".join([*lines, *_flips(comparison, flips), *(_unpaired(comparison) if list_unpaired else [])]) + "\n"


def markdown_all(comparisons: Comparisons, *, expand: bool = False) -> str:
    """Several runs: their ranking, and every pair."""
    ranking = comparisons.ranking
    if ranking is None:
        lines = [f"No ranking: {escape(comparisons.unranked)}", ""]
    else:
        lines = [
            _line(["rank", "run", f"mean of {len(ranking.tasks)}", "tied with"]),
            _line(["---:", "---", "---:", "---"]),
            *(
                _line([str(one.rank), escape(one.side.label), f"{100 * one.score:.1f}%", escape(", ".join(one.ties))])
                for one in ranking.standings
            ),
            "",
        ]
    return "\n".join(lines) + "\n" + "\n".join(markdown(pair, expand=expand, flips=0) for pair in comparisons.pairs)


def _cells(row: ChangeRow) -> list[str]:
    name = f"**{escape(row.name)}**" if row.is_group else escape(row.name)
    verdict = f"**{row.verdict}**" if row.verdict in ("improved", "regressed") else row.verdict
    metric = escape(row.metric) + (" ↓" if row.lower_is_better else "")
    numbers = [row.n, row.before, row.after, row.difference, row.interval, row.moved.replace("/", " / ")]
    return ["&emsp;" * row.depth + name, metric, *numbers, escape(row.p), row.visible, verdict]


def _flips(comparison: Comparison, count: int) -> list[str]:
    shown = listed_flips(comparison, count)
    if not shown:
        return []
    total = sum(len(task.flips) for task in comparison.tasks.values())
    lines = ["", f"<details><summary>{len(shown)} of {total:,} documents that changed</summary>", ""]
    lines += [_line(["task", "document", "", "before", "after", "cause"]), _line(["---"] * 6)]
    for name, flip in shown:
        which = "fixed" if flip.gain > 0 else "broken"
        texts = [name, flip.id, which, flip.outcome_before, flip.outcome_after, flip.cause.value]
        lines.append(_line([escape(text) for text in texts]))
    return [*lines, "", "</details>"]


def _unpaired(comparison: Comparison) -> list[str]:
    found = [
        f"- {escape(name)} {escape(identity)} {what}"
        for name, task in comparison.tasks.items()
        if not task.members
        for what, identity in unpaired(task)
    ]
    return ["", *found] if found else []


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
