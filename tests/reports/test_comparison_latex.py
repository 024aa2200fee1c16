from __future__ import annotations

import csv
import io

import pytest

from evalkit.comparing.compare import compare
from evalkit.comparison import Comparison
from evalkit.reports.comparison_latex import comparison_latex
from evalkit.reports.csv import comparison_csv
from tests.comparing.rankings import named, pattern
from tests.result_examples import group, run, task_result, text_result

HOSTILE = "=a_b&100%#{}|\\x"


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    members = [{"easy": task_result(pattern(right, 80)), "hard": task_result(pattern(20, 60))} for right in (30, 60)]
    runs = [
        run({**own, HOSTILE: task_result(pattern(9, 30))}, {"arc": group("arc", own)}, limit=None) for own in members
    ]
    return compare(named(runs[0], HOSTILE), named(runs[1], "tuned"))


def test_latex_has_the_roots_and_the_mean(comparison: Comparison) -> None:
    text = comparison_latex(comparison)
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len(rows) == 4  # headings, arc, the hostile one, the mean
    assert {row.replace(r"\&", "").count("&") for row in rows} == {7}
    assert rows[1].startswith("arc & 140 & ")
    assert "easy" not in text
    assert r"=a\_b\&100\%\#\{\}\textbar{}\textbackslash{}x & 30 & 30.0 & 30.0 & +0.0 &" in text
    assert "Mean over tasks" in rows[-1]
    assert "$<$ 0.001" in rows[1]


def test_csv_has_every_task_and_metric_unrounded(comparison: Comparison) -> None:
    rows = list(csv.DictReader(io.StringIO(comparison_csv(comparison), newline="")))
    assert [(row["task"], row["kind"], row["headline"]) for row in rows] == [
        ("arc", "group", "true"),
        ("easy", "task", "false"),
        ("hard", "task", "false"),
        ("'" + HOSTILE, "task", "true"),
        ("mean over tasks", "overall", "true"),
    ]
    change = comparison.tasks["easy"].change
    assert float(rows[1]["difference"]) == change.difference
    assert change.interval is not None
    assert (float(rows[1]["ci_low"]), float(rows[1]["ci_high"])) == change.interval
    assert (rows[1]["fixed"], rows[1]["broken"]) == ("30", "0")
    assert rows[1]["p_holm"] == "" or 0 < float(rows[1]["p_holm"]) < 1e-6


def test_a_perplexity_is_no_percentage() -> None:
    runs = [run({"wikitext": text_result([-3.0 - 0.01 * k + shift for k in range(9)])}) for shift in (0.0, 0.5)]
    text = comparison_latex(compare(named(runs[0], "a"), named(runs[1], "b")))
    assert "wikitext & 9 & 76.93 & 37.66 & $-$39.3" in text
