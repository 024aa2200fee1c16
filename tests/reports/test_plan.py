from __future__ import annotations

from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from evalkit.reports.plan import duration, markdown, render, size
from evalkit.run_plan import Cost, RunPlan, Sight, TaskPlan

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


def seen(
    difference: float | None = 0.0421, *, is_share: bool = True, basis: str = "unrelated answers assumed"
) -> Sight:
    needed = {0.02: 1234, 0.01: 4936} if is_share else {}
    return Sight(100, 100.0, difference, is_share, needed, basis)


def test_the_smallest_visible_difference_has_a_table() -> None:
    lines = shown(replace(plan(), sights={"whole": seen(), "part_0": seen()}, overall=seen(0.03))).splitlines()
    assert ["part_0", "100", "4.3", "points", "1,234", "4,936"] in [line.split() for line in lines]
    assert any(line.startswith("mean over tasks") and "3.0 points" in line for line in lines)
    text = " ".join(" ".join(lines).split())
    assert "in 4 of 5 tries" in text
    assert "unrelated answers assumed" in text
    assert "--baseline base.json tuned.json" in text


def test_what_is_not_known_is_said() -> None:
    text = shown(replace(plan(), sights={"wikitext": seen(None, is_share=False, basis="not known before a run")}))
    assert ["wikitext", "100", "unknown"] in [line.split() for line in text.splitlines()]
    assert "--baseline" not in text
    assert "0.00123" in shown(replace(plan(), sights={"mc": seen(0.00123, is_share=False, basis="b")}))


def test_members_of_large_groups_have_no_row_of_their_own() -> None:
    many = plan(tasks=20)
    sights = {name: seen() for name in ("whole", *many.groups["whole"], "first")}
    text = shown(replace(many, sights=sights))
    assert "part_1" not in text
    assert text.count("whole") == 2


def test_markdown_has_both_tables() -> None:
    text = markdown(replace(plan(), model="a|b", sights={"part_0": seen()}))
    assert text.startswith(r"**a\|b** on cpu")
    assert r"| part\_0 | 10 | 40 | 4,000 |" in text
    assert r"| part\_0 | 100 | 4.3 points | 1,234 | 4,936 |" in text
    assert "- scoring: 50 min, at 500 tokens a second measured just now" in text
    assert "not known here" in markdown(plan(None))
