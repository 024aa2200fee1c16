from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

from evalkit.reports.run_junit import run_junit
from evalkit.results import TaskResult
from tests.result_examples import run, task_result


def outcomes(**counts: int) -> TaskResult:
    task = task_result([1.0, 0.0] * 50)
    return replace(task, outcomes=counts)


def test_scores_are_output_and_only_what_went_wrong_fails() -> None:
    text = run_junit(
        run(
            {
                "fine": outcomes(right=50, wrong=40, unparsed=10),
                "unreadable": outcomes(right=50, wrong=39, unparsed=8, truncated=3),
                "errored": outcomes(right=50, wrong=30, unparsed=19, errored=1),
            }
        )
    )
    root = ElementTree.fromstring(text)
    (suite,) = root
    assert root.tag == "testsuites"
    assert {key: suite.get(key) for key in ("tests", "failures", "errors")} == {
        "tests": "3",
        "failures": "1",
        "errors": "1",
    }
    fine, unreadable, errored = suite
    assert [child.tag for child in fine] == ["system-out"]
    assert "acc: 50% (95 % interval" in (fine[0].text or "")
    assert unreadable[0].tag == "failure"
    assert unreadable[0].get("message") == (
        "11 of 100 answers could not be read (8 unparsed, 3 truncated): the score is not reliable"
    )
    assert errored[0].tag == "error"
    assert "1 of 100 documents" in (errored[0].get("message") or "")


def test_hostile_names_stay_in_their_attribute() -> None:
    hostile = 'x"><failure/>\x00\x1b\ufffe&amp;'
    finished = run({hostile: task_result([1, 0])})
    root = ElementTree.fromstring(run_junit(replace(finished, model=replace(finished.model, name=hostile))))
    (case,) = root.iter("testcase")
    assert case.get("name") == 'x"><failure/>\\x00\\x1b\\ufffe&amp;'
    assert not list(root.iter("failure"))
