"""The rules of a policy, each held against what was measured."""

from __future__ import annotations

from collections.abc import Iterator

from evalkit.comparing.amounts import amount, score
from evalkit.comparison import Change, Comparison, Verdict
from evalkit.gating.measure import Measured, leaves, range_of
from evalkit.gating.policy import MEAN, FloorBy, OnUndecided
from evalkit.gating.result import Check, Finding, Reason, Status
from evalkit.results import MetricValue, Run

READABLE = frozenset({"right", "wrong", "scored", "mixed", "skipped"})
"""Outcomes that are no fault of how an answer was written; `skipped` documents were not asked."""

Answer = tuple[Check, Status, Reason, str]
_ON_UNDECIDED = {
    OnUndecided.FAIL: Status.UNDECIDED,
    OnUndecided.WARN: Status.WARN,
    OnUndecided.PASS: Status.PASS,
}


def findings_of(measured: Measured, comparison: Comparison) -> list[Finding]:
    """Every rule of one task; where it cannot be compared, what can be said of the candidate alone is said still."""
    judged = measured.judged
    if judged.pattern == MEAN and not judged.decides:
        return [_of_mean(measured)]
    return [
        Finding(judged.task, check, status, reason, sentence, judged.decides, judged.pattern)
        for check, status, reason, sentence in _answers(measured, comparison)
    ]


def _of_mean(measured: Measured) -> Finding:
    """The mean over the tasks where it does not decide: its regression is a warning that counts as one."""
    judged = measured.judged
    answers = _answers(measured, None)
    check, status, reason, sentence = next(one for one in answers if one[0] in (Check.LOSS, Check.COMPARABLE))
    if reason is not Reason.REGRESSED:
        return Finding(judged.task, check, status, reason, sentence, False, judged.pattern)
    told = f"{sentence}; it only warns, unless the policy says otherwise (`mean`)"
    return Finding(judged.task, check, Status.WARN, reason, told, True, judged.pattern)


def _answers(measured: Measured, comparison: Comparison | None) -> Iterator[Answer]:
    rule, change = measured.judged.rule, measured.change
    if measured.obstacle is not None:
        yield Check.COMPARABLE, Status.NOT_COMPARABLE, measured.obstacle.reason, measured.obstacle.sentence
    elif change is not None:
        if change.n < rule.min_items:
            sentence = f"{change.n:,} documents, the policy wants {rule.min_items:,} at least"
            yield Check.ITEMS, _ON_UNDECIDED[rule.on_undecided], Reason.TOO_FEW_ITEMS, sentence
        yield _loss(measured, change)
        if rule.require_gain is not None:
            yield _gain(measured, change)
    if comparison is None:
        return
    if rule.floor is not None:
        yield from _floor(measured, comparison.after.run)
    if rule.max_unreadable_rate is not None or rule.max_unreadable_rise is not None:
        yield from _unreadable(measured, comparison)


def _loss(measured: Measured, change: Change) -> Answer:
    undecided = _ON_UNDECIDED[measured.judged.rule.on_undecided]
    if change.verdict is Verdict.REGRESSED:
        return Check.LOSS, Status.FAIL, Reason.REGRESSED, change.reason
    if change.verdict is Verdict.IMPROVED:
        return Check.LOSS, Status.PASS, Reason.IMPROVED, change.reason
    if change.verdict is Verdict.WITHIN_MARGIN and change.is_real_loss:
        return Check.LOSS, Status.WARN, Reason.TOLERATED_LOSS, change.reason
    if change.verdict is Verdict.WITHIN_MARGIN:
        return Check.LOSS, Status.PASS, Reason.WITHIN_MARGIN, change.reason
    reason = Reason.NO_TEST if change.p_adjusted is None else Reason.UNCLEAR
    tolerated = f" (a loss of {amount(change, change.margin)} is tolerated)" if reason is Reason.UNCLEAR else ""
    return Check.LOSS, undecided, reason, f"{change.reason}{tolerated}"


def _gain(measured: Measured, change: Change) -> Answer:
    rule = measured.judged.rule
    assert rule.require_gain is not None
    required = rule.require_gain.difference(range_of(change), change.before)
    limits = change.gain_margin_interval
    wanted = f"the gain is {amount(change, change.gain, sign=True)}, required is {amount(change, required)}"
    if limits is not None and limits[0] > 0 and change.gain >= required:
        return Check.GAIN, Status.PASS, Reason.GAIN_SHOWN, wanted
    if (limits is not None and limits[1] < required) or change.verdict is Verdict.REGRESSED:
        return Check.GAIN, Status.FAIL, Reason.GAIN_MISSING, wanted
    return Check.GAIN, _ON_UNDECIDED[rule.on_undecided], Reason.UNCLEAR, f"{wanted}, and is not certain"


def _floor(measured: Measured, run: Run) -> Iterator[Answer]:
    """The candidate's own score against the floor; it needs no baseline."""
    judged, rule = measured.judged, measured.judged.rule
    assert rule.floor is not None
    value = _score_of(run, judged.task, rule.metric or (measured.change.metric if measured.change else None))
    if value is None:
        return  # the missing task is told already
    bounds = range_of(measured.change) if measured.change else value.bounds
    floor = rule.floor.score(judged.task, bounds, measured.change.before if measured.change else value.value)
    is_share = value.bounds in (None, (0.0, 1.0)) and value.higher_is_better and 0 <= value.value <= 1
    sign = 1 if value.higher_is_better else -1
    ends = [sign * end for end in (value.ci95 or (value.value, value.value))]
    worst, best = (min(ends), max(ends)) if rule.floor_by is FloorBy.LIMIT else (sign * value.value,) * 2
    shown = f"{score(value.value, is_share)}, the floor is {score(floor, is_share)}"
    if rule.floor_by is FloorBy.LIMIT and value.ci95 is None:
        yield Check.FLOOR, _ON_UNDECIDED[rule.on_undecided], Reason.NO_TEST, f"{shown}, and no limits are known"
    elif worst >= sign * floor:
        yield Check.FLOOR, Status.PASS, Reason.FLOOR_HELD, shown
    elif best < sign * floor:
        yield Check.FLOOR, Status.FAIL, Reason.FLOOR_BROKEN, shown
    else:
        yield Check.FLOOR, _ON_UNDECIDED[rule.on_undecided], Reason.UNCLEAR, f"{shown}, and is within the limits"


def _score_of(run: Run, task: str, metric: str | None) -> MetricValue | None:
    holder = run.tasks.get(task) or run.groups.get(task)
    if holder is None or not holder.metrics:
        return None
    return next(iter(holder.metrics.values())) if metric is None else holder.metrics.get(metric)


def _unreadable(measured: Measured, comparison: Comparison) -> Iterator[Answer]:
    rule, name = measured.judged.rule, measured.judged.task
    now = unreadable_rate(comparison.after.run, name)
    before = unreadable_rate(comparison.before.run, name)
    if now is None:
        return  # the missing task is told already
    shown = f"{100 * now:.1f} % of the answers are unreadable"
    compared = "" if before is None else f", {100 * before:.1f} % of the baseline's"
    if rule.max_unreadable_rate is not None and now > rule.max_unreadable_rate:
        allowed = f"{100 * rule.max_unreadable_rate:g} % is allowed"
        yield Check.UNREADABLE, Status.FAIL, Reason.UNREADABLE, f"{shown}{compared}; {allowed}"
    elif (
        rule.max_unreadable_rise is not None and before is not None and now - before > rule.max_unreadable_rise + 1e-12
    ):
        allowed = f"a rise of {100 * rule.max_unreadable_rise:g} points is allowed"
        yield Check.UNREADABLE, Status.FAIL, Reason.UNREADABLE, f"{shown}{compared}; {allowed}"
    else:
        yield Check.UNREADABLE, Status.PASS, Reason.READABLE, f"{shown}{compared}"


def unreadable_rate(run: Run, name: str) -> float | None:
    """Share of a task's documents whose answer could not be read or had; None where the run lacks the task."""
    if name not in run.tasks and name not in run.groups:
        return None
    counts: dict[str, int] = {}
    for leaf in leaves(run, name):
        for outcome, count in run.tasks[leaf].outcomes.items():
            counts[outcome] = counts.get(outcome, 0) + count
    asked = sum(count for outcome, count in counts.items() if outcome != "skipped")
    return sum(count for outcome, count in counts.items() if outcome not in READABLE) / asked if asked else None
