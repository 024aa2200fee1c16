from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest
from rich.console import Console

from evalkit.comparing.ranking import rank
from evalkit.ranking import Ranking
from evalkit.reports.leaderboard import headline, markdown, ranking_csv, ranking_latex, render
from evalkit.reports.ranking_rows import tie_letters
from tests.comparing.rankings import pattern, side, side_of
from tests.result_examples import task_result, text_result


def ranking(*rights: int) -> Ranking:
    return rank([side(f"model-{right}", {"arc": pattern(right, 300), "boolq": pattern(200, 300)}) for right in rights])


def shown(found: Ranking, width: int = 80, encoding: str = "utf-8") -> str:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    render(found, Console(file=stream, width=width, highlight=False, color_system=None))
    stream.seek(0)
    return stream.read()


def test_the_table_has_rank_score_interval_ties_and_columns() -> None:
    lines = shown(ranking(150, 152, 240)).splitlines()
    assert lines[0] == "model-240 is best, beyond chance"
    row = next(line for line in lines if "model-240" in line and "73.3" in line)
    assert row.split()[:2] == ["1", "model-240"]
    assert row.split()[4:] == ["a", "64.4", "80.0", "66.7"]
    assert sum(line.lstrip().startswith("2 model-15") for line in lines) == 2
    assert any("Holm over 3 pairs" in line for line in lines)


@pytest.mark.parametrize("width", [60, 80, 120, 200])
@pytest.mark.parametrize("tasks", [2, 30])
def test_it_fits_the_terminal(width: int, tasks: int) -> None:
    values = {f"a_task_with_a_long_name_{number}": pattern(number + 1, 40) for number in range(tasks)}
    text = shown(rank([side("short", values), side("a-model-with-a-rather-long-name-7b-instruct", values)]), width)
    assert max(map(len, text.splitlines())) <= width
    assert "66.7" not in text.splitlines()[0]
    if tasks == 30 and width < 200:
        assert "more columns in a wider terminal" in " ".join(text.split())


def test_headlines() -> None:
    assert headline(ranking(150, 152)) == "model-152 has the highest score, but no run can be told from it"
    assert headline(ranking(100, 150, 152)) == "model-152 has the highest score; 1 other run may be as good"


def test_letters_show_ties_that_overlap() -> None:
    found = rank([side(f"m{right}", {"arc": pattern(right, 300)}) for right in (150, 155, 160, 250)])
    # six pairs: 0.031 for five documents is 0.094 after Holm, 0.001 for ten 0.003
    assert tie_letters(found) == {"m250": "a", "m160": "b", "m155": "bc", "m150": "c"}
    assert len(set(tie_letters(ranking(100, 150, 200)).values())) == 3


def test_runs_that_are_not_ranked_are_named_everywhere() -> None:
    found = replace(ranking(150, 160), not_ranked={"odd|one": "shots 5, not 0"})
    assert "not ranked: odd|one: shots 5, not 0" in shown(found, 120)
    assert r"not ranked: odd\|one: shots 5, not 0" in markdown(found)
    last = list(csv.DictReader(io.StringIO(ranking_csv(found))))[-1]
    assert (last["rank"], last["run"], last["not_ranked_because"]) == ("", "odd|one", "shots 5, not 0")


def test_hostile_labels_do_no_harm() -> None:
    label = "=cmd|<b>*x*\x1b[31m&$_"
    found = rank([side(label, {"arc": pattern(9, 20)}), side("b", {"arc": pattern(9, 20)})])
    assert "\x1b" not in shown(found)
    assert "<b>" not in markdown(found)
    assert {line.count(" | ") for line in markdown(found).splitlines() if line.startswith("| 1")} == {5}
    assert next(csv.DictReader(io.StringIO(ranking_csv(found))))["run"].startswith("'=cmd")
    assert r"=cmd\textbar{}\textless{}b\textgreater{}" in ranking_latex(found)


def test_csv_has_unrounded_numbers() -> None:
    found = ranking(151, 240)
    rows = list(csv.DictReader(io.StringIO(ranking_csv(found))))
    assert float(rows[1]["average"]) == found.standings[1].score
    assert float(rows[1]["score: arc"]) == 151 / 300
    assert float(rows[1]["chance_corrected: arc"]) == pytest.approx((151 / 300 - 0.25) / 0.75)
    assert rows[0]["not_told_from"] == ""


def test_an_ascii_terminal_gets_ascii() -> None:
    assert shown(ranking(150, 240), encoding="ascii").isascii()


def test_a_perplexity_is_shown_as_it_is() -> None:
    sides = [
        side_of(name, {"wikitext": text_result([-3.0 - 0.01 * k + shift for k in range(12)])})
        for name, shift in (("a", 0.0), ("b", 0.5))
    ]
    text = shown(rank(sides))
    assert "38.47" in text
    assert "no share of 1" in " ".join(text.split())
    assert "Open LLM" not in text
    assert "corrected" not in text


def test_latex_rows_have_as_many_cells() -> None:
    text = ranking_latex(ranking(150, 240))
    assert {line.count("&") for line in text.splitlines() if line.endswith(r"\\")} == {6}
    assert r"\textsuperscript{a}" in text


def test_groups_of_one_task_are_no_trouble() -> None:
    assert "arc" in shown(rank([side_of(name, {"arc": task_result([1.0, 0.0])}) for name in "ab"]))
