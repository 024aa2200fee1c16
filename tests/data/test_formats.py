import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.feather
import pyarrow.parquet
import pytest
from datasets import Dataset

from evalkit.data import content_sha256
from evalkit.data.formats import count_rows, extension, read_file
from evalkit.errors import DataError

ROWS: list[dict[str, Any]] = [
    {"question": "Größe?\u2028neu", "score": 1.5, "answer": 1, "right": True},
    {"question": 'a "quoted", line\nbreak', "score": -2.0, "answer": 0, "right": False},
]


def write_csv(path: Path, delimiter: str = ",", line_end: str = "\n") -> None:
    lines = [
        "question,score,answer,right",
        "Größe?\u2028neu,1.5,1,true",
        '"a ""quoted"", line\nbreak",-2.0,0,false',
        "",
    ]
    text = "\n".join(lines) if line_end == "\n" else line_end.join(lines)
    if delimiter != ",":
        text = "question\tscore\tanswer\tright\nGröße?\u2028neu\t1.5\t1\ttrue\n"
        text += '"a ""quoted"", line\nbreak"\t-2.0\t0\tfalse\n'
    path.write_bytes(text.encode())


def write(path: Path) -> None:
    """Writes ROWS in the format of the name, with other libraries than the reader's where there are any."""
    jsonl = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)
    match path.name.split(".", 1)[1]:
        case "parquet":
            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), path)
        case "feather.arrow":
            pyarrow.feather.write_feather(pyarrow.Table.from_pylist(ROWS), str(path), compression="uncompressed")
        case "jsonl" | "ndjson" | "lines.json":
            path.write_text(jsonl, encoding="utf-8")
        case "bom.jsonl":
            path.write_bytes(b"\xef\xbb\xbf" + jsonl.replace("\n", "\r\n").encode() + b"\r\n")
        case "jsonl.gz":
            path.write_bytes(gzip.compress(jsonl.encode()))
        case "json":
            path.write_text(json.dumps(ROWS), encoding="utf-8")
        case "wrapped.json":
            path.write_text(json.dumps({"version": 2, "data": ROWS}), encoding="utf-8")
        case "csv":
            write_csv(path)
        case "crlf.csv":
            write_csv(path, line_end="\r\n")
        case "bom.csv":
            write_csv(path)
            path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
        case "csv.gz":
            write_csv(path)
            path.write_bytes(gzip.compress(path.read_bytes()))
        case "tsv":
            write_csv(path, delimiter="\t")


FORMATS = ["parquet", "feather.arrow", "jsonl", "ndjson", "lines.json", "bom.jsonl", "jsonl.gz", "json", "wrapped.json"]
FORMATS += ["csv", "crlf.csv", "bom.csv", "csv.gz", "tsv"]


@pytest.mark.parametrize("ending", FORMATS)
def test_every_format_gives_the_same_rows_and_hash(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"test.{ending}"
    write(path)
    rows = read_file(path)
    assert rows == ROWS
    assert content_sha256(rows) == content_sha256(ROWS)
    assert count_rows(path) == 2


def test_arrow_stream_as_save_to_disk_leaves_it(tmp_path: Path) -> None:
    Dataset.from_list(ROWS).save_to_disk(tmp_path / "set")
    assert read_file(tmp_path / "set" / "data-00000-of-00001.arrow") == ROWS


def test_a_text_file_gives_a_row_a_line(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("\ufeffone\r\n\r\ntwo\u2028still two".encode())
    assert read_file(tmp_path / "a.txt") == [{"text": "one"}, {"text": ""}, {"text": "two\u2028still two"}]


def test_csv_text_stays_as_written_where_the_schema_says_text(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("question,choice,answer\nNA,007,1\nnull,3.10,0\n")
    assert read_file(tmp_path / "a.csv", {"choice": str, "answer": int}) == [
        {"question": "NA", "choice": "007", "answer": 1},
        {"question": "null", "choice": "3.10", "answer": 0},
    ]
    assert read_file(tmp_path / "a.csv")[0]["choice"] == 7


def test_csv_dates_stay_text_and_empty_fields_stay_empty(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("day,word,number\n2020-01-02,,1\n2020-01-03,x,\n")
    assert read_file(tmp_path / "a.csv") == [
        {"day": "2020-01-02", "word": "", "number": 1},
        {"day": "2020-01-03", "word": "x", "number": None},
    ]


def test_csv_types_do_not_depend_on_where_blocks_end(tmp_path: Path) -> None:
    lines = [str(number) for number in range(300_000)] + ["last one is text"]
    (tmp_path / "a.csv").write_text("value\n" + "\n".join(lines) + "\n")
    assert [row["value"] for row in read_file(tmp_path / "a.csv")] == lines


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"a": 1}\n{"a": \n', "broken in line 2"),
        ("a.jsonl", b'{"a": 1}\n[1]\n', "holds list in line 2"),
        ("a.json", b'[{"a": 1}, 2]', "holds int in element 1"),
        ("a.json", b'[{"a": 1}', "broken in line 1"),
        ("a.csv", b"a,b\n1,2\n1,2,3\n", "is broken"),
        ("a.jsonl", b'{"a": "\xff"}\n', "not UTF-8: byte 7"),
        ("a.jsonl.gz", b"no gzip", "cannot be read"),
        ("a.jsonl.gz", gzip.compress(b"x" * 1000, mtime=0)[:-9], "cannot be read"),
        ("a.parquet", b"PAR1 nothing", "not a Parquet file"),
        ("a.arrow", b"nothing", "not an Arrow file"),
        ("a.docx", b"", "format that evalkit does not read"),
    ],
)
def test_broken_files_are_named(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_file(tmp_path / name)
    assert str(tmp_path / name) in caught.value.message


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"missing\.jsonl does not exist"):
        read_file(tmp_path / "missing.jsonl")


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a.JSONL", "jsonl"), ("a/b.csv.gz", "csv"), ("a.parquet.gz", None), ("README", None), ("a.py", None)],
)
def test_extension(name: str, expected: str | None) -> None:
    assert extension(name) == expected
