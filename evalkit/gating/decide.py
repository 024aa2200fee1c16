"""A comparison and a policy become a decision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.comparison import Comparison, Side
from evalkit.gating.checks import Worst, findings_of
from evalkit.gating.flips import broken_items
from evalkit.gating.measure import Measured, measure, roots_and_inner, row
from evalkit.gating.policy import Policy
from evalkit.gating.required_gains import levels_of_gains, with_small_gains
from evalkit.gating.result import Condition, Finding, GateResult

if TYPE_CHECKING:
    from evalkit.comparing.sides import Source


def gate(before: Source, after: Source, policy: Policy | str | Path | None = None) -> GateResult:
    """Judges a candidate against a baseline.

    Args:
        before: The baseline: a run, or its file.
        after: The candidate.
        policy: What is asked, or the file that says so; by default no loss of 1 point or more on any task.

    Returns:
        The decision; `exit_code` is what `evalkit gate` ends with.

    Raises:
        UsageError: A file cannot be read, the policy names a task that the baseline lacks or a metric that neither run
            has, an amount has no meaning for a metric, or no task decides.
        NotComparableError: The runs have no task in common.
    """
    from evalkit.comparing.sides import load_sides

    first, second = load_sides([before, after])
    return gate_sides(first, second, policy if isinstance(policy, Policy) else load_policy(policy))


def load_policy(path: str | Path | None) -> Policy:
    """The policy in a file, or in one of another commit (`git:REF:PATH`); without one the built-in policy."""
    from evalkit.gating.baseline import PREFIX, read_committed
    from evalkit.gating.policy_file import decoded, parse_policy, read_policy

    if path is None:
        return Policy()
    if str(path).startswith(PREFIX):
        return parse_policy(decoded(read_committed(str(path), "--policy"), str(path)), str(path))
    return read_policy(Path(path))


def gate_sides(before: Side, after: Side, policy: Policy) -> GateResult:
    """`gate` for runs that are loaded and named."""
    return decide(compare_at(before, after, policy), policy)


def compare_at(before: Side, after: Side, policy: Policy) -> dict[float, Comparison]:
    """Alpha -> the comparison at that level, for every level in the policy.

    Raises:
        UsageError: The policy allows a field that there is not.
        NotComparableError: The runs have no task in common.
    """
    from evalkit.comparing.compare import MARGIN
    from evalkit.comparing.conditions import allowed_fields
    from evalkit.comparing.draft import draft
    from evalkit.comparing.settle import Tolerance, settle

    drafts = [draft(before, after, allowed_fields(policy.allow))]
    alphas = dict.fromkeys(rule.alpha for rule in policy.every_rule())
    alphas |= dict.fromkeys(levels_of_gains(policy.judged(*roots_and_inner(before.run))))
    # margins are the policy's own affair (`evalkit.gating.measure`)
    return {alpha: settle(drafts, alpha, Tolerance(MARGIN, {}))[0] for alpha in alphas}


def decide(comparisons: Mapping[float, Comparison], policy: Policy, *, mean: bool = True) -> GateResult:
    """Judges a comparison.

    Args:
        comparisons: Alpha -> comparison of the same two runs at that level, for the alpha of every rule.
        policy: What is asked.
        mean: Whether the mean over the tasks is judged too.

    Raises:
        UsageError: See `gate`.
    """
    comparison = next(iter(comparisons.values()))
    measured = with_small_gains(measure(comparisons, policy, mean=mean), comparisons)
    worst = _at_worst(comparison, policy, mean=mean)
    rows, findings = [], []
    for one in measured:
        own = findings_of(one, comparison, worst)
        findings += own
        if (found := row(one)) is not None:
            rows.append(found)
    broken = broken_items(comparison, _by_weight(measured, findings))
    return GateResult(
        before=comparison.before.label,
        after=comparison.after.label,
        policy=policy.source or "built-in",
        rows=tuple(rows),
        findings=tuple(findings),
        conditions=tuple(Condition(**asdict(one)) for one in comparison.conditions),
        broken=broken.items,
        broken_total=broken.total,
        notes=(*_notes(comparison), *broken.notes),
    )


def _at_worst(comparison: Comparison, policy: Policy, *, mean: bool) -> Worst | None:
    """The candidate, were every document that it could not answer as bad as can be; None where it answered all."""
    from evalkit.gating.unanswered import worst_case

    base, candidate = comparison.before, comparison.after
    run = worst_case(candidate.run, base.run)
    if run is None:
        return None
    if not run.tasks.keys() & base.run.tasks.keys():
        return Worst(run, {}, {})
    comparisons = compare_at(base, replace(candidate, run=run), policy)
    found = with_small_gains(measure(comparisons, policy, mean=mean), comparisons)
    pairings = {name: task.pairing for name, task in next(iter(comparisons.values())).tasks.items()}
    return Worst(run, {one.judged.task: one for one in found}, pairings)


def _by_weight(measured: Sequence[Measured], findings: Sequence[Finding]) -> list[str]:
    """Tasks, those that failed first."""
    failed = [one.task for one in findings if one.status.value in ("fail", "undecided")]
    return list(dict.fromkeys([*failed, *(one.judged.task for one in measured)]))


def _notes(comparison: Comparison) -> tuple[str, ...]:
    notes = list(comparison.notes)
    if comparison.only_after:
        names = ", ".join(comparison.only_after[:5])
        notes.append(f"only the candidate has {names}: without a baseline it is not judged")
    return tuple(notes)
