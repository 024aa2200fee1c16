"""The mean over the tasks as a gate judges it: it sees what no task shows alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from evalkit.comparing.ranges import SHARE
from evalkit.comparison import Change, Comparison, TaskChange, Verdict
from evalkit.errors import UsageError
from evalkit.gating.absent import Obstacle, why_absent
from evalkit.gating.measure import Measured, exhausted, low_overlap, margin_of, range_of, roots_and_inner
from evalkit.gating.policy import Judged, Policy
from evalkit.gating.result import Reason


def measured_mean(comparisons: Mapping[float, Comparison], policy: Policy, tasks: Sequence[Judged]) -> list[Measured]:
    """The mean over the tasks of the comparison; nothing where it has no meaning.

    Raises:
        UsageError: It is to decide, and there is none.
    """
    some = next(iter(comparisons.values()))
    roots, _ = roots_and_inner(some.before.run)
    judged = policy.judged_mean(f"mean of {len(roots)} tasks", tasks)
    comparison = comparisons[judged.rule.alpha]
    change = comparison.overall
    if judged.decides and (why := _no_mean(roots, comparison)):
        raise UsageError(
            f"{policy.source or 'the policy'}: there is no mean over the tasks that could decide, as {why}",
            hint="leave `mean` out",
        )
    absent = _absent(roots, comparison)
    if change is None and not judged.decides:
        return []
    if absent is not None or change is None:
        # a mean over other parts is another mean: its numbers are not shown under this one's name
        return [Measured(judged, None, absent or _not_summed(comparison))]
    found = [comparison.tasks[name] for name in comparison.roots]
    margin = margin_of(judged.rule.margin, range_of(change), change.before)
    obstacle = _obstacle_of_mean(judged, found, change, comparison)
    return [Measured(judged, replace(change, margin=margin), obstacle, exhausted(found, comparison))]


def _no_mean(roots: Sequence[str], comparison: Comparison) -> str:
    """Why the baseline's tasks have no mean, whatever the candidate has of them; empty where they have one."""
    if len(roots) < 2:
        return "there is one task only"
    changes = {name: comparison.tasks[name].change for name in roots if name in comparison.tasks}
    unlike = [name for name, one in changes.items() if one.bounds not in (None, SHARE)]
    endless = [name for name, one in changes.items() if one.bounds is None and not _is_unknown(one)]
    if unlike or endless:
        return "their metrics are not all shares of 1"
    less = [f"{one.metric} of {name}" for name, one in changes.items() if not one.higher_is_better]
    if less:
        return f"less is better of {', '.join(less[:3])}, and a mean is only made of metrics of which more is better"
    return ""


def _is_unknown(change: Change) -> bool:
    """Whether a group's metric has no range because it is not known of what it is the mean."""
    return change.verdict is Verdict.NOT_COMPARABLE


def _absent(roots: Sequence[str], comparison: Comparison) -> Obstacle | None:
    """A candidate raises no mean by leaving tasks out, or by having other metrics or groups."""
    found = [why_absent(name, comparison) for name in roots if name not in comparison.roots]
    if not found:
        return None
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    return Obstacle(found[0].reason, "; ".join(one.sentence for one in found[:3]) + more)


def _not_summed(comparison: Comparison) -> Obstacle:
    """Groups of which it is not known what they are the mean of."""
    changes = {name: comparison.tasks[name].change for name in comparison.roots}
    reasons = [f"{name}: {one.reason}" for name, one in changes.items() if one.verdict is Verdict.NOT_COMPARABLE]
    return Obstacle(Reason.SETTINGS_DIFFER, "; ".join(reasons[:3]) or "the tasks have no mean in common")


def _obstacle_of_mean(
    judged: Judged, tasks: Sequence[TaskChange], change: Change, comparison: Comparison
) -> Obstacle | None:
    """A candidate raises no mean by leaving documents out."""
    for task in tasks:
        if task.pairing.coverage < judged.rule.min_overlap:
            sentence = f"{task.name}: {low_overlap(task.pairing, judged.rule.min_overlap)}"
            return Obstacle(Reason.LOW_OVERLAP, sentence)
    if change.verdict is Verdict.NOT_COMPARABLE:
        return Obstacle(Reason.SETTINGS_DIFFER, change.reason)
    return None
