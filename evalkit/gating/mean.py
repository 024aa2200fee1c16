"""The mean over the tasks as a gate judges it: it sees what no task shows alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from evalkit.comparison import Change, Comparison, TaskChange, Verdict
from evalkit.errors import UsageError
from evalkit.gating.measure import Measured, Obstacle, exhausted, low_overlap, margin_of, range_of
from evalkit.gating.policy import Judged, Policy
from evalkit.gating.result import Reason


def measured_mean(comparisons: Mapping[float, Comparison], policy: Policy, tasks: Sequence[Judged]) -> list[Measured]:
    """The mean over the tasks of the comparison; nothing where it has no meaning.

    Raises:
        UsageError: It is to decide, and there is none.
    """
    roots = next(iter(comparisons.values())).roots
    judged = policy.judged_mean(f"mean of {len(roots)} tasks", tasks)
    comparison = comparisons[judged.rule.alpha]
    change = comparison.overall
    if change is None:
        if judged.decides:
            why = "there is one task only" if len(roots) < 2 else "their metrics are not all shares of 1"
            raise UsageError(
                f"{policy.source or 'the policy'}: there is no mean over the tasks that could decide, as {why}",
                hint="leave `mean` out",
            )
        return []
    found = [comparison.tasks[name] for name in roots]
    margin = margin_of(judged.rule.margin, range_of(change), change.before)
    obstacle = _obstacle_of_mean(judged, found, change, comparison)
    return [Measured(judged, replace(change, margin=margin), obstacle, exhausted(found, comparison))]


def _obstacle_of_mean(
    judged: Judged, tasks: Sequence[TaskChange], change: Change, comparison: Comparison
) -> Obstacle | None:
    """A candidate raises no mean by leaving tasks or documents out."""
    if comparison.only_before:
        names = ", ".join(comparison.only_before[:3])
        return Obstacle(Reason.MISSING_TASK, f"the candidate has no result for {names}")
    for task in tasks:
        if task.pairing.coverage < judged.rule.min_overlap:
            sentence = f"{task.name}: {low_overlap(task.pairing, judged.rule.min_overlap)}"
            return Obstacle(Reason.LOW_OVERLAP, sentence)
    if change.verdict is Verdict.NOT_COMPARABLE:
        return Obstacle(Reason.SETTINGS_DIFFER, change.reason)
    return None
