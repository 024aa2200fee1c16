"""A log that lighteval made of its dummy model, read. `make_lighteval_logs.py` says how."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evalkit.comparing.compare import compare
from evalkit.comparing.foreign import read_foreign
from evalkit.errors import UsageError
from evalkit.results import Run
from tests.comparing.foreign.lighteval_files import DATE, lay_out, results_of


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return lay_out(tmp_path / "out")


def read(path: Path) -> Run:
    found = read_foreign(path)
    assert found is not None
    run, origin = found
    assert origin == "lighteval"
    return run


def details(log: Path, task: str) -> Path:
    return log / "details" / "dummy" / DATE / f"details_{task}|0_{DATE}.parquet"


def change_results(log: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    document = json.loads(results_of(log).read_text())
    change(document)
    results_of(log).write_text(json.dumps(document))


def change_rows(log: Path, task: str, change: Callable[[list[dict[str, Any]]], Any]) -> None:
    from pyarrow import Table, parquet

    rows = parquet.read_table(details(log, task)).to_pylist()
    changed = change(rows)
    parquet.write_table(Table.from_pylist(changed or rows), details(log, task))


def test_scores_are_those_that_lighteval_reports(log: Path) -> None:
    """Lighteval printed acc 0.3333 +- 0.2108."""
    reported = json.loads(results_of(log).read_text())["results"]
    run = read(log)
    assert set(run.tasks) == {"legs|0", "legs_text|0"}
    for name, task in run.tasks.items():
        for metric, value in task.metrics.items():
            assert value.value == pytest.approx(reported[name][metric], rel=1e-9)
    assert run.tasks["legs|0"].metrics["acc"].stderr == pytest.approx(0.210818510677892, rel=1e-9)


def test_documents_are_in_the_datasets_order_with_their_outcomes(log: Path) -> None:
    task = read(log).tasks["legs|0"]
    assert [one.index for one in task.samples] == [0, 1, 2, 3, 4, 5]
    assert task.outcomes == {"right": 2, "wrong": 4}
    assert all((one.outcome == "right") == (one.metrics["acc"] == 1.0) for one in task.samples)
    assert task.dataset.id == "invented/legs"
    assert task.settings["decoding"] == {"temperature": 0, "generation_size": 8, "stop": ["\n"]}


def test_the_results_file_means_the_same(log: Path) -> None:
    assert read(results_of(log)) == read(log)


def test_the_newest_of_several_runs_is_read_and_named(log: Path, caplog: pytest.LogCaptureFixture) -> None:
    shutil.copy(results_of(log), results_of(log).with_name("results_2020-01-01T00-00-00.000000.json"))
    with caplog.at_level(logging.WARNING):
        assert read(log).environment["file"] == results_of(log).name
    assert "holds 2 runs; the newest is read" in caplog.text


def test_two_logs_are_compared(log: Path, tmp_path: Path) -> None:
    """The fourth document right before, wrong after."""
    other = lay_out(tmp_path / "other")
    change_rows(
        other, "legs", lambda rows: [row["metric"].update(acc=0) for row in rows if row["doc"]["id"] == "3"] and None
    )
    change_results(other, lambda document: document["results"]["legs|0"].update(acc=1 / 6))
    task = compare(log, other).tasks["legs|0"]
    assert task.pairing.paired == 6
    assert (task.change.fixed, task.change.broken) == (0, 1)
    assert [one.gain for one in task.flips] == [-1.0]


def test_a_score_that_is_no_mean_is_taken_without_an_error(log: Path) -> None:
    """Lighteval's bootstrap divides by the root of the number of resamples once too often."""

    def corpus(document: dict[str, Any]) -> None:
        document["results"]["legs|0"].update(acc=0.9)
        document["config_tasks"]["legs|0"]["metrics"][0]["corpus_level_fn"] = "f1"

    change_results(log, corpus)
    value = read(log).tasks["legs|0"].metrics["acc"]
    assert (value.value, value.stderr, value.ci95) == (0.9, None, None)


def test_a_blank_answer_is_empty(log: Path) -> None:
    change_rows(log, "legs_text", lambda rows: rows[0]["model_response"].update(text=[" "]))
    assert read(log).tasks["legs_text|0"].outcomes == {"wrong": 5, "empty": 1}


def test_a_log_without_details_says_how_to_get_them(log: Path) -> None:
    details(log, "legs").unlink()
    with pytest.raises(UsageError, match=r"details of legs.0 are missing") as error:
        read(log)
    assert "--save-details" in str(error.value.hint)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda document: document.pop("config_tasks"), r"results_.*json: config_tasks is missing"),
        (lambda document: document["results"].pop("legs|0"), r"results.legs.0 is missing"),
        (lambda document: document["results"]["legs|0"].update(acc=0.5), r"documents give acc = 0.33.* says .* = 0.5"),
        (lambda document: document["config_general"].update(model_name=1), "config_general.model_name is a whole"),
    ],
)
def test_damaged_results_name_the_field(change: Callable[[dict[str, Any]], Any], message: str, log: Path) -> None:
    change_results(log, change)
    with pytest.raises(UsageError, match=message):
        read(log)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: [row["doc"].pop("query") for row in rows] and None, r"row \d: doc.query is missing"),
        (lambda rows: rows[0]["doc"].update(id="x"), "row 0: doc.id is no whole number"),
        (lambda rows: rows[:-1], "documents give acc ="),
    ],
)
def test_damaged_details_name_the_row(change: Callable[[list[dict[str, Any]]], Any], message: str, log: Path) -> None:
    change_rows(log, "legs", change)
    with pytest.raises(UsageError, match=message):
        read(log)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_truncated_details_are_said_so(share: float, log: Path) -> None:
    content = details(log, "legs").read_bytes()
    details(log, "legs").write_bytes(content[: int(share * len(content))])
    with pytest.raises(UsageError, match=r"parquet cannot be read"):
        read(log)
