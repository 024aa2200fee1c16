"""A run as JUnit XML: what a CI server shows of an evaluation that has no verdict of its own.

A suite for the run, a test case for each task, its scores in the case's output. A score is no failure, for there is
nothing to hold it against (`evalkit gate` has a baseline). What went wrong is: a case is an error where documents could not
be answered, and a failure where more than `UNREADABLE_LIMIT` of the answers could not be read, which makes its score
unreliable.
"""

from __future__ import annotations

from xml.etree import ElementTree

from evalkit.reports.junit import _attribute, _text
from evalkit.reports.rows import is_percentage
from evalkit.results import MetricValue, Run, TaskResult

UNREADABLE = ("unparsed", "empty", "truncated", "refused")
UNREADABLE_LIMIT = 0.1
"""Share of a task's documents whose answers may be unreadable before its case fails."""


def run_junit(run: Run) -> str:
    """The run as one XML document."""
    cases = [(name, task, _errored(task), _unreadable(task)) for name, task in run.tasks.items()]
    counts = {
        "tests": len(cases),
        "errors": sum(bool(errored) for _, _, errored, _ in cases),
        "failures": sum(bool(unreadable) and not errored for _, _, errored, unreadable in cases),
    }
    seconds = run.timing.get("total_seconds")
    suite = ElementTree.Element(
        "testsuite", name=f"evalkit {_attribute(run.model.name)}", timestamp=_attribute(run.created)
    )
    suite.attrib.update({key: str(count) for key, count in counts.items()})
    suite.set("time", f"{seconds:.3f}" if isinstance(seconds, int | float) else "0")
    for name, task, errored, unreadable in cases:
        case = ElementTree.SubElement(
            suite, "testcase", classname=_attribute(run.model.name), name=_attribute(name), time="0"
        )
        if errored:
            ElementTree.SubElement(case, "error", type="errored", message=errored)
        elif unreadable:
            ElementTree.SubElement(case, "failure", type="unreadable", message=unreadable)
        output = ElementTree.SubElement(case, "system-out")
        output.text = _text("\n".join(f"{metric}: {_score(value)}" for metric, value in task.metrics.items()))
    root = ElementTree.Element("testsuites", {"name": "evalkit", **{key: str(count) for key, count in counts.items()}})
    root.append(suite)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _errored(task: TaskResult) -> str:
    count = task.outcomes.get("errored", 0)
    return f"{count:,} of {task.n:,} documents could not be answered and have no score" if count else ""


def _unreadable(task: TaskResult) -> str:
    counts = {kind: task.outcomes[kind] for kind in UNREADABLE if task.outcomes.get(kind)}
    total = sum(counts.values())
    if not task.n or total / task.n <= UNREADABLE_LIMIT:
        return ""
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in counts.items())
    return f"{total:,} of {task.n:,} answers could not be read ({kinds}): the score is not reliable"


def _score(value: MetricValue) -> str:
    scale, unit = (100, "%") if is_percentage(value) else (1, "")
    text = f"{scale * value.value:.6g}{unit}"
    if value.ci95 is not None:
        text += f" (95 % interval {scale * value.ci95[0]:.6g} to {scale * value.ci95[1]:.6g})"
    return text
