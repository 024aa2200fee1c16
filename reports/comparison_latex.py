"""A comparison of two runs as a LaTeX table."""

from __future__ import annotations

from collections.abc import Sequence

from evalkit.comparison import Change, Comparison
from evalkit.reports import latex


def comparison_latex(comparison: Comparison) -> str:
    """A row for each task or group that is in no group: before, after, difference with its interval, p, verdict."""
    rows: list[Sequence[str] | None] = [
        _row(latex.escape(name), comparison.tasks[name].change) for name in comparison.roots
    ]
    if comparison.overall is not None:
        rows += [None, _row("Mean over tasks", comparison.overall)]
    before, after = latex.escape(comparison.before.label), latex.escape(comparison.after.label)
    level = f"{100 * (1 - comparison.alpha):g}"
    headings = ("Task", "$n$", before, after, "Change", rf"{level}\,\% interval", "$p$", "Verdict")
    caption = (
        f"{after} against {before}, paired by document. Differences of shares in points of percent; "
        r"$p$ of paired tests, after Holm's correction."
    )
    return latex.render(latex.Table("lrrrrrrl", headings, rows, caption, "tab:comparison"))


def _row(name: str, change: Change) -> list[str]:
    interval = "" if change.interval is None else " to ".join(_signed(change, end) for end in change.interval)
    return [
        name,
        f"{change.n:,}",
        _value(change, change.before),
        _value(change, change.after),
        latex.number(_signed(change, change.difference)),
        latex.number(interval),
        _p(change.p_adjusted),
        latex.escape(change.word),
    ]


def _is_share(change: Change) -> bool:
    return change.bounds == (0.0, 1.0)


def _value(change: Change, value: float) -> str:
    return f"{100 * value:.1f}" if _is_share(change) else latex.number(f"{value:.4g}")


def _signed(change: Change, value: float) -> str:
    return f"{100 * value:+.1f}" if _is_share(change) else f"{value:+.3g}"


def _p(p: float | None) -> str:
    if p is None:
        return ""
    return "$<$ 0.001" if p < 0.001 else f"{p:.3f}"
