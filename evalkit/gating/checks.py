"""The rules of a policy, each held against what was measured."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from evalkit.comparing.amounts import amount, score
from evalkit.comparison import Change, Comparison, Pairing, Verdict
from evalkit.gating.measure import Measured, leaves, range_of
from evalkit.gating.policy import MEAN, FloorBy, OnUndecided
from evalkit.gating.required_gains import required_gain
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


@dataclass(frozen=True, slots=True)
class Worst:
    """The same candidate, were every document that it could not answer as bad as can be (`evalkit.gating.unanswered`).

    Attributes:
        run: The candidate.
        measured: Task -> what is measured of it then.
        pairings: Task -> its documents then.
    """

    run: Run
    measured: Mapping[str, Measured]
    pairings: Mapping[str, Pairing]


def findings_of(measured: Measured, comparison: Comparison, worst: Worst | None = None) -> list[Finding]:
    """Every rule of one task; where it cannot be compared, what can be said of the candidate alone is said still.

    Args:
        measured: The task.
        comparison: Of the two runs.
        worst: The candidate at its worst; None where it answered all documents.
    """
    judged = measured.judged
    if judged.pattern == MEAN and not judged.decides:
        return [_of_mean(measured)]
    return [
        Finding(judged.task, check, status, reason, sentence, judged.decides, judged.pattern)
        for check, status, reason, sentence in _answers(measured, comparison, worst)
    ]


def _of_mean(measured: Measured) -> Finding:
    """The mean over the tasks where it does not decide: its regression is a warning that counts as one."""
    judged = measured.judged
    answers = _answers(measured, None, None)
    check, status, reason, sentence = next(one for one in answers if one[0] in (Check.LOSS, Check.COMPARABLE))
    if reason is not Reason.REGRESSED:
        return Finding(judged.task, check, status, reason, sentence, False, judged.pattern)
    told = f"{sentence}; it only warns, unless the policy says otherwise (`mean`)"
    return Finding(judged.task, check, Status.WARN, reason, told, True, judged.pattern)


def _answers(measured: Measured, comparison: Comparison | None, worst: Worst | None = None) -> Iterator[Answer]:
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
        if worst is not None and comparison is not None:
            yield from _unanswered(measured, change, comparison, worst)
    if comparison is None:
        return
    if rule.floor is not None:
        yield from _floor(measured, comparison.after.run, worst.run if worst else comparison.after.run)
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
    rule, required = measured.judged.rule, required_gain(measured)
    assert required is not None
    limits = change.gain_margin_interval
    wanted = f"the gain is {amount(change, change.gain, sign=True)}, required is {amount(change, required)}"
    if limits is not None and limits[0] > 0 and change.gain >= required:
        return Check.GAIN, Status.PASS, Reason.GAIN_SHOWN, wanted
    if measured.too_small or change.verdict is Verdict.REGRESSED:
        return Check.GAIN, Status.FAIL, Reason.GAIN_MISSING, wanted
    return Check.GAIN, _ON_UNDECIDED[rule.on_undecided], Reason.UNCLEAR, f"{wanted}, and is not certain"


def _unanswered(measured: Measured, change: Change, comparison: Comparison, worst: Worst) -> Iterator[Answer]:
    """Documents that the candidate could not answer and the baseline could: a pass must stand whatever they are."""
    name = measured.judged.task
    at_worst = worst.measured.get(name)
    then = at_worst.change if at_worst is not None and at_worst.obstacle is None else None
    lost = {one: _lost(one, comparison, worst) for one in ([name] if name in comparison.tasks else comparison.roots)}
    count = sum(lost.values())
    if not count:
        return
    total = sum(comparison.tasks[one].pairing.paired for one in lost) + count
    said = f"the candidate could not answer {count:,} of {total:,} documents that the baseline scored"
    if then is None or at_worst is None:
        certain, shown = False, "what they would change cannot be said of this score"
    else:
        certain = _passes(at_worst, then)
        shown = f"the gain is {amount(change, change.gain, sign=True)} without them"
        shown += f", {amount(then, then.gain, sign=True)} with the worst score for each"
    status = Status.WARN
    if _passes(measured, change) and not certain:
        shown += f"; that no more than {amount(change, change.margin)} is lost is not shown then"
        undecided = _ON_UNDECIDED[measured.judged.rule.on_undecided]
        status = Status.WARN if undecided is Status.PASS else undecided
    yield Check.ANSWERED, status, Reason.UNANSWERED, f"{said}: {shown}"


def _lost(name: str, comparison: Comparison, worst: Worst) -> int:
    """How many of a task's documents the baseline scored and the candidate could not answer."""
    pairing = comparison.tasks[name].pairing
    more = worst.pairings[name].paired - pairing.paired if name in worst.pairings else 0
    return max(more, len({*pairing.unscored_after} - {*pairing.unscored_before}))


def _passes(measured: Measured, change: Change) -> bool:
    """Whether the rules about the change are shown to hold."""
    answers = [_loss(measured, change)]
    if measured.judged.rule.require_gain is not None:
        answers.append(_gain(measured, change))
    return all(reason in _SHOWN for _, _, reason, _ in answers)


_SHOWN = frozenset({Reason.IMPROVED, Reason.WITHIN_MARGIN, Reason.TOLERATED_LOSS, Reason.GAIN_SHOWN})


def _floor(measured: Measured, run: Run, at_worst: Run) -> Iterator[Answer]:
    """The candidate's own score against the floor; it needs no baseline.

    It is below the floor where its answers are, and reaches it where it would with the worst score for what it could not
    answer.
    """
    judged, rule = measured.judged, measured.judged.rule
    assert rule.floor is not None
    metric = rule.metric or (measured.change.metric if measured.change else None)
    value = _score_of(run, judged.task, metric)
    if value is None:
        return  # the missing task is told already
    bounds = range_of(measured.change) if measured.change else value.bounds
    floor = rule.floor.score(judged.task, bounds, measured.change.before if measured.change else value.value)
    is_share = value.bounds in (None, (0.0, 1.0)) and value.higher_is_better and 0 <= value.value <= 1
    sign = 1 if value.higher_is_better else -1
    ends = [sign * end for end in (value.ci95 or (value.value, value.value))]
    worst, best = (min(ends), max(ends)) if rule.floor_by is FloorBy.LIMIT else (sign * value.value,) * 2
    shown = f"{score(value.value, is_share)}, the floor is {score(floor, is_share)}"
    then = _score_of(at_worst, judged.task, metric)
    missing = math.inf if then is None else sign * (value.value - then.value)
    if rule.floor_by is FloorBy.LIMIT and value.ci95 is None:
        yield Check.FLOOR, _ON_UNDECIDED[rule.on_undecided], Reason.NO_TEST, f"{shown}, and no limits are known"
    elif worst - missing >= sign * floor:
        yield Check.FLOOR, Status.PASS, Reason.FLOOR_HELD, shown
    elif best < sign * floor:
        yield Check.FLOOR, Status.FAIL, Reason.FLOOR_BROKEN, shown
    elif worst >= sign * floor:
        low = "which cannot be said of this score" if then is None else f"it would be {score(then.value, is_share)}"
        sentence = f"{shown}; with the worst score for what it could not answer, {low}"
        yield Check.FLOOR, _ON_UNDECIDED[rule.on_undecided], Reason.UNANSWERED, sentence
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
