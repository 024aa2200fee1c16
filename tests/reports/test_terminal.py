from __future__ import annotations

import io
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from evalkit.reports.terminal import render
from evalkit.reports.text import visible
from evalkit.results import MetricValue, Run
from tests.result_examples import group, run, task_result, text_result

SUBJECTS = (
    *("high_school_government_and_politics", "anatomy", "astronomy", "virology", "marketing"),
    *("management", "nutrition", "philosophy", "world_religions"),
)


def example() -> Run:
    subjects = {f"mmlu_{name}": task_result([1, 0, 0, index % 2]) for index, name in enumerate(SUBJECTS)}
    pair = {"arc_easy": task_result([1, 0, 1, 1] * 300), "arc_challenge": task_result([0, 0, 0, 1] * 50)}
    tasks = {**pair, **subjects, "wikitext": text_result([-3.1, -2.9, -3.3])}
    return run(tasks, {"arc": group("arc", pair), "mmlu": group("mmlu", subjects, "items")})


def printed(shown: Run, width: int, *, encoding: str = "utf-8", expand: bool = False, **options: Any) -> str:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, newline="\n")
    console = Console(file=stream, width=width, **options)
    render(shown, console, [Path("runs/base.json"), Path("runs/base.samples.parquet")], expand=expand)
    stream.flush()
    return raw.getvalue().decode(encoding)


@pytest.mark.parametrize("width", [80, 100, 120, 200])
@pytest.mark.parametrize("expand", [False, True])
def test_no_line_is_wider_than_the_console(width: int, expand: bool) -> None:
    lines = printed(example(), width, expand=expand).splitlines()
    assert max(map(cell_len, lines)) <= width


@pytest.mark.parametrize(("workers", "shown"), [(4, ", 4 workers"), (1, ""), ("many", ""), (None, "")])
def test_several_workers_are_named(workers: object, shown: str) -> None:
    run = replace(example(), environment={"workers": workers})
    assert printed(run, 100).splitlines()[0].rstrip() == f"SmolLM2-135M, 135M parameters, float32, embedded{shown}"


def test_the_table_at_80_columns() -> None:
    text = printed(example(), 80)
    lines = [line.split() for line in text.splitlines()]
    assert " ".join(lines[0]) == "SmolLM2-135M, 135M parameters, float32, embedded"
    assert lines[2] == ["task", "v", "shots", "n", "metric", "value", "95%", "interval", "chance"]
    by_name = {line[0]: line[1:] for line in lines if line}
    assert by_name["arc_easy"] == ["1", "0", "1,200", "acc", "75.0%", "72.5–77.4", "25.0%"]
    assert by_name["arc"][:4] == ["0", "1,400", "acc", "50.0%"]
    assert by_name["mmlu"][:6] == ["(9", "tasks)", "0", "36", "acc", "36.1%"]
    # exp(3.1 · 100 / 70), and exp of the same ± t(2) · 0.2 / √3 · 100 / 70
    assert by_name["wikitext"] == ["2", "0", "3", "word_perplexity", "↓", "83.81", "41.22–170.4"]
    assert text.index("arc ") < text.index("  arc_easy") < text.index("mmlu") < text.index("wikitext")
    assert lines[-2:] == [["runs/base.json"], ["runs/base.samples.parquet"]]


def test_numbers_are_aligned_right() -> None:
    lines = printed(example(), 80).splitlines()
    ends = {
        line.index(value) + len(value)
        for line in lines
        for value in re.findall(r"\d+\.\d%(?= )", line)[:1]
        if not line.startswith(" " * 30)
    }
    assert len(ends) == 1


def test_large_groups_unfold() -> None:
    assert "anatomy" not in printed(example(), 120)
    unfolded = printed(example(), 120, expand=True)
    assert "  mmlu_anatomy" in unfolded
    assert "(9 tasks)" not in unfolded


def test_bars_only_where_there_is_room() -> None:
    assert "█" not in printed(example(), 80)
    line = next(line for line in printed(example(), 120).splitlines() if "arc_easy" in line)
    assert line.split()[-1] == "█" * 5 + "│" + "█" * 9  # 75 % of 20, chance at 25 %


def test_no_control_characters_in_a_log() -> None:
    assert re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", printed(example(), 80)) is None


def test_no_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    coloured = printed(example(), 80, force_terminal=True, color_system="truecolor")
    monkeypatch.setenv("NO_COLOR", "1")
    plain = printed(example(), 80, force_terminal=True)
    assert "\x1b[36m" in coloured
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", plain)


def test_ascii_output() -> None:
    text = printed(example(), 120, encoding="ascii")
    line = next(line for line in text.splitlines() if "arc_easy" in line)
    assert "72.5-77.4" in line
    assert line.split()[-1] == "#" * 5 + "|" + "#" * 9


def test_what_a_model_says_is_not_obeyed() -> None:
    hostile = replace(example(), tasks={"[red]x\x1b[2J\u202e[/red]": task_result([1, 0])}, groups={})
    hostile = replace(hostile, model=replace(hostile.model, name="evil[bold]\x1b]0;title\x07\nname"))
    text = printed(hostile, 200, force_terminal=True)
    assert "[red]x\\x1b[2J\\u202e[/red]" in text
    assert "evil[bold]\\x1b]0;title\\x07\\nname" in text
    assert "\x07" not in text
    assert "\u202e" not in text


def test_notes() -> None:
    result = replace(task_result([1, 0]), outcomes={"right": 1, "errored": 1})
    cut = replace(result.samples[0], fields={"truncated_tokens": 7})
    tasks = {"arc_easy": replace(result, samples=(cut, result.samples[1]))}
    text = printed(run(tasks, limit="200", over_length="truncate"), 80)
    assert "note: arc_easy: 1 of 2 errored" in text
    assert "note: arc_easy: 1 of 2 prompts cut on the left to fit the model's context" in text
    assert "note: not the default: limit: 200, over length: truncate" in text
    assert "note" not in printed(run({"arc_easy": task_result([1, 0])}, over_length="error"), 80)


def test_unknown_error_shows_no_interval() -> None:
    single = run({"wikitext": text_result([-3.1])})
    line = next(line for line in printed(single, 80).splitlines() if "wikitext" in line)
    assert line.split()[-1] == "83.81"


def test_long_paths_are_not_broken() -> None:
    stream = io.StringIO()
    path = Path("/".join(["folder"] * 30)) / "base.json"
    render(example(), Console(file=stream, width=80), [path])
    assert str(path) in stream.getvalue().splitlines()


def test_visible() -> None:
    assert visible("plain, Größe, 北京") == "plain, Größe, 北京"
    assert visible("a\tb\x00\x9b\u2028\ud83d\u202e") == "a\\tb\\x00\\x9b\\u2028\\ud83d\\u202e"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (MetricValue(0.2, 0.05, (0.1, 0.3), True, None, bounds=(0.0, 100.0)), ["0.2000", "0.1000–0.3000"]),
        (MetricValue(0.2, 0.05, (0.1, 0.3), True, None, bounds=(-math.inf, 1.0)), ["0.2000", "0.1000–0.3000"]),
        (MetricValue(0.2, 0.05, (0.1, 0.3), True, None, bounds=(0.0, 1.0)), ["20.0%", "10.0–30.0"]),
        (MetricValue(0.2, 0.05, (0.1, 0.3), True, None), ["20.0%", "10.0–30.0"]),  # as older files have it
    ],
)
def test_percent_is_for_metrics_that_end_at_1(value: MetricValue, shown: list[str]) -> None:
    """BLEU of 0.2 out of 100 is no 20 %."""
    low = replace(task_result([1, 0]), metrics={"bleu": value})
    line = next(line for line in printed(run({"wmt": low}), 80).splitlines() if line.startswith("wmt"))
    assert line.split()[-2:] == shown
