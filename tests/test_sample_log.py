from __future__ import annotations

from dataclasses import asdict, fields, replace
from pathlib import Path

import pytest
from pyarrow import parquet

from evalkit.errors import OutputError, UsageError
from evalkit.results import SampleRow, read_samples, samples_path, write_samples
from evalkit.sample_log import ROWS_AT_A_TIME

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
