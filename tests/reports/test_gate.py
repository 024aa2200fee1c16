"""The decision for a terminal and as Markdown."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from evalkit.comparison import Verdict
from evalkit.gating.result import BrokenItem, GateResult, Status
from evalkit.reports.gate import LARGEST, MARKER, markdown, render
from tests.reports.gate_examples import (
    HOSTILE,
    every_status,
    finding,
    hostile,
    mean_warns,
    passed,
    regressed,
    sequential,
)


def printed(result: GateResult, width: int = 80, encoding: str = "utf-8") -> str:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, newline="\n")
    render(result, Console(file=stream, width=width), [Path("gate.json")])
    stream.flush()
    return raw.getvalue().decode(encoding)


def test_the_verdict_stands_first_and_the_files_last() -> None:
    lines = printed(regressed()).splitlines()
    assert lines[0] == "failed on quiz"
    assert lines[1] == "tuned against base, policy: gate.yaml"
    assert lines[-1] == "gate.json"
    row = next(line.split() for line in lines if line.startswith("quiz"))
    assert row[:6] == ["quiz", "acc", "1,000", "58.7%", "53.7%", "-5.0"]
    assert any(line.startswith("fail: quiz: loss: worse by 5.0 points") for line in lines)
    assert sum(line.startswith("broken: ") for line in lines) == 10
    assert "and more of them in the Markdown and JSON: 20 of 60 documents that got worse" in lines


def test_an_answer_that_is_not_known_is_not_shown_as_an_empty_one() -> None:
    item = BrokenItem("quiz", "id", -1.0, "knowledge", "Who?", "me", None, "you")
    one = replace(regressed(), broken=(item,), broken_total=1)
    assert "broken: quiz id (knowledge): 'you' now, right is 'me'" in printed(one).splitlines()
    assert "```text\nprompt: Who?\ntarget: me\ncandidate: you\n```" in markdown(one)
    assert "<summary>1 document that got worse<" in markdown(one)
    empty = replace(one, broken=(replace(item, before="", gain=-0.25),), broken_total=3)
    lines = printed(empty).splitlines()
    assert "broken: quiz id (knowledge, -0.25): '' before, 'you' now, right is 'me'" in lines
    assert "these are 1 of 3 documents that got worse" in lines
    assert "\nbaseline:\ncandidate: you" in markdown(empty)


def test_a_gain_that_is_not_shown_is_called_no_loss() -> None:
    row = replace(passed().rows[0], interval=(-0.005, 0.6), gain=0.5, margin=0.01, fixed=8)
    assert row.verdict is Verdict.WITHIN_MARGIN
    assert "| no loss |" in markdown(replace(passed(), rows=(row,)))
    tied = replace(row, interval=(-0.005, 0.005))
    assert "| within margin |" in markdown(replace(passed(), rows=(tied,)))


@pytest.mark.parametrize("width", [80, 100, 140])
def test_the_table_fits(width: int) -> None:
    rows = tuple(replace(regressed().rows[0], task=f"a_task_with_a_very_long_name_{place}") for place in range(3))
    text = printed(replace(regressed(), rows=rows), width)
    table = text.split("\n\n")[1]
    assert max(map(cell_len, table.splitlines())) <= width


def test_without_unicode() -> None:
    assert "failed on quiz" in printed(replace(regressed(), notes=("caf\u00e9",)), encoding="ascii")


def test_hostile_text_steers_no_terminal() -> None:
    text = printed(hostile())
    assert not set(text) & {"\x00", "\x1b", "\x08", "\u202e"}
    assert "\n::error" not in text


def test_statuses_in_the_order_of_their_weight() -> None:
    labels = [line.split(":")[0] for line in printed(every_status()).splitlines() if ": loss: why" in line]
    assert labels[:5] == ["fail", "not comparable", "undecided", "warn", "skipped"]
    assert labels[5] == "fail (informational)"


def test_how_far_a_sequential_gate_went() -> None:
    sentence = "sequential: stopped early, certain, after 230 of 1,000 documents (23.0 %) in 2 looks, seed 3"
    assert sentence in printed(sequential())
    assert re.sub(r"\\", "", markdown(sequential())).count(sentence) == 1


def test_markdown() -> None:
    text = markdown(regressed())
    lines = text.splitlines()
    assert lines[0] == MARKER
    assert lines[1] == "## Evaluation gate failed on quiz"
    assert "| quiz acc | 1,000 | 58.7% | 53.7% | -5.0 | -6.7 to -3.5 | 10/60 | regressed |" in lines
    assert "| task | n | before | after | change | 95% interval | fixed / broken | verdict |" in lines
    assert "<details><summary>20 of 60 documents that got worse</summary>" in lines
    assert markdown(passed()).count("<details>") == 0


def test_hostile_text_stays_within_its_fence() -> None:
    text = markdown(hostile())
    body = re.search(r"^(`{3,})text\n(.*?)^\1$", text, re.DOTALL | re.MULTILINE)
    assert body is not None
    outside = text.replace(body[0], "")
    assert len(body[1]) == 5  # one more than the longest run within
    assert "<script>" not in outside
    assert outside.count("</details>") == 1
    assert "\n::error" not in outside
    assert not any(line.startswith("| a | b |") for line in outside.splitlines())
    for line in outside.splitlines():
        assert line.replace("\ufffe", "").isprintable()
    table = [line for line in outside.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in table} == {9}


def test_markdown_stays_small_and_says_what_is_left_out() -> None:
    item = BrokenItem("quiz", "id", -1.0, "knowledge", "\u20ac" * 4000, HOSTILE, "x" * 4000, "y" * 4000)
    rows = tuple(replace(regressed().rows[0], task=f"task {place}") for place in range(130))
    findings = tuple(finding(Status.FAIL, task=f"task {place}", sentence="z" * 300) for place in range(130))
    text = markdown(replace(regressed(), rows=rows, findings=findings, broken=(item,) * 20))
    assert len(text.encode()) < LARGEST + 1000
    assert "30 more tasks are in the JSON file" in text
    assert re.search(r"\d+ more are in the JSON file", text)


def test_the_mean_has_its_row_and_its_warning_everywhere() -> None:
    from evalkit.reports.annotations import workflow_commands
    from evalkit.reports.junit import junit

    result = mean_warns()
    assert result.exit_code == 0
    assert result.to_json()["rows"][-1]["task"] == "mean of 2 tasks"
    assert "| mean of 2 tasks acc | 2,000 | 59.2% | 57.7% | -1.5 |" in markdown(result)
    for text in (printed(result), re.sub(r"\\|\*", "", markdown(result))):
        assert "warn" in text
        assert "mean of 2 tasks: loss: worse by 1.5 points" in text
    (warning,) = workflow_commands(result)
    assert warning.startswith("::warning title=evalkit gate%3A mean of 2 tasks")
    assert b'testsuite name="mean of 2 tasks" tests="1" failures="0"' in junit(result)


def test_numbers_and_words_are_those_of_compare() -> None:
    """The same change in both tables, also of a metric that is no share and better when lower."""
    import evalkit
    from evalkit.reports.changes import change_rows
    from evalkit.reports.comparison import render as render_comparison
    from tests.gating.examples import model
    from tests.result_examples import text_result

    before, after = (
        model(name, {"text": text_result([-rate - 0.01 * (place % 3) for place in range(40)])})
        for name, rate in (("/home/me/base", 2.0), ("/home/me/tuned", 2.2))
    )
    compared, result = evalkit.compare(before, after), evalkit.gate(before, after)
    (row,) = change_rows(compared)
    (line,) = [line for line in markdown(result).splitlines() if line.startswith("| text")]
    assert line.split(" | ")[1:7] == [row.n, row.before, row.after, row.difference, row.interval, row.moved]
    stream = io.StringIO()
    render_comparison(compared, Console(file=stream, width=80))
    (first,) = [line for line in stream.getvalue().splitlines() if line.split()[:1] == ["task"]]
    (second,) = [line for line in printed(result).splitlines() if line.split()[:1] == ["task"]]
    # compare has more columns: p, and the smallest visible effect
    assert [word for word in first.split() if word in second.split()] == second.split()
    assert printed(result).splitlines()[1] == "tuned against base, policy: built-in"
    narrow = replace(result, rows=(replace(result.rows[0], alpha=0.1),))
    assert "90% interval" in markdown(narrow)
