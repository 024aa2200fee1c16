from __future__ import annotations

import csv
import io
import math

import pandas as pd
import pytest

from evalkit.reports.csv import csv_text, run_csv
from tests.result_examples import group, run, task_result, text_result


def parsed(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_a_row_for_each_task_and_metric_with_unrounded_numbers() -> None:
    pair = {"arc_easy": task_result([1, 0, 1]), "arc_challenge": task_result([0, 0, 0, 1])}
    finished = run({**pair, "wikitext": text_result([-3.1, -2.9])}, {"arc": group("arc", pair)})
    rows = parsed(run_csv(finished))
    assert [(row["task"], row["kind"], row["metric"], row["main"]) for row in rows] == [
        ("arc", "group", "acc", "true"),
        ("arc_easy", "task", "acc", "true"),
        ("arc_challenge", "task", "acc", "true"),
        ("wikitext", "task", "word_perplexity", "true"),
        ("wikitext", "task", "bits_per_byte", "false"),
    ]
    value = finished.tasks["arc_easy"].metrics["acc"]
    assert float(rows[1]["value"]) == value.value == 2 / 3
    assert value.ci95 is not None
    assert (float(rows[1]["ci95_low"]), float(rows[1]["ci95_high"])) == value.ci95
    assert (rows[1]["outcome_right"], rows[1]["outcome_wrong"], rows[3]["outcome_scored"]) == ("2", "1", "2")
    assert rows[3]["chance"] == ""
    assert rows[3]["higher_is_better"] == "false"


def test_pandas_reads_it() -> None:
    frame = pd.read_csv(io.StringIO(run_csv(run({"arc": task_result([1, 0, 1])}))))
    assert frame["value"][0] == 2 / 3
    assert bool(frame["main"][0]) is True


def test_lines_and_quotes_are_rfc_4180s() -> None:
    text = csv_text([{"name": 'say "no", please', "n": 3}, {"name": "two\nlines", "n": None}])
    assert text == 'name,n\r\n"say ""no"", please",3\r\ntwo\\nlines,\r\n'


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t=", "  =", "\r@", "\uff1d", "\uff0b", "\uff0d", "\uff20"])
def test_text_that_begins_like_a_formula_is_disarmed(start: str) -> None:
    (row,) = parsed(csv_text([{"name": f'{start}HYPERLINK("http://x")'}]))
    assert row["name"][0] in "'\\"
    finished = run({f"{start}cmd|' /C calc'!A0": task_result([1, 0])})
    assert all(
        not cell.lstrip().startswith(("=", "+", "@")) for row in parsed(run_csv(finished)) for cell in row.values()
    )


def test_negative_numbers_stay_numbers_and_what_is_none_is_empty() -> None:
    (row,) = parsed(csv_text([{"a": -0.25, "b": math.nan, "c": math.inf, "d": None, "e": True, "f": -3}]))
    assert row == {"a": "-0.25", "b": "", "c": "", "d": "", "e": "true", "f": "-3"}


def test_headings_from_elsewhere_are_guarded_too() -> None:
    assert csv_text([{"=1+1": 1}]).startswith("'=1+1\r\n")
