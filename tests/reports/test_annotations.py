"""The decision as GitHub annotations."""

from __future__ import annotations

import re
from dataclasses import replace

from evalkit.gating.result import Status
from evalkit.reports.annotations import workflow_commands
from tests.reports.gate_examples import every_status, finding, hostile, passed, regressed


def test_a_failure_is_an_error_and_what_holds_is_silent() -> None:
    (line,) = workflow_commands(regressed())
    title = "evalkit gate%3A quiz%2C loss"
    assert line.startswith(f"::error title={title}::fail: worse by 5.0 points (95%25 interval")
    assert workflow_commands(passed()) == []


def test_kinds() -> None:
    kinds = [line.split(" ", 1)[0] for line in workflow_commands(every_status())]
    assert kinds == ["::error"] * 3 + ["::warning"] + ["::notice"] * 4


def test_ten_of_a_kind_at_most() -> None:
    many = [finding(status, task=f"task{place}") for place in range(30) for status in (Status.FAIL, Status.WARN)]
    lines = workflow_commands(replace(regressed(), findings=tuple(many)))
    assert [line.split(" ", 1)[0] for line in lines] == ["::error"] * 10 + ["::warning"] * 10


def test_hostile_text_makes_no_command_of_its_own() -> None:
    lines = workflow_commands(hostile())
    assert len(lines) == 2
    for line in lines:
        assert re.fullmatch(r"::(error|warning) title=[^:,\r\n]*::[^\r\n]*", line)
        assert line.replace("\ufffe", "").isprintable()
        assert "%0A::error" in line  # a line break within the message, as the runner reads it back
        assert "%250A,:" in line
