"""A comparison and a policy become a decision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from evalkit.comparison import Comparison, Side
from evalkit.gating.checks import findings_of
from evalkit.gating.flips import broken_items
from evalkit.gating.measure import Measured, measure, row
from evalkit.gating.policy import Policy
from evalkit.gating.result import Condition, Finding, GateResult
from evalkit.gating.verdict import more_items, verdict_of


def gate(before: Side, after: Side, policy: Policy) -> GateResult:
    """Judges a candidate against a baseline.

    Args:
        before: The baseline.
        after: The candidate.
        policy: What is asked.

    Raises:
        UsageError: The policy names a task that the baseline lacks, or an amount has no meaning for a metric.
    """
    return decide(compare_at(before, after, policy), policy)


def compare_at(before: Side, after: Side, policy: Policy) -> dict[float, Comparison]:
    """Alpha -> the comparison at that level, for every level in the policy."""
    from evalkit.comparing import compare

    levels = dict.fromkeys(rule.alpha for rule in (policy.defaults, *policy.rules.values()))
    return {alpha: compare(before, after, alpha=alpha, allow=policy.allow) for alpha in levels}


def decide(comparisons: Mapping[float, Comparison], policy: Policy) -> GateResult:
    """Judges a comparison.

    Args:
        comparisons: Alpha -> comparison of the same two runs at that level, for the alpha of every rule.
        policy: What is asked.

    Raises:
        UsageError: See `gate`.
    """
    comparison = next(iter(comparisons.values()))
    measured = measure(comparisons, policy)
    rows, findings = [], []
    for one in measured:
        own = findings_of(one, comparison)
        findings += own
        if (found := row(one, verdict_of(one), more_items(one))) is not None:
            rows.append(found)
    return GateResult(
        before=_name(comparison.before),
        after=_name(comparison.after),
        policy=policy.source or "built-in",
        rows=tuple(rows),
        findings=tuple(findings),
        conditions=tuple(Condition(**asdict(one)) for one in comparison.conditions),
        broken=broken_items(comparison, _by_weight(measured, findings)),
        notes=_notes(comparison),
    )


def _name(side: Side) -> str:
    model = side.run.model.name
    return side.label if model in side.label else f"{model} ({side.label})"


def _by_weight(measured: Sequence[Measured], findings: Sequence[Finding]) -> list[str]:
    """Tasks, those that failed first."""
    failed = [one.task for one in findings if one.status.value in ("fail", "undecided")]
    return list(dict.fromkeys([*failed, *(one.judged.task for one in measured)]))


def _notes(comparison: Comparison) -> tuple[str, ...]:
    notes = []
    if comparison.only_after:
        names = ", ".join(comparison.only_after[:5])
        notes.append(f"only the candidate has {names}: without a baseline it is not judged")
    return tuple(notes)
