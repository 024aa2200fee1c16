"""The decision as JUnit XML, whatever the models wrote."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from evalkit.gating.result import GateResult
from evalkit.reports.junit import junit
from tests.reports.gate_examples import every_status, hostile, passed, regressed

RESULTS = {"regressed": regressed, "passed": passed, "every status": every_status, "hostile": hostile}


def parse(result: GateResult) -> ElementTree.Element:
    return ElementTree.fromstring(junit(result))


@pytest.mark.parametrize("name", RESULTS)
def test_the_shape_that_readers_of_junit_know(name: str) -> None:
    result = RESULTS[name]()
    root = parse(result)
    assert root.tag == "testsuites"
    for level in (root, *root):
        cases = list(level.iter("testcase"))
        assert int(level.attrib["tests"]) == len(cases)
        for attribute, child in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert int(level.attrib[attribute]) == sum(case.find(child) is not None for case in cases)
    for suite in root:
        assert suite.tag == "testsuite"
        assert [child.tag for child in suite][:1] in (["properties"], ["testcase"])
        for case in suite.iter("testcase"):
            assert {"classname", "name", "time"} <= set(case.attrib)
            assert {child.tag for child in case} <= {"failure", "error", "skipped", "system-out"}
            assert len(case) == 1
    assert len(list(root.iter("testcase"))) == len(result.findings)


def test_a_failure_names_task_and_reason_and_has_the_numbers() -> None:
    suite = parse(regressed())[0]
    failure = suite.find("testcase/failure")
    assert failure is not None
    assert failure.attrib["type"] == "regressed"
    assert "worse by 5.0 points" in failure.attrib["message"]
    properties = {one.attrib["name"]: one.attrib["value"] for one in suite.iter("property")}
    assert float(properties["gain"]) == pytest.approx(-0.05)
    assert float(properties["gain_low"]) < -0.05 < float(properties["gain_high"])
    assert 0 < float(properties["p"]) < 0.001
    assert (properties["documents"], properties["broken"]) == ("1000", "60")


def test_statuses() -> None:
    found: dict[str, list[str]] = {}
    for suite in parse(every_status()):
        found[suite.attrib["name"]] = [case[0].tag for case in suite.iter("testcase")]
    # what decides, and what only informs
    assert found == {
        "pass": ["system-out", "system-out"],
        "warn": ["system-out", "system-out"],
        "fail": ["failure", "skipped"],
        "undecided": ["skipped", "skipped"],
        "not comparable": ["error", "skipped"],
        "skipped": ["skipped", "skipped"],
    }


def test_hostile_text_stays_text() -> None:
    root = parse(hostile())
    assert {element.tag for element in root.iter()} == {
        *("testsuites", "testsuite", "properties", "property", "testcase", "failure", "system-out"),
    }
    failure = next(root.iter("failure"))
    assert "</failure>]]>&amp;<script>" in failure.attrib["message"]
    assert "\\x00\\x1b[31mred" in failure.attrib["message"]
    assert "\\ufffe\\ud800" in failure.attrib["message"]
