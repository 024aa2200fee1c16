from __future__ import annotations

from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from evalkit.reports.plan import duration, render, size
from evalkit.run_plan import Cost, RunPlan, TaskPlan

COST = Cost(
    tokens_asked=9_000_000,
    tokens_computed=1_500_000,
    batches=730,
    batch_tokens=2048,
    peak_bytes=1_700_000_000,
    available_bytes=23 * 2**30,
    tokens_per_second=500.0,
)


def shown(plan: RunPlan) -> str:
    console = Console(file=StringIO(), width=100)
    render(plan, console)
    return console.file.getvalue()  # type: ignore[attr-defined]


def plan(cost: Cost | None = COST, tasks: int = 2) -> RunPlan:
    names = tuple(f"part_{number}" for number in range(tasks))
    one = tuple(TaskPlan(name, 10, 40, 4000) for name in names)
    return RunPlan("tiny", "cpu", (TaskPlan("first", 1, 2, 30), *one), {"whole": names}, cost, 12.0)


def test_the_costs_are_shown_in_units_people_use() -> None:
    text = shown(plan())
    assert "tiny on cpu" in text
    assert "9,000,000 asked, 1,500,000 to compute: 6.0 x fewer" in text
    assert "50 min, at 500 tokens a second" in text
    assert "1.6 GiB at the peak, the model included; 23.0 GiB available" in text
    assert "more memory than there is" not in text


def test_tasks_of_a_large_group_are_one_row() -> None:
    lines = shown(plan(tasks=20)).splitlines()
    assert [line.split() for line in lines if "whole" in line] == [["whole", "(20", "tasks)", "200", "800", "80,000"]]
    assert not any("part_" in line for line in lines)
    assert any("part_1" in line for line in shown(plan(tasks=3)).splitlines())


def test_too_little_memory_is_said() -> None:
    tight = Cost(1, 1, 1, 1, peak_bytes=2**34, available_bytes=2**33, tokens_per_second=1.0)
    assert "more memory than there is" in shown(plan(tight))


def test_a_service_has_no_cost() -> None:
    assert "not known here" in shown(plan(None))


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (95, "95 s"), (100, "2 min"), (7500, "2 h 5 min")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_sizes() -> None:
    assert (size(50 * 2**20), size(3 * 2**30 // 2)) == ("50 MiB", "1.5 GiB")


def test_generated_tokens_are_told_from_those_of_prompts() -> None:
    text = shown(plan(replace(COST, tokens_asked=2_771, tokens_computed=4_035, new_tokens=1_536)))
    assert "prompts 2,771, 2,499 after sharing; answers at most 1,536" in text
    assert "every answer is assumed to run to its limit" in text
    assert "fewer" not in text


def test_more_tokens_are_never_called_fewer() -> None:
    assert "fewer" not in shown(plan(replace(COST, tokens_asked=2_771, tokens_computed=4_035)))
