from __future__ import annotations

from dataclasses import asdict, fields, replace
from pathlib import Path

import pytest
from pyarrow import parquet

from evalkit.errors import OutputError, UsageError
from evalkit.results import SampleRow, read_samples, samples_path, write_samples
from evalkit.sample_log import ROWS_AT_A_TIME, mismatch, read_columns
from tests.reports.comparison_examples import choice_task
from tests.result_examples import run, text_result

ROW = SampleRow(
    task="arc_easy",
    id="00ff",
    index=3,
    completion=0,
    finish="",
    score=None,
    request=1,
    kind="score",
    prompt="Question: Größe?\nAnswer:",
    continuation=" 北京",
    context_tokens=9,
    tokens=2,
    log_probability=-3.3000000000000003,
    token_log_probabilities=[-1.1, -2.2],
    greedy=False,
    truncated=0,
    target="北京",
    answer=None,
)


def test_round_trip(tmp_path: Path) -> None:
    rows = [ROW, replace(ROW, answer="no", token_log_probabilities=[])]
    write_samples(tmp_path / "x.parquet", iter(rows))
    table = parquet.read_table(tmp_path / "x.parquet")
    assert table.column_names == [field.name for field in fields(SampleRow)]
    assert table.to_pylist() == [asdict(row) for row in rows]


def test_more_rows_than_are_held(tmp_path: Path) -> None:
    count = 2 * ROWS_AT_A_TIME + 1
    write_samples(tmp_path / "x.parquet", (replace(ROW, index=i) for i in range(count)))
    assert parquet.read_table(tmp_path / "x.parquet")["index"].to_pylist() == list(range(count))


def test_same_rows_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_samples(tmp_path / name, [ROW] * 3)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_no_rows_keep_the_columns(tmp_path: Path) -> None:
    write_samples(tmp_path / "x.parquet", [])
    assert parquet.read_table(tmp_path / "x.parquet").num_columns == len(fields(SampleRow))


def test_half_a_surrogate_pair_is_shown_as_an_escape(tmp_path: Path) -> None:
    write_samples(tmp_path / "x.parquet", [replace(ROW, prompt="a\ud83db")])
    assert parquet.read_table(tmp_path / "x.parquet")["prompt"].to_pylist() == ["a\\ud83db"]


def test_unwritable(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is a directory"):
        write_samples(tmp_path, [ROW])


def test_reading_gives_back_what_was_written(tmp_path: Path) -> None:
    rows = [replace(ROW, index=i, kind=("score", "generate")[i % 2]) for i in range(ROWS_AT_A_TIME + 3)]
    path = samples_path(tmp_path / "base.json")
    assert path.name == "base.samples.parquet"
    write_samples(path, rows)
    assert list(read_samples(path)) == rows
    assert list(read_samples(path, "generate")) == rows[1::2]


def test_reading_some_documents_only(tmp_path: Path) -> None:
    rows = [replace(ROW, id=f"{i % 7}", index=i) for i in range(ROWS_AT_A_TIME + 3)]
    write_samples(tmp_path / "x.parquet", rows)
    assert list(read_samples(tmp_path / "x.parquet", ids={"3", "none"})) == [row for row in rows if row.id == "3"]
    assert list(read_samples(tmp_path / "x.parquet", "generate", ids={"3"})) == []
    assert list(read_samples(tmp_path / "x.parquet", ids=())) == []


def test_what_is_no_log_is_refused(tmp_path: Path) -> None:
    from pyarrow import table

    with pytest.raises(UsageError, match="is missing"):
        list(read_samples(tmp_path / "x.parquet"))
    (tmp_path / "x.parquet").write_bytes(b"not parquet")
    with pytest.raises(UsageError, match="cannot be read"):
        list(read_samples(tmp_path / "x.parquet"))
    parquet.write_table(table({"task": ["a"]}), tmp_path / "x.parquet")
    with pytest.raises(UsageError, match="no column answer"):
        list(read_samples(tmp_path / "x.parquet"))


def test_some_columns(tmp_path: Path) -> None:
    write_samples(tmp_path / "x.parquet", [ROW, replace(ROW, id="1")])
    assert list(read_columns(tmp_path / "x.parquet", ("id", "tokens"))) == [("00ff", 2), ("1", 2)]


def test_the_log_of_the_run_itself_and_of_a_part_of_it(tmp_path: Path) -> None:
    parts = {name: choice_task(name, 20, 1.0, 0) for name in ("quiz", "exam")}
    path = tmp_path / "x.parquet"
    write_samples(path, [row for _, rows in parts.values() for row in rows])
    assert mismatch(run({name: task for name, (task, _) in parts.items()}), path) is None
    assert mismatch(run({"quiz": parts["quiz"][0]}), path) is None  # compared by --tasks
    task = parts["quiz"][0]
    some = run({"quiz": replace(task, samples=task.samples[:9])})
    assert mismatch(some, path, is_part=True) is None
    assert mismatch(some, path) is not None


def test_the_log_of_another_run(tmp_path: Path) -> None:
    task, rows = choice_task("quiz", 20, 1.0, 0)
    own = run({"quiz": task})
    for other, why in (
        (choice_task("quiz", 20, 1.0, 1)[1], "the margin of a document of quiz is not the result's"),
        (rows[:-4], "it lacks 1 of the result's 20 documents"),
        ([replace(row, id="x") for row in rows], "it has a document of quiz that the result does not have"),
        (rows[:-1], "the number of choices of a document of quiz is not the result's"),
    ):
        write_samples(tmp_path / "x.parquet", other)
        assert mismatch(own, tmp_path / "x.parquet") == why


def test_the_log_of_another_run_on_texts(tmp_path: Path) -> None:
    task = text_result([-1.0, -2.0])
    rows = [
        replace(ROW, task="wiki", id=one.id, kind="roll", log_probability=one.fields["log_likelihood"])
        for one in task.samples
    ]
    write_samples(tmp_path / "x.parquet", rows)
    assert mismatch(run({"wiki": task}), tmp_path / "x.parquet") is None
    assert mismatch(run({"wiki": text_result([-1.0, -2.1])}), tmp_path / "x.parquet") is not None
