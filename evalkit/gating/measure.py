"""What is measured of every task that a policy judges: the change of its metric, with p adjusted over the family.

The verdict is that of `evalkit.comparing.verdict`, which `evalkit compare` uses too, at the policy's margin and alpha.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from evalkit.comparison import Change, Comparison, FieldDifference, Pairing, TaskChange, Verdict
from evalkit.errors import UsageError
from evalkit.gating.absent import Obstacle, why_absent
from evalkit.gating.amount import Amount
from evalkit.gating.policy import MEAN, Judged, Policy
from evalkit.gating.result import Reason, Row
from evalkit.results import Run

POINT = Amount(1, "pt")


@dataclass(frozen=True, slots=True)
class Measured:
    """One task that the policy judges, or the mean over them.

    Attributes:
        judged: Which, and by what rule.
        change: Its metric, with the policy's margin and verdict; None where a run lacks it.
        obstacle: Why it cannot be compared; None where it can.
        too_small: A gain as required is ruled out (`evalkit.gating.required_gains`).
        exhausted: Whether both runs evaluated all documents that there are.
    """

    judged: Judged
    change: Change | None
    obstacle: Obstacle | None = None
    too_small: bool = False
    exhausted: bool = False

    @property
    def is_share(self) -> bool:
        """Whether the metric is a share of 1."""
        return self.change is not None and range_of(self.change) == (0.0, 1.0) and self.change.higher_is_better


def measure(comparisons: Mapping[float, Comparison], policy: Policy, *, mean: bool = True) -> list[Measured]:
    """Every task that the policy judges, those that decide first; the mean over them is last.

    Args:
        comparisons: Alpha -> comparison of the same two runs at that level, for the alpha of every rule.
        policy: What is judged.
        mean: Whether the mean is judged too.

    Raises:
        UsageError: The policy names a task that the baseline lacks or a metric that neither run has, or nothing decides.
    """
    run = next(iter(comparisons.values())).before.run
    judged = policy.judged(*roots_and_inner(run))
    judged.sort(key=lambda one: not one.decides)
    found = [_measured(one, comparisons[one.rule.alpha], policy.source) for one in judged]
    if mean:
        from evalkit.gating.mean import measured_mean

        found += measured_mean(comparisons, policy, judged)
    if not any(one.judged.decides for one in found):
        raise policy.no_task_decides()
    # what decides is one family; what only informs is another, so that looking at more costs nothing
    deciding = [one for one in found if one.judged.decides]
    others = [one for one in found if not one.judged.decides]
    return [
        *_settled(deciding),
        *_settled([one for one in others if one.judged.pattern != MEAN]),
        *_settled([one for one in others if one.judged.pattern == MEAN]),
    ]


def roots_and_inner(run: Run) -> tuple[list[str], list[str]]:
    """Tasks and groups that are in no group, and the others."""
    inner = {member for group in run.groups.values() for member in group.tasks}
    names = [*run.groups, *run.tasks]
    return [name for name in names if name not in inner], [name for name in names if name in inner]


def leaves(run: Run, name: str) -> tuple[str, ...]:
    """The tasks that a name stands for."""
    return run.leaves(name) if name in run.groups else (name,)


def range_of(change: Change) -> tuple[float, float] | None:
    """Range of the metric as `compare` knows it (`evalkit.comparing.ranges`), so that both have the same margins."""
    return change.bounds


def margin_of(amount: Amount | None, bounds: tuple[float, float] | None, before: float) -> float:
    """The tolerated loss in the metric's unit; by default 1 point, or 1 % of the baseline's score without a range."""
    return (amount or POINT).difference(bounds, before)


def _measured(judged: Judged, comparison: Comparison, source: str) -> Measured:
    name, rule = judged.task, judged.rule
    task = comparison.tasks.get(name)
    if task is None:
        return Measured(judged, None, why_absent(name, comparison))
    change = task.change if rule.metric in (None, task.change.metric) else task.others.get(rule.metric or "")
    if change is None:
        sentence = _missing_metric(judged, task, comparison, source)
        return Measured(judged, None, Obstacle(Reason.MISSING_METRIC, sentence))
    margin = margin_of(rule.margin, range_of(change), change.before)
    obstacle = _obstacle(judged, task, change, comparison)
    return Measured(judged, replace(change, margin=margin), obstacle, exhausted([task], comparison))


def _missing_metric(judged: Judged, task: TaskChange, comparison: Comparison, source: str) -> str:
    """That not both runs have the metric.

    Raises:
        UsageError: Neither has it: the policy's slip, and no difference of the runs.
    """
    metric, has = judged.rule.metric or "", [task.change.metric, *task.others]
    runs = [side.run for side in (comparison.before, comparison.after)]
    holders = [run.groups.get(task.name) or run.tasks[task.name] for run in runs]
    known = list(dict.fromkeys(name for holder in holders for name in holder.metrics))
    if metric not in known:
        near = difflib.get_close_matches(metric, known, n=1)
        raise UsageError(
            f"{source or 'the policy'}, entry `{judged.pattern}`: neither run has a metric {metric} of {task.name}",
            hint=f"did you mean `{near[0]}`?" if near else f"they have {', '.join(known)}",
        )
    lacking = [
        side for side, holder in zip(("baseline", "candidate"), holders, strict=True) if metric not in holder.metrics
    ]
    if lacking:
        return f"the {lacking[0]} has no {metric} of {task.name}; both have {', '.join(has)}"
    return f"{metric} of {task.name} cannot be compared; what can is {', '.join(has)}"


def _obstacle(judged: Judged, task: TaskChange, change: Change, comparison: Comparison) -> Obstacle | None:
    blocking = [
        one for one in comparison.conditions if one.blocks and not one.allowed and _touches(one, task.name, comparison)
    ]
    if blocking:
        named = "; ".join(f"{one.field}: {one.before} before, {one.after} now" for one in blocking[:3])
        return Obstacle(Reason.SETTINGS_DIFFER, f"the runs answer different questions ({named})")
    if task.pairing.coverage < judged.rule.min_overlap:
        return Obstacle(Reason.LOW_OVERLAP, low_overlap(task.pairing, judged.rule.min_overlap))
    if change.verdict is Verdict.NOT_COMPARABLE:
        return Obstacle(Reason.SETTINGS_DIFFER, change.reason)
    return None


def low_overlap(pairing: Pairing, needed: float) -> str:
    """That too few documents are in both runs."""
    return (
        f"only {pairing.paired:,} of {pairing.paired + pairing.dropped:,} documents are in both runs and scored "
        f"({100 * pairing.coverage:.0f} %, needed {100 * needed:.0f} %: min_overlap)"
    )


def _touches(condition: FieldDifference, name: str, comparison: Comparison) -> bool:
    if not condition.tasks or name in condition.tasks:
        return True
    return bool(set(leaves(comparison.before.run, name)) & set(condition.tasks))


def _settled(family: Sequence[Measured]) -> list[Measured]:
    """The tasks of one family with their verdicts."""
    from evalkit.stats.multiple import holm

    values = {
        one.judged.task: one.change.p
        for one in family
        if one.change is not None and one.change.p is not None and one.obstacle is None
    }
    adjusted = dict(zip(values, holm(list(values.values())), strict=True))
    return [_with_verdict(one, adjusted.get(one.judged.task), len(values)) for one in family]


def _with_verdict(one: Measured, p: float | None, family: int) -> Measured:
    from evalkit.comparing.verdict import decide

    if one.change is None:
        return one
    if one.obstacle is not None:
        change = replace(one.change, verdict=Verdict.NOT_COMPARABLE, reason=one.obstacle.sentence, more_items=None)
        return replace(one, change=change)
    change = replace(one.change, p_adjusted=p)
    return replace(one, change=decide(change, family=family, exhausted=one.exhausted))


def exhausted(tasks: Sequence[TaskChange], comparison: Comparison) -> bool:
    """Whether both runs evaluated all documents that there are."""
    whole = not any(task.pairing.only_before or task.pairing.only_after for task in tasks)
    return whole and all(side.run.settings.get("limit") is None for side in (comparison.before, comparison.after))


def row(measured: Measured) -> Row | None:
    """What a report shows of it; None where a run lacks it."""
    change, judged = measured.change, measured.judged
    if change is None:
        return None
    return Row(
        task=judged.task,
        metric=change.metric,
        is_share=measured.is_share,
        higher_is_better=change.higher_is_better,
        decides=judged.decides,
        verdict=change.verdict,
        n=change.n,
        before=change.before,
        after=change.after,
        gain=change.gain,
        interval=change.gain_interval,
        margin=change.margin,
        p=change.p_adjusted,
        detectable=change.detectable,
        fixed=change.fixed,
        broken=change.broken,
        more_items=change.more_items,
        test=change.test,
        alpha=change.alpha,
    )
