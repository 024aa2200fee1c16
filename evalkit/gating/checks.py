"""The rules of a policy, each held against what was measured."""

from __future__ import annotations

from collections.abc import Iterator

from evalkit.comparison import Change, Comparison, Verdict
from evalkit.gating.measure import Measured, leaves, range_of
from evalkit.gating.policy import FloorBy, OnUndecided
from evalkit.gating.result import Check, Finding, Reason, Status
from evalkit.gating.verdict import is_sure_loss, more_items, verdict_of
from evalkit.gating.words import score, size
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
    return [
        Finding(judged.task, check, status, reason, sentence, judged.decides, judged.pattern)
        for check, status, reason, sentence in _answers(measured, comparison)
    ]


def _answers(measured: Measured, comparison: Comparison) -> Iterator[Answer]:
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
    if rule.floor is not None:
        yield from _floor(measured, comparison.after.run)
    if rule.max_unreadable_rate is not None or rule.max_unreadable_rise is not None:
        yield from _unreadable(measured, comparison)


def _loss(measured: Measured, change: Change) -> Answer:
    verdict, is_share = verdict_of(measured), measured.is_share
    moved = _moved(measured, change)
    tolerated = f"a loss of {size(measured.margin, is_share)} is tolerated"
    if verdict is Verdict.REGRESSED:
        return Check.LOSS, Status.FAIL, Reason.REGRESSED, f"{moved}; {tolerated}"
    if verdict is Verdict.IMPROVED:
        return Check.LOSS, Status.PASS, Reason.IMPROVED, moved
    if verdict is Verdict.WITHIN_MARGIN and is_sure_loss(measured):
        return Check.LOSS, Status.WARN, Reason.TOLERATED_LOSS, f"{moved}: a real loss; {tolerated}"
    if verdict is Verdict.WITHIN_MARGIN:
        return Check.LOSS, Status.PASS, Reason.WITHIN_MARGIN, f"{moved}; {tolerated}"
    if change.p is None and change.margin_interval is None:
        sentence = f"{moved}, and {change.n:,} documents allow no test"
        return Check.LOSS, _ON_UNDECIDED[measured.judged.rule.on_undecided], Reason.NO_TEST, sentence
    what = "a real loss, its size unclear" if is_sure_loss(measured) else "too few documents to tell"
    more = more_items(measured)
    needed = f"; about {more:,} more documents would settle it" if more else ""
    sentence = f"{moved}: {what} ({tolerated}){needed}"
    return Check.LOSS, _ON_UNDECIDED[measured.judged.rule.on_undecided], Reason.UNCLEAR, sentence


def _moved(measured: Measured, change: Change) -> str:
    word = "gained" if change.gain > 0 else "lost" if change.gain < 0 else "unchanged"
    is_share = measured.is_share
    amount = f" {size(change.gain, is_share)}" if change.gain else ""
    limits = change.gain_interval
    interval = ""
    if limits is not None:
        scale, unit = (100, " points") if is_share else (1, "")
        interval = f" ({scale * limits[0]:+.3g} to {scale * limits[1]:+.3g}{unit})"
    return f"{word}{amount}{interval}"


def _gain(measured: Measured, change: Change) -> Answer:
    rule = measured.judged.rule
    assert rule.require_gain is not None
    required = rule.require_gain.resolve(measured.judged.task, range_of(change), change.before)
    limits, moved = change.gain_margin_interval, _moved(measured, change)
    wanted = f"{moved}; a gain of {size(required, measured.is_share)} is required"
    if limits is not None and limits[0] > 0 and change.gain >= required:
        return Check.GAIN, Status.PASS, Reason.GAIN_SHOWN, wanted
    if limits is not None and limits[1] < required or verdict_of(measured) is Verdict.REGRESSED:
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
    floor = rule.floor.resolve(judged.task, bounds, measured.change.before if measured.change else value.value)
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
    elif rule.max_unreadable_rise is not None and before is not None and now - before > rule.max_unreadable_rise + 1e-12:
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
