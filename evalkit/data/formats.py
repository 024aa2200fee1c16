"""Reads one data file of any supported format into plain Python dicts."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from evalkit.errors import DataError

EXTENSIONS = ("parquet", "arrow", "jsonl", "json", "csv", "tsv", "txt")
"""File name endings that can be read, the preferred one first where a split exists in several; all but the first two
also with `.gz` after them."""

_WRAPPERS = ("data", "rows", "examples", "instances")
"""Keys under which a .json file may hold its rows beside a version or licence."""

_HINT = "evalkit reads .parquet, .arrow, .jsonl, .json, .csv, .tsv and .txt, the last five also gzipped (.gz)."


def extension(name: str) -> str | None:
    """The format of a file by its name (`test.jsonl.gz` -> `jsonl`); None when it cannot be read."""
    parts = name.lower().rsplit("/", 1)[-1].split(".")
    if len(parts) > 2 and parts[-1] == "gz":
        return parts[-2] if parts[-2] in EXTENSIONS and parts[-2] not in ("parquet", "arrow") else None
    if len(parts) < 2:
        return None
    ending = {"ndjson": "jsonl"}.get(parts[-1], parts[-1])
    return ending if ending in EXTENSIONS else None


def read_file(path: Path, columns: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """Reads all rows of a file.

    Args:
        path: The file; its name's ending says the format.
        columns: The task's schema. Only CSV and TSV need it: a column that it calls `str` keeps its text as written
            ("007" stays "007"), where other columns become numbers or booleans when all their values look so.

    Returns:
        One dict a row. A .txt file gives one row `{"text": line}` a line.

    Raises:
        DataError: The file is missing, of another format, or broken; the message names file and, where known, line.
    """
    kind = extension(path.name)
    if kind is None:
        raise DataError(f"the data file {path} has a format that evalkit does not read", hint=_HINT)
    if not path.is_file():
        raise DataError(f"the data file {path} does not exist", hint="Correct the path in the task's `files`.")
    try:
        return _READERS[kind](path, columns or {})
    except UnicodeDecodeError as error:
        raise DataError(
            f"the data file {path} is not UTF-8: byte {error.start} cannot be decoded",
            hint="Convert it, for instance with `iconv -f latin1 -t utf-8`.",
        ) from error
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"the data file {path} cannot be read: {error}", hint="Is it complete? Copy it again."
        ) from error


def count_rows(path: Path) -> int:
    """Number of rows of a file; of a Parquet file without reading them."""
    if extension(path.name) == "parquet":
        import pyarrow.parquet

        try:
            return int(pyarrow.parquet.read_metadata(path).num_rows)
        except (pyarrow.ArrowException, OSError) as error:
            raise DataError(f"the data file {path} is not a Parquet file: {error}", hint="Copy it again.") from error
    return len(read_file(path))


def _open(path: Path, newline: str | None = None) -> IO[str]:
    """Opens text: UTF-8 with or without byte order mark, any line ending, gzipped or not."""
    if path.name.lower().endswith(".gz"):
        return gzip.open(path, "rt", encoding="utf-8-sig", newline=newline)
    return open(path, encoding="utf-8-sig", newline=newline)


def _read_parquet(path: Path, columns: Mapping[str, Any]) -> list[dict[str, Any]]:
    import pyarrow
    import pyarrow.parquet

    try:
        # A single file is meant, whatever its folders are called: no partition columns from `name=value` folders.
        table = pyarrow.parquet.ParquetFile(path).read()
        table.validate(full=True)
        return list(table.to_pylist())
    except pyarrow.ArrowException as error:
        raise DataError(f"the data file {path} is not a Parquet file: {error}", hint="Copy it again.") from error


def _read_arrow(path: Path, columns: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Arrow IPC, the streaming format (`save_to_disk`) or the file format (Feather)."""
    import pyarrow
    import pyarrow.ipc

    try:
        with pyarrow.memory_map(str(path)) as source:
            is_file_format = source.read(6) == b"ARROW1"
            source.seek(0)
            opener = pyarrow.ipc.open_file if is_file_format else pyarrow.ipc.open_stream
            table = opener(source).read_all()
            table.validate(full=True)  # lengths and offsets in a damaged file would be read as they are, past its end
            return list(table.to_pylist())
    except pyarrow.ArrowException as error:
        raise DataError(f"the data file {path} is not an Arrow file: {error}", hint="Copy it again.") from error


def _read_jsonl(path: Path, columns: Mapping[str, Any]) -> list[dict[str, Any]]:
    with _open(path) as lines:
        return list(_parse_lines(path, lines))


def _parse_lines(path: Path, lines: IO[str]) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"the data file {path} is broken in line {number}: {_json_problem(error)}",
                hint="Each line of a .jsonl file is one JSON object.",
            ) from error
        yield _as_object(row, path, f"line {number}")


def _read_json(path: Path, columns: Mapping[str, Any]) -> list[dict[str, Any]]:
    """An array of objects, an object that holds one such array, or (as often on the hub) JSON Lines after all."""
    with _open(path) as file:
        text = file.read()
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        if isinstance(error, json.JSONDecodeError) and error.msg == "Extra data":
            return _read_jsonl(path, columns)
        line = f" in line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise DataError(
            f"the data file {path} is broken{line}: {_json_problem(error)}",
            hint="A .json file is an array of objects, or JSON Lines.",
        ) from error
    if isinstance(content, dict):
        wrapped = [content[key] for key in _WRAPPERS if isinstance(content.get(key), list)]
        content = wrapped[0] if len(wrapped) == 1 else [content]
    if not isinstance(content, list):
        raise DataError(f"the data file {path} is not an array of JSON objects", hint="Wrap the rows in [ and ].")
    return [_as_object(row, path, f"element {number}") for number, row in enumerate(content)]


def _json_problem(error: ValueError | RecursionError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at column {error.colno}"
    return "it is nested too deeply" if isinstance(error, RecursionError) else "a number has thousands of digits"


def _as_object(row: Any, path: Path, place: str) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise DataError(
            f"the data file {path} holds {type(row).__name__} in {place}, expected a JSON object",
            hint='A row is an object of columns, such as {"question": "...", "answer": 1}.',
        )
    return row


def _read_csv(path: Path, columns: Mapping[str, Any]) -> list[dict[str, Any]]:
    return _read_delimited(path, columns, ",")


def _read_tsv(path: Path, columns: Mapping[str, Any]) -> list[dict[str, Any]]:
    return _read_delimited(path, columns, "\t")


def _read_delimited(path: Path, columns: Mapping[str, Any], delimiter: str) -> list[dict[str, Any]]:
    import io

    import pyarrow
    from pyarrow import csv

    # Decoded here so that byte order mark, encoding and gzip are treated as in every other format; line ends inside
    # quotes are content and stay.
    with _open(path, newline="") as file:
        text = file.read()
    if not text.strip():
        return []
    parse = csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
    as_text = {name: pyarrow.string() for name, expected in columns.items() if expected is str}

    def read(types: Mapping[str, Any]) -> Any:
        # Only an empty field is null ("NA" and "null" are words), and in a column of text it is the empty text.
        convert = csv.ConvertOptions(column_types=types, null_values=[""], strings_can_be_null=False)
        # One block: a column's type may not depend on where a block happens to end.
        options = csv.ReadOptions(block_size=max(len(data), 1) + 1)
        return csv.read_csv(io.BytesIO(data), read_options=options, parse_options=parse, convert_options=convert)

    data = text.encode("utf-8")
    try:
        table = read(as_text)
        # What looks like dates stays text, as in the other text formats.
        dates = {field.name: pyarrow.string() for field in table.schema if pyarrow.types.is_temporal(field.type)}
        return list((read({**as_text, **dates}) if dates else table).to_pylist())
    except pyarrow.ArrowException as error:
        message = str(error).split("\n")[0]
        raise DataError(
            f"the data file {path} is broken: {message}",
            hint="Every line needs as many fields as the header; quote fields that hold the delimiter.",
        ) from error


def _read_txt(path: Path, columns: Mapping[str, Any]) -> list[dict[str, Any]]:
    with _open(path) as lines:
        return [{"text": line.rstrip("\n")} for line in lines]


_READERS = {
    "parquet": _read_parquet,
    "arrow": _read_arrow,
    "jsonl": _read_jsonl,
    "json": _read_json,
    "csv": _read_csv,
    "tsv": _read_tsv,
    "txt": _read_txt,
}
