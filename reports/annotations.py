"""A gate's decision as GitHub annotations: lines that the runner shows beside the change."""

from __future__ import annotations

from evalkit.gating.result import Finding, GateResult, Status
from evalkit.reports.text import visible

MOST = 10
"""Annotations of one kind and step that GitHub shows."""
_LONGEST = 500

_KINDS = {
    Status.FAIL: "error",
    Status.NOT_COMPARABLE: "error",
    Status.UNDECIDED: "error",
    Status.WARN: "warning",
}


def workflow_commands(result: GateResult) -> list[str]:
    """Workflow commands (`::error title=...::...`), the weightiest first, at most ten of a kind."""
    lines: dict[str, list[str]] = {"error": [], "warning": [], "notice": []}
    for status in _KINDS:
        for finding in result.findings:
            if finding.status is status:
                kind = _KINDS[status] if finding.decides else "notice"
                lines[kind].append(_line(kind, finding))
    return [line for kind in lines.values() for line in kind[:MOST]]


def error_command(message: str) -> str:
    """The workflow command for a gate that came to no decision."""
    return f"::error title=evalkit gate::{_data(message)}"


def _line(kind: str, finding: Finding) -> str:
    title = _property(f"evalkit gate: {finding.task}, {finding.check.value}")
    return f"::{kind} title={title}::{_data(f'{finding.status.value}: {finding.sentence}')}"


def _data(text: str) -> str:
    short = text if len(text) <= _LONGEST else text[:_LONGEST] + " ..."
    # line breaks stay, in the form that the runner reads; everything else that steers a terminal becomes visible
    lines = [visible(line) for line in short.replace("\r\n", "\n").replace("\r", "\n").split("\n")]
    return "%0A".join(line.replace("%", "%25") for line in lines)


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
