"""A decision in words."""

from __future__ import annotations

from collections.abc import Sequence

from evalkit.gating.policy import MEAN
from evalkit.gating.result import Finding, GateResult, Status

_NAMED = 4
"""Tasks that a headline names."""


def headline(result: GateResult) -> str:
    """The decision in one sentence, the weightiest first; what it might hide is said too."""
    decided = {finding.task for finding in result.findings if finding.decides and finding.pattern != MEAN}
    means = {row.task for row in result.rows if row.decides} - decided
    if result.passed and not decided and not means:
        return "passed: no task decides"
    parts = [
        f"{word} {_names(found)}"
        for status, word in (
            (Status.FAIL, "failed on"),
            (Status.NOT_COMPARABLE, "not comparable on"),
            (Status.UNDECIDED, "undecided on"),
            (Status.WARN, "warnings on"),
        )
        if (found := result.of(status))
    ]
    if not result.passed:
        return "; ".join(parts)
    tasks = [f"{len(decided)} task{'' if len(decided) == 1 else 's'}"] if decided else []
    count = " and ".join([*tasks, *(f"the {name}" for name in means)])
    return f"passed on {count}, with {parts[0]}" if parts else f"passed on {count}"


def _names(findings: Sequence[Finding]) -> str:
    names = list(dict.fromkeys(finding.task for finding in findings))
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
