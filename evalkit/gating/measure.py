"""What is measured of every task that a policy judges: the change of its metric, with p adjusted over the family."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from evalkit.comparison import Change, Comparison, FieldDifference, TaskChange, Verdict
from evalkit.gating.amount import Amount
from evalkit.gating.policy import Judged, Policy
from evalkit.gating.result import Reason, Row
from evalkit.results import Run

POINT = Amount(1, "pt")
PERCENT_OF_BASE = Amount(1, "% of base")


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a task cannot be compared: a code and a sentence."""

    reason: Reason
    sentence: str


@dataclass(frozen=True, slots=True)
class Measured:
    """One task that the policy judges.

    Attributes:
        judged: Which, and by what rule.
        task: The task in both runs; None where one of them lacks it.
        change: Its metric; None where a run lacks that.
        margin: Loss that is tolerated, in the metric's unit.
        p: Two-sided p after Holm's correction over its family; None without a test.
        obstacle: Why it cannot be compared; None where it can.
    """

    judged: Judged
    task: TaskChange | None
    change: Change | None
    margin: float = 0.0
    p: float | None = None
    obstacle: Obstacle | None = None

    @property
    def is_share(self) -> bool:
        """Whether the metric is a share of 1."""
        return self.change is not None and range_of(self.change) == (0.0, 1.0) and self.change.higher_is_better


def measure(comparisons: Mapping[float, Comparison], policy: Policy) -> list[Measured]:
    """Every task that the policy judges, those that decide first.

    Args:
        comparisons: Alpha -> comparison of the same two runs at that level, for the alpha of every rule.
        policy: What is judged.

    Raises:
        UsageError: The policy names a task that the baseline lacks, or an amount has no meaning for a metric.
    """
    run = next(iter(comparisons.values())).before.run
    judged = policy.judged(*roots_and_inner(run))
    judged.sort(key=lambda one: not one.decides)
    found = [_measured(one, comparisons[one.rule.alpha]) for one in judged]
    # what decides is one family; what only informs is another, so that looking at more costs nothing
    return [*_adjusted(found, decides=True), *_adjusted(found, decides=False)]


def roots_and_inner(run: Run) -> tuple[list[str], list[str]]:
    """Tasks and groups that are in no group, and the others."""
    inner = {member for group in run.groups.values() for member in group.tasks}
    names = [*run.groups, *run.tasks]
    return [name for name in names if name not in inner], [name for name in names if name in inner]


def leaves(run: Run, name: str) -> tuple[str, ...]:
    """The tasks that a name stands for."""
    return run.leaves(name) if name in run.groups else (name,)


def range_of(change: Change) -> tuple[float, float] | None:
    """Range of the metric; where a file does not say, a score and a baseline within [0, 1] make it a share."""
    if change.bounds is None and change.higher_is_better and 0 <= min(change.before, change.after):
        return (0.0, 1.0) if max(change.before, change.after) <= 1 else None
    return change.bounds


def margin_of(amount: Amount | None, task: str, bounds: tuple[float, float] | None, before: float) -> float:
    """The tolerated loss in the metric's unit; by default 1 point, or 1 % of the baseline's score without a range.

    Raises:
        UsageError: The unit has no meaning for this metric.
    """
    if amount is None:
        bounded = bounds is not None and abs(bounds[1] - bounds[0]) != float("inf")
        amount = POINT if bounded else PERCENT_OF_BASE
    return amount.resolve(task, bounds, before)


def _measured(judged: Judged, comparison: Comparison) -> Measured:
    name, rule = judged.task, judged.rule
    task = comparison.tasks.get(name)
    if task is None:
        sentence = f"the candidate has no result for {name}"
        return Measured(judged, None, None, obstacle=Obstacle(Reason.MISSING_TASK, sentence))
    change = task.change if rule.metric in (None, task.change.metric) else task.others.get(rule.metric or "")
    if change is None:
        has = ", ".join([task.change.metric, *task.others])
        sentence = f"the runs have no {rule.metric} of {name} in common; they have {has}"
        return Measured(judged, task, None, obstacle=Obstacle(Reason.MISSING_METRIC, sentence))
    margin = margin_of(rule.margin, name, range_of(change), change.before)
    return Measured(judged, task, change, margin, obstacle=_obstacle(judged, task, change, comparison))


def _obstacle(judged: Judged, task: TaskChange, change: Change, comparison: Comparison) -> Obstacle | None:
    blocking = [
        one for one in comparison.conditions if one.blocks and not one.allowed and _touches(one, task.name, comparison)
    ]
    if blocking:
        named = "; ".join(f"{one.field}: {one.before} before, {one.after} now" for one in blocking[:3])
        return Obstacle(Reason.SETTINGS_DIFFER, f"the runs answer different questions ({named})")
    pairing = task.pairing
    if pairing.coverage < judged.rule.min_overlap:
        sentence = (
            f"only {pairing.paired:,} of {pairing.paired + pairing.dropped:,} documents are in both runs and scored "
            f"({100 * pairing.coverage:.0f} %, needed {100 * judged.rule.min_overlap:.0f} %: min_overlap)"
        )
        return Obstacle(Reason.LOW_OVERLAP, sentence)
    if change.verdict is Verdict.NOT_COMPARABLE:
        return Obstacle(Reason.SETTINGS_DIFFER, change.reason)
    return None


def _touches(condition: FieldDifference, name: str, comparison: Comparison) -> bool:
    if not condition.tasks or name in condition.tasks:
        return True
    return bool(set(leaves(comparison.before.run, name)) & set(condition.tasks))


def _adjusted(found: Sequence[Measured], *, decides: bool) -> list[Measured]:
    from evalkit.stats.multiple import holm

    family = [one for one in found if one.judged.decides is decides]
    tested = [one for one in family if one.change is not None and one.change.p is not None and one.obstacle is None]
    values = holm([one.change.p for one in tested if one.change is not None and one.change.p is not None])
    adjusted = {one.judged.task: p for one, p in zip(tested, values, strict=True)}
    return [replace(one, p=adjusted.get(one.judged.task)) for one in family]


def row(measured: Measured, verdict: Verdict, more_items: int | None) -> Row | None:
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
        verdict=verdict,
        n=change.n,
        before=change.before,
        after=change.after,
        gain=change.gain,
        interval=change.gain_interval,
        margin=measured.margin,
        p=measured.p,
        detectable=change.detectable,
        fixed=change.fixed,
        broken=change.broken,
        more_items=more_items,
        test=change.test,
    )
