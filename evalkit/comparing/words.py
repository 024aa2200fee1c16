"""A comparison in sentences."""

from __future__ import annotations

from evalkit.comparing.amounts import amount, is_share, step
from evalkit.comparison import Cause, Change, Comparison, Verdict

_FIRST = {
    Verdict.IMPROVED: "{after} is better than {before} on {count} of {total} tasks",
    Verdict.REGRESSED: "{after} is worse than {before} on {count} of {total} tasks",
    Verdict.WITHIN_MARGIN: "{after} is within the margin of {before} on {count} of {total} tasks",
    Verdict.UNDECIDED: "{after} against {before}: undecided on {count} of {total} tasks",
}
_FURTHER = {
    Verdict.REGRESSED: "worse on {count}",
    Verdict.WITHIN_MARGIN: "within the margin on {count}",
    Verdict.UNDECIDED: "undecided on {count}",
    Verdict.NOT_COMPARABLE: "not comparable on {count}",
}


def headline(comparison: Comparison) -> str:
    """The verdict in one sentence: "tuned is better than base on 3 of 9 tasks, worse on 1, undecided on 5"."""
    before, after = comparison.before.label, comparison.after.label
    counts = comparison.counts()
    total = len(comparison.roots)
    if counts[Verdict.NOT_COMPARABLE] == total:
        return f"{after} and {before} cannot be compared"
    if comparison.same:
        return f"{after} and {before} are the same: every document has the same score in both"
    if total == 1:
        return _single(comparison, comparison.tasks[comparison.roots[0]].change)
    first, *further = [verdict for verdict in (*_FIRST, Verdict.NOT_COMPARABLE) if counts[verdict]]
    said = [_FIRST[first].format(after=after, before=before, count=counts[first], total=total)]
    said += [_FURTHER[verdict].format(count=counts[verdict]) for verdict in further]
    return ", ".join(said) + _mean(comparison)


def _mean(comparison: Comparison) -> str:
    """What the mean over tasks shows, where it shows something: it has all documents, and sees what no task does alone."""
    change = comparison.overall
    if change is None or change.verdict not in (Verdict.IMPROVED, Verdict.REGRESSED):
        return ""
    direction = "better" if change.verdict is Verdict.IMPROVED else "worse"
    return f"; {direction} by {amount(change, abs(change.gain))} in the mean"


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
    parts = ", ".join(f"{cause.value} {_signed(change, sign * part)}" for cause, part in moved.items())
    answers = _signed(change, sign * sum(moved.values()))
    knowledge = _signed(change, sign * attribution.parts.get(Cause.KNOWLEDGE, 0.0))
    total = amount(change, change.gain, sign=True)
    return f"{name}: {total}, of which {answers} by unreadable answers ({parts}) and {knowledge} by knowledge"


def _signed(change: Change, value: float) -> str:
    return step(value, is_share(change))
