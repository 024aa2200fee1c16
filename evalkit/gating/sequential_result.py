"""The decision of a sequential gate: what was certain at a look, and the usual test for what went to the end of the data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from evalkit.comparing.amounts import size
from evalkit.comparison import Side, Verdict
from evalkit.gating.decide import compare_at, decide
from evalkit.gating.evidence import TaskEvidence
from evalkit.gating.hypotheses import (
    BEYOND,
    BROKEN,
    FEW_UNREADABLE,
    GAINED,
    HELD,
    LARGE_RISE,
    MANY_UNREADABLE,
    NO_GAIN,
    NO_LOSS,
    NOT_GAINED,
    SMALL_RISE,
    WITHIN,
)
from evalkit.gating.result import Check, Finding, GateResult, Reason, Row, Status
from evalkit.gating.sequential import SequentialGate, final_policy, final_sides
from evalkit.gating.watched import Watched

TEST = "bets on every document, valid at any look"


def sequential_result(gate: SequentialGate, base: Side, candidate: Side) -> GateResult:
    """Judges a candidate that was evaluated in looks.

    Args:
        gate: What chose its documents.
        base: The baseline, whole.
        candidate: The candidate, over the documents that it was asked.

    Raises:
        UsageError: See `evalkit.gating.decide.gate`.
    """
    policy = final_policy(gate)
    sides = final_sides(gate, base, candidate)
    fixed = decide(compare_at(*sides, policy), policy, mean=False)
    findings: list[Finding] = []
    p_values = _p_values(gate)
    for judged in gate.judged:
        own = [one for one in fixed.findings if one.task == judged.task]
        found = _findings(gate.watched[judged.task], own, fixed.rows, p_values.get(judged.task, 1.0))
        findings += [replace(one, pattern=judged.pattern) for one in found]
    return replace(
        fixed,
        rows=tuple(_row(gate.watched[row.task], row, p_values.get(row.task, 1.0)) for row in fixed.rows),
        findings=tuple(findings),
        notes=(*_unjudged(gate), *gate.notes, *fixed.notes),
        looks=gate.looks(),
    )


def _unjudged(gate: SequentialGate) -> list[str]:
    from evalkit.gating.measure import roots_and_inner

    left = [one.task for one in gate.policy.judged(*roots_and_inner(gate.base)) if not one.decides]
    return [f"not evaluated, as they do not decide: {', '.join(left[:5])}"] if left else []


def _p_values(gate: SequentialGate) -> dict[str, float]:
    """Task -> two-sided p of no difference that may be read at any look, after Holm's correction over the tasks."""
    from evalkit.stats.multiple import holm
    from evalkit.stats.sequential import always_valid_p

    betting = {name: one.evidence for name, one in gate.watched.items() if one.evidence is not None}
    alone = [always_valid_p(max(one.against(NO_LOSS), one.against(NO_GAIN))) for one in betting.values()]
    return dict(zip(betting, holm([min(1.0, 2 * p) for p in alone]), strict=True))


def _findings(watched: Watched, fixed: Sequence[Finding], rows: Sequence[Row], p: float) -> Iterator[Finding]:
    """The fixed test's findings, with what the bets say instead where they are what counts."""
    not_comparable = any(one.status is Status.NOT_COMPARABLE for one in fixed)
    bet = watched.evidence is not None and watched.settled is not None
    if not_comparable or (watched.finished and not bet):
        yield from fixed
        return
    row = next((one for one in rows if one.task == watched.judged.task), None)
    is_share = row is not None and row.is_share
    for one in fixed:
        if one.check in _HYPOTHESES:
            yield _certain(watched, one, is_share, p) if bet else _cut_off(one)
        elif one.check is Check.ANSWERED:
            yield replace(one, status=Status.WARN)  # the bets that it passes by count such documents as the worst
        elif one.check is not Check.ITEMS:
            yield one


def _cut_off(finding: Finding) -> Finding:
    sentence = "not certain yet when the gate ended"
    return replace(finding, status=Status.SKIPPED, reason=Reason.NOT_EVALUATED, sentence=sentence)


def _certain(watched: Watched, finding: Finding, is_share: bool, p: float) -> Finding:
    """A rule by the bets: refuted hypotheses say whether it fails or holds."""
    evidence = watched.evidence
    assert evidence is not None
    pairs = [(fails, holds) for fails, holds in _HYPOTHESES[finding.check] if fails in evidence.bets]
    if watched.settled is Status.FAIL:
        name = next((fails for fails, _ in pairs if fails in watched.refuted), "")
        if not name:
            return _cut_off(finding)
        status, reason = Status.FAIL, _FAILED[finding.check]
    else:
        name = min((holds for _, holds in pairs), key=evidence.against)
        status, reason = Status.PASS, _HELD[finding.check]
        if finding.check is Check.LOSS and p <= watched.alpha:
            lost = evidence.gain < 0
            status, reason = (Status.WARN, Reason.TOLERATED_LOSS) if lost else (Status.PASS, Reason.IMPROVED)
    return replace(
        finding, status=status, reason=reason, sentence=_sentence(watched, evidence, finding, name, is_share)
    )


_HYPOTHESES = {
    Check.LOSS: [(WITHIN, BEYOND)],
    Check.GAIN: [(GAINED, NOT_GAINED)],
    Check.FLOOR: [(HELD, BROKEN)],
    Check.UNREADABLE: [(FEW_UNREADABLE, MANY_UNREADABLE), (SMALL_RISE, LARGE_RISE)],
}
"""The hypotheses that a rule fails by where one is refuted, and those that must all be refuted for it to hold."""
_FAILED = {
    Check.LOSS: Reason.REGRESSED,
    Check.GAIN: Reason.GAIN_MISSING,
    Check.FLOOR: Reason.FLOOR_BROKEN,
    Check.UNREADABLE: Reason.UNREADABLE,
}
_HELD = {
    Check.LOSS: Reason.WITHIN_MARGIN,
    Check.GAIN: Reason.GAIN_SHOWN,
    Check.FLOOR: Reason.FLOOR_HELD,
    Check.UNREADABLE: Reason.READABLE,
}


def _sentence(watched: Watched, evidence: TaskEvidence, finding: Finding, refuted: str, is_share: bool) -> str:
    share = f"{evidence.asked:,} of {evidence.total:,} documents"
    how = f"refuted (e-value {evidence.against(refuted):.3g})" if evidence.is_chance(refuted) else "impossible by now"
    certain = f"certain after {share}: that {refuted} is {how}"
    if finding.check is Check.UNREADABLE:
        return f"{finding.sentence.split(';')[0]} so far; {certain}"
    if finding.check is not Check.LOSS:
        return certain
    word = "lost" if evidence.gain < 0 else "gained"
    moved = f"{word} {size(abs(evidence.gain), is_share)} so far" if evidence.gain else "unchanged so far"
    moved += f"; a loss of {size(watched.margin, is_share)} is tolerated"
    return f"{moved}; {certain}"


def _row(watched: Watched, row: Row, p: float) -> Row:
    """The row of a task that was settled, or cut off, at a look: with limits that hold at all looks at once."""
    evidence = watched.evidence
    if evidence is None or (watched.finished and watched.settled is None) or row.verdict is Verdict.NOT_COMPARABLE:
        return row
    verdict = Verdict.UNDECIDED
    if watched.settled is Status.FAIL:
        verdict = Verdict.REGRESSED if WITHIN in watched.refuted else Verdict.UNDECIDED
    elif watched.settled is Status.PASS:
        verdict = Verdict.IMPROVED if p <= watched.alpha and evidence.gain > 0 else Verdict.WITHIN_MARGIN
    return replace(
        row,
        verdict=verdict,
        gain=evidence.gain,
        interval=evidence.limits(watched.judged.rule.alpha),
        alpha=watched.judged.rule.alpha,
        p=p,
        detectable=None,
        more_items=None,
        test=TEST,
    )
