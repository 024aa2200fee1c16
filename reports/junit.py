"""A gate's decision as JUnit XML: a test suite a task, a test case a rule."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree

from evalkit.gating.result import Finding, GateResult, Row, Status
from evalkit.reports.text import visible

_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold in any form."""

_CHILD = {
    Status.FAIL: "failure",
    Status.NOT_COMPARABLE: "error",
    Status.UNDECIDED: "skipped",
    Status.SKIPPED: "skipped",
}


def junit(result: GateResult) -> bytes:
    """The file's content, UTF-8.

    A rule that fails is a failure, one that cannot be compared an error, an undecided one is skipped. What only informs
    never fails a suite: it is skipped, with what was found.
    """
    root = ElementTree.Element("testsuites", {"name": "evalkit gate", **_counts(result.findings), "time": "0"})
    rows = {row.task: row for row in result.rows}
    for task in dict.fromkeys(finding.task for finding in result.findings):
        findings = [finding for finding in result.findings if finding.task == task]
        suite = ElementTree.SubElement(root, "testsuite", {"name": _attribute(task), **_counts(findings), "time": "0"})
        if (row := rows.get(task)) is not None:
            _properties(suite, row)
        for finding in findings:
            _case(suite, finding)
    ElementTree.indent(root)
    text: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def _counts(findings: Sequence[Finding]) -> dict[str, str]:
    kinds = [_kind(finding) for finding in findings]
    names = (("failures", "failure"), ("errors", "error"), ("skipped", "skipped"))
    return {"tests": str(len(findings)), **{name: str(kinds.count(kind)) for name, kind in names}}


def _kind(finding: Finding) -> str | None:
    child = _CHILD.get(finding.status)
    return "skipped" if child and not finding.decides else child


def _case(suite: ElementTree.Element, finding: Finding) -> None:
    case = ElementTree.SubElement(
        suite,
        "testcase",
        {"classname": _attribute(f"evalkit.gate.{finding.task}"), "name": finding.check.value, "time": "0"},
    )
    kind = _kind(finding)
    if kind is None:
        ElementTree.SubElement(case, "system-out").text = _text(finding.sentence)
        return
    role = "" if finding.decides else "informational: "
    attributes = {"message": _attribute(role + finding.sentence)}
    if kind != "skipped":
        attributes["type"] = finding.reason.value
    child = ElementTree.SubElement(case, kind, attributes)
    child.text = _text(f"{finding.task}: {finding.sentence} (policy entry {finding.pattern})")


def _properties(suite: ElementTree.Element, row: Row) -> None:
    holder = ElementTree.SubElement(suite, "properties")
    low, high = row.interval or (None, None)
    values = {
        "metric": row.metric,
        "verdict": row.verdict.value,
        "documents": row.n,
        "baseline": row.before,
        "candidate": row.after,
        "gain": row.gain,
        "gain_low": low,
        "gain_high": high,
        "margin": row.margin,
        "p": row.p,
        "detectable": row.detectable,
        "fixed": row.fixed,
        "broken": row.broken,
    }
    for name, value in values.items():
        if value is not None:
            ElementTree.SubElement(holder, "property", {"name": name, "value": _attribute(str(value))})


def _attribute(text: str) -> str:
    return _text(visible(text))


def _text(text: str) -> str:
    """The text with what XML cannot hold as an escape."""
    lines = "\n".join(visible(line) for line in text.split("\n"))
    return _NO_XML.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), lines)
