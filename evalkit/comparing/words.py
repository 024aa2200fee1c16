"""A comparison in sentences."""

from __future__ import annotations

from evalkit.comparing.amounts import amount
from evalkit.comparison import Cause, Change, Comparison, Verdict


def headline(comparison: Comparison) -> str:
    """The verdict in one sentence: "tuned is better than base on 3 of 9 tasks, worse on 1, undecided on 5"."""
    before, after = comparison.before.label, comparison.after.label
    counts = comparison.counts()
    total = len(comparison.roots)
    if counts[Verdict.NOT_COMPARABLE] == total:
        return f"{after} and {before} cannot be compared"
    if total == 1:
        return _single(comparison, comparison.tasks[comparison.roots[0]].change)
    said = [
        text
        for verdict, text in (
            (Verdict.IMPROVED, f"better than {before} on {{}}"),
            (Verdict.REGRESSED, "worse on {}"),
            (Verdict.WITHIN_MARGIN, "within the margin on {}"),
            (Verdict.UNDECIDED, "undecided on {}"),
            (Verdict.NOT_COMPARABLE, "not comparable on {}"),
        )
        for text in [text.format(counts[verdict])]
        if counts[verdict]
    ]
    first, rest = said[0], said[1:]
    subject = f"{after} against {before}: {first}" if not counts[Verdict.IMPROVED] else f"{after} is {first}"
    return ", ".join([f"{subject} of {total} tasks", *rest])


def _single(comparison: Comparison, change: Change) -> str:
    before, after, task = comparison.before.label, comparison.after.label, comparison.roots[0]
    if change.verdict is Verdict.IMPROVED:
        return f"{after} is better than {before} on {task} by {amount(change, change.gain)}"
    if change.verdict is Verdict.REGRESSED:
        return f"{after} is worse than {before} on {task} by {amount(change, -change.gain)}"
    if change.verdict is Verdict.WITHIN_MARGIN:
        return f"{after} loses no more than the margin against {before} on {task}"
    return f"whether {after} is better or worse than {before} on {task} is undecided"


def unreadable(name: str, change: Change) -> str:
    """How much of a difference is unreadable answers rather than knowledge; empty where none is.

    Args:
        name: The task or group.
        change: Its main metric.
    """
    attribution = change.attribution
    if attribution is None:
        return ""
    moved = {cause: part for cause, part in attribution.parts.items() if cause is not Cause.KNOWLEDGE and part}
    if not moved:
        return ""
    sign = 1 if change.higher_is_better else -1
    knowledge = sign * attribution.parts.get(Cause.KNOWLEDGE, 0.0)
    total = sum(moved.values()) * sign
    parts = ", ".join(f"{cause.value} {amount(change, sign * part, sign=True)}" for cause, part in moved.items())
    return (
        f"{name}: of {amount(change, change.gain, sign=True)}, {amount(change, total, sign=True)} is unreadable answers "
        f"({parts}) and {amount(change, knowledge, sign=True)} knowledge"
    )
