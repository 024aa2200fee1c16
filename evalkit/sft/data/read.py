"""From the names of files and datasets to clean rows and a report on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.errors import TrainingDataError
from evalkit.sft.data.cleaning import Cleaned, CleaningOptions, clean
from evalkit.sft.data.dropped import Dropped
from evalkit.sft.data.shapes import InvalidRowError, conversation, shape_of
from evalkit.sft.rows import TrainingRow
from evalkit.training_data import DataReport, Quantiles, SourceReport

if TYPE_CHECKING:
    from evalkit.data import DataOptions

_KNOWN = (
    "messages; conversations; prompt and completion; instruction, input and output; text; chosen and rejected, with or "
    "without prompt"
)


@dataclass(frozen=True, slots=True)
class TrainingData:
    """What was read.

    Attributes:
        rows: Source -> its rows that are left, in order.
        dropped: Rows that were left out.
        report: Counts and quantiles.
    """

    rows: Mapping[str, tuple[TrainingRow, ...]]
    dropped: tuple[Dropped, ...]
    report: DataReport


@dataclass(frozen=True, slots=True)
class _Source:
    """One source, understood."""

    name: str
    shape: str
    sha256: str
    read: int
    rows: tuple[TrainingRow, ...]
    dropped: tuple[Dropped, ...]


def read_training_data(
    names: Sequence[str], mapping: Mapping[str, str], options: DataOptions, cleaning: CleaningOptions
) -> TrainingData:
    """Reads files, folders of them, and datasets of the hub.

    Files are .jsonl, .json, .csv, .tsv, .parquet, .arrow or .txt, gzipped or not; of a dataset of the hub (`org/name`,
    `org/name:config`) the split `train` is taken. All rows of a source have one shape, told by its columns.

    Args:
        names: What the user gave.
        mapping: Column of theirs -> the name that a known shape has for it.
        options: Where datasets may come from.
        cleaning: What is dropped of what can be read.

    Raises:
        TrainingDataError: A source is missing or broken, its columns are none that are known, or no row of it can be used.
    """
    sources = [_source(name, mapping, options) for name in names]
    cleaned = clean([row for source in sources for row in source.rows], cleaning)
    kept: dict[str, list[TrainingRow]] = {source.name: [] for source in sources}
    for row in cleaned.rows:
        kept[row.source].append(row)
    for source in sources:
        if not kept[source.name]:
            _refuse_empty(source, cleaned)
    dropped = (*(one for source in sources for one in source.dropped), *cleaned.dropped)
    report = DataReport(
        tuple(_report(source, tuple(kept[source.name]), dropped, cleaned) for source in sources),
        conflicts=cleaned.conflicts,
    )
    return TrainingData({name: tuple(rows) for name, rows in kept.items()}, dropped, report)


def _source(name: str, mapping: Mapping[str, str], options: DataOptions) -> _Source:
    from evalkit.data.rows import content_sha256

    raw = _raw(name, options)
    if not raw:
        raise TrainingDataError(f"{name} has no rows", hint="is it the right file?")
    rows = [{mapping.get(column, column): value for column, value in row.items()} for row in raw]
    # a row may lack what others have: the columns of all tell the shape
    columns = frozenset(column for row in rows for column in row)
    shape = shape_of(columns)
    if shape is None:
        found = ", ".join(sorted(frozenset(column for row in raw for column in row)))
        raise TrainingDataError(
            f"{name} has the columns {found}, of which no training rows can be made",
            hint=f"known are: {_KNOWN}; others are named as in --map question=prompt --map answer=completion",
        )
    understood, dropped = [], []
    for index, row in enumerate(rows):
        try:
            understood.append(conversation(shape, _filled(row, columns), name, index))
        except InvalidRowError as error:
            dropped.append(Dropped(name, index, error.args[0], error.args[1], dict(raw[index])))
    return _Source(name, shape, content_sha256(raw), len(raw), tuple(understood), tuple(dropped))


def _filled(row: Mapping[str, Any], columns: frozenset[str]) -> dict[str, Any]:
    return {**dict.fromkeys(columns), **row}


def _raw(name: str, options: DataOptions) -> list[dict[str, Any]]:
    """The rows as they are."""
    from evalkit.data.formats import extension
    from evalkit.data.load import load_rows
    from evalkit.task import DataSource

    path = Path(name).expanduser()
    if path.is_dir():
        files = sorted(one for one in path.rglob("*") if one.is_file() and extension(one.name) not in (None, "txt"))
        if not files:
            raise TrainingDataError(f"the folder {name} holds no data file", hint="as .jsonl, .json, .csv or .parquet")
        return [row for file in files for row in _file(file)]
    if path.exists() or extension(name) is not None:
        if not path.exists():
            raise TrainingDataError(f"there is no file {name}", hint="check the path given as --data")
        return _file(path)
    identity, _, config = name.partition(":")
    source = DataSource(id=identity, config=config or None, split="train")
    return [dict(row) for row in load_rows(source, "train", {}, options)]


def _file(path: Path) -> list[dict[str, Any]]:
    from evalkit.data.formats import read_file
    from evalkit.errors import DataError

    try:
        return read_file(path)
    except DataError as error:  # a user's own file is input, and not part of an evaluation
        raise TrainingDataError(error.message, hint=error.hint) from error


def _refuse_empty(source: _Source, cleaned: Cleaned) -> None:
    reasons = Counter(one.reason for one in source.dropped)
    reasons.update(one.reason for one in cleaned.dropped if one.source == source.name)
    counts = ", ".join(f"{count:,} {reason}" for reason, count in reasons.most_common())
    first = next((one for one in (*source.dropped, *cleaned.dropped) if one.source == source.name), None)
    shown = f" (row {first.index + 1}: {first.detail})" if first is not None else ""
    raise TrainingDataError(
        f"of {source.read:,} rows of {source.name} none can be trained on: {counts}{shown}",
        hint=f"they were read as {source.shape}; --map names columns that are called otherwise",
    )


def _report(
    source: _Source, kept: tuple[TrainingRow, ...], dropped: Sequence[Dropped], cleaned: Cleaned
) -> SourceReport:
    name = source.name
    languages = {language: count for (own, language), count in cleaned.languages.most_common() if own == name}
    return SourceReport(
        name=name,
        format=source.shape,
        sha256=source.sha256,
        rows=source.read,
        kept=len(kept),
        dropped=dict(Counter(one.reason for one in dropped if one.source == name).most_common()),
        flagged={reason: count for (own, reason), count in cleaned.flagged.most_common() if own == name},
        languages=languages,
        characters=Quantiles.of([len(row.prompt_text) + len(row.answer) for row in kept]),
        answer_characters=Quantiles.of([len(row.answer) for row in kept]),
        turns=dict(sorted(Counter(len(row.messages) or 1 for row in kept).items())),
    )
