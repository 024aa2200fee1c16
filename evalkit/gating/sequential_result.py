"""The decision of a sequential gate: what was certain at a look, and the usual test for what went to the end of the data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from evalkit.comparing.amounts import size
from evalkit.comparison import Side, Verdict
from evalkit.gating.decide import compare_at, decide
from evalkit.gating.evidence import BEYOND, BROKEN, GAINED, HELD, NO_LOSS, NOT_GAINED, WITHIN, TaskEvidence
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
    for judged in gate.judged:
        own = [one for one in fixed.findings if one.task == judged.task]
        findings += [
            replace(one, pattern=judged.pattern) for one in _findings(gate.watched[judged.task], own, fixed.rows)
        ]
    return replace(
        fixed,
        rows=tuple(_row(gate.watched[row.task], row) for row in fixed.rows),
        findings=tuple(findings),
        notes=(*_unjudged(gate), *gate.notes, *fixed.notes),
        looks=gate.looks(),
    )


def _unjudged(gate: SequentialGate) -> list[str]:
    from evalkit.gating.measure import roots_and_inner

    left = [one.task for one in gate.policy.judged(*roots_and_inner(gate.base)) if not one.decides]
    return [f"not evaluated, as they do not decide: {', '.join(left[:5])}"] if left else []


def _findings(watched: Watched, fixed: Sequence[Finding], rows: Sequence[Row]) -> Iterator[Finding]:
    """The fixed test's findings, with what the bets say instead where they are what counts."""
    not_comparable = any(one.status is Status.NOT_COMPARABLE for one in fixed)
    bet = watched.evidence is not None and watched.settled is not None
    if not_comparable or (watched.finished and not bet):
        yield from fixed
        return
    row = next((one for one in rows if one.task == watched.judged.task), None)
    is_share = row is not None and row.is_share
    for one in fixed:
        if one.check in (Check.LOSS, Check.GAIN, Check.FLOOR):
            yield _certain(watched, one, is_share) if bet else _cut_off(one)
        elif one.check is not Check.ITEMS:
            yield one


def _cut_off(finding: Finding) -> Finding:
    sentence = "not certain yet when the gate ended"
    return replace(finding, status=Status.SKIPPED, reason=Reason.NOT_EVALUATED, sentence=sentence)


def _certain(watched: Watched, finding: Finding, is_share: bool) -> Finding:
    """A rule by the bets: refuted hypotheses say whether it fails or holds."""
    evidence = watched.evidence
    assert evidence is not None
    fails, holds = {
        Check.LOSS: (WITHIN, BEYOND),
        Check.GAIN: (GAINED, NOT_GAINED),
        Check.FLOOR: (HELD, BROKEN),
    }[finding.check]
    if watched.settled is Status.FAIL:
        if fails not in watched.refuted:
            return _cut_off(finding)
        name, status, reason = fails, Status.FAIL, _FAILED[finding.check]
    else:
        name, status, reason = holds, Status.PASS, _HELD[finding.check]
        if finding.check is Check.LOSS and evidence.against(NO_LOSS) >= 1 / watched.alpha:
            status, reason = Status.WARN, Reason.TOLERATED_LOSS
    return replace(
        finding, status=status, reason=reason, sentence=_sentence(watched, evidence, finding, name, is_share)
    )


_FAILED = {
    Check.LOSS: Reason.REGRESSED,
    Check.GAIN: Reason.GAIN_MISSING,
    Check.FLOOR: Reason.FLOOR_BROKEN,
}
_HELD = {
    Check.LOSS: Reason.WITHIN_MARGIN,
    Check.GAIN: Reason.GAIN_SHOWN,
    Check.FLOOR: Reason.FLOOR_HELD,
}


def _sentence(watched: Watched, evidence: TaskEvidence, finding: Finding, refuted: str, is_share: bool) -> str:
    share = f"{evidence.asked:,} of {evidence.total:,} documents"
    certain = f"certain after {share}: that {refuted} is refuted (e-value {evidence.against(refuted):.3g})"
    if finding.check is not Check.LOSS:
        return certain
    word = "lost" if evidence.gain < 0 else "gained"
    moved = f"{word} {size(abs(evidence.gain), is_share)} so far" if evidence.gain else "unchanged so far"
    moved += f"; a loss of {size(watched.margin, is_share)} is tolerated"
    return f"{moved}; {certain}"


def _row(watched: Watched, row: Row) -> Row:
    """The row of a task that was settled, or cut off, at a look: with limits that hold at all looks at once."""
    evidence = watched.evidence
    if evidence is None or (watched.finished and watched.settled is None) or row.verdict is Verdict.NOT_COMPARABLE:
        return row
    verdict = Verdict.UNDECIDED
    if watched.settled is Status.FAIL:
        verdict = Verdict.REGRESSED if WITHIN in watched.refuted else Verdict.UNDECIDED
    elif watched.settled is Status.PASS:
        limits = evidence.limits(watched.judged.rule.alpha)
        verdict = Verdict.IMPROVED if limits[0] > 0 else Verdict.WITHIN_MARGIN
    return replace(
        row,
        verdict=verdict,
        gain=evidence.gain,
        interval=evidence.limits(watched.judged.rule.alpha),
        alpha=watched.judged.rule.alpha,
        p=min(1.0, 1 / max(1.0, evidence.against(NO_LOSS))),
        detectable=None,
        more_items=None,
        test=TEST,
    )
