"""The log beside the result file: `base.samples.parquet`, a row a request."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.errors import UsageError
from evalkit.files import atomic_writer

if TYPE_CHECKING:
    import pyarrow

    from evalkit.results import Run, Sample

ROWS_AT_A_TIME = 4096
"""Rows held in memory: with prompts of 10 kB this is 40 MB."""


@dataclass(frozen=True, slots=True)
class SampleRow:
    """One request and its answer.

    Attributes:
        task: Name of the task.
        id: The sample's id, as in the result file.
        index: Position of the document in its dataset.
        request: Position of the request in its document (the choice's index).
        kind: `score`, `roll` or `generate`.
        completion: Which of a prompt's completions (samples, or hypotheses of a beam search); 0 for what is scored.
        prompt: What the model was given.
        continuation: What was scored, or generated.
        context_tokens: Tokens before the first scored one.
        tokens: Scored or generated tokens.
        log_probability: Sum over these tokens, nats; None where the backend does not tell.
        token_log_probabilities: One a scored token, nats; empty for generated ones.
        greedy: Whether each scored token was the most probable one.
        finish: Why a generated text ended: `stop`, `length` or `refused`; `errored` where none could be had; empty for
            what is scored.
        score: What beam search ranked the text by; None without beams.
        truncated: Tokens cut off the left of the context.
        target: The right answer; empty where there is none.
        answer: The model's answer (the choice it picked, or what was extracted from its text); None where there is none.
    """

    task: str
    id: str
    index: int
    request: int
    kind: str
    completion: int
    prompt: str
    continuation: str
    context_tokens: int
    tokens: int
    log_probability: float | None
    token_log_probabilities: list[float]
    greedy: bool
    finish: str
    score: float | None
    truncated: int
    target: str
    answer: str | None


def samples_path(output: Path) -> Path:
    """`base.samples.parquet` beside `base.json`."""
    return output.with_name(output.stem + ".samples.parquet")


def write_samples(path: Path, rows: Iterable[SampleRow]) -> None:
    """Writes the log as Parquet, zstd-compressed, whole or not at all; rows may be more than memory holds.

    The bytes depend on the rows and the version of pyarrow alone.

    Raises:
        OutputError: The place cannot be written.
    """
    from pyarrow import Table, parquet

    schema = _schema()
    names = [field.name for field in fields(SampleRow)]
    with (
        atomic_writer(path) as stream,
        parquet.ParquetWriter(stream, schema, compression="zstd") as writer,
    ):
        for chunk in _chunks(rows):
            columns = {name: [_storable(getattr(row, name)) for row in chunk] for name in names}
            writer.write_table(Table.from_pydict(columns, schema=schema))


def read_samples(path: Path, kind: str | None = None, ids: Collection[str] | None = None) -> Iterator[SampleRow]:
    """The rows of a log, in order, not all in memory at once.

    Args:
        path: A log that `write_samples` wrote.
        kind: Only rows of this kind: `score`, `roll` or `generate`.
        ids: Only rows of documents with these ids.

    Raises:
        UsageError: The file is missing, damaged, or no such log.
    """
    from pyarrow import array, compute, string

    wanted = None if ids is None else array(sorted(ids), string())
    names = [field.name for field in fields(SampleRow)]
    for batch in _batches(path, names):
        chosen = batch if kind is None else batch.filter(compute.equal(batch["kind"], kind))
        if wanted is not None:
            chosen = chosen.filter(compute.is_in(chosen["id"], wanted))
        yield from (SampleRow(**row) for row in chosen.to_pylist())


def read_columns(path: Path, names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """Some columns of a log, a tuple a row: what is not asked for is not read.

    Raises:
        UsageError: The file is missing, damaged, or no such log.
    """
    for batch in _batches(path, names):
        yield from zip(*(batch[name].to_pylist() for name in names), strict=True)


def _batches(path: Path, names: Sequence[str]) -> Iterator[pyarrow.RecordBatch]:
    from pyarrow import ArrowException, parquet

    hint = "keep the log that evalkit run writes beside the result file"
    if not path.is_file():
        raise UsageError(f"{path} is missing", hint=hint)
    try:
        with parquet.ParquetFile(path) as log:
            missing = sorted({field.name for field in fields(SampleRow)} - set(log.schema_arrow.names))
            if missing:
                raise UsageError(f"{path} has no column {missing[0]}: it is no log of samples", hint=hint)
            for batch in log.iter_batches(ROWS_AT_A_TIME, columns=list(names)):
                yield _typed(batch, path, names)
    except (ArrowException, OSError) as error:
        raise UsageError(f"{path} cannot be read: {str(error).splitlines()[0]}", hint=hint) from error


def _typed(batch: pyarrow.RecordBatch, path: Path, names: Sequence[str]) -> pyarrow.RecordBatch:
    """The batch in the log's own types.

    Raises:
        UsageError: A column has another type, or lacks values that every row has.
    """
    import pyarrow

    schema = _schema()
    columns = []
    for name in names:
        column, wanted = batch[name], schema.field(name)
        try:
            column = column if column.type == wanted.type else column.cast(wanted.type)
        except pyarrow.ArrowException:
            column = None
        if column is None or (column.null_count and name not in _MAY_LACK):
            raise UsageError(
                f"{path}: the column {name} is not what evalkit run writes",
                hint="keep the log that evalkit run writes beside the result file",
            )
        columns.append(column)
    return pyarrow.RecordBatch.from_arrays(columns, names=list(names))


_MAY_LACK = frozenset(field.name for field in fields(SampleRow) if "None" in str(field.type))


# --- whose log it is

TOLERANCE = 1e-4
"""Of a log-probability, relative to it where it is more than 1 nat: what a log is off by that was written elsewhere."""


def mismatch(run: Run, path: Path, *, is_part: bool = False) -> str | None:
    """Why a log cannot be this run's: another run's file has the name of this one's.

    Documents, choices and everything of the result that can be computed from the log again are compared.

    Args:
        run: The run, whole or with some of its tasks.
        path: The log.
        is_part: Whether the run may have been cut to some of its documents.

    Returns:
        What speaks against it, for people; None where nothing does.

    Raises:
        UsageError: The log is missing, damaged, or no such log.
    """
    samples = {(name, one.id): one for name, task in run.tasks.items() for one in task.samples}
    # with several few-shot seeds a document's numbers are of all of them
    several = {name for name, task in run.tasks.items() if any(value.spread for value in task.metrics.values())}
    seen = set()
    rows = read_columns(path, ("task", "id", "kind", "log_probability", "tokens", "finish"))
    for key, group in groupby(rows, key=lambda row: (row[0], row[1])):
        sample = samples.get(key)
        if key[0] not in run.tasks:
            continue  # a run may have been cut to some of its tasks
        if sample is None and is_part:
            continue
        if sample is None:
            return f"it has a document of {key[0]} that the result does not have"
        answers = list(group)
        if key not in seen and key[0] not in several and (why := _contradiction(sample, answers)):
            return f"{why} of a document of {key[0]} is not the result's"
        seen.add(key)
    lacking = [key for key, one in samples.items() if key not in seen and one.outcome not in ("skipped", "errored")]
    if lacking:
        return f"it lacks {len(lacking):,} of the result's {len(samples):,} documents"
    return None


def _contradiction(sample: Sample, rows: Sequence[tuple[Any, ...]]) -> str:
    """What of a document's log contradicts its result; empty for nothing."""
    seen: Mapping[str, Any] = sample.fields
    kind, first_finish = rows[0][2], rows[0][5]
    logs = [row[3] for row in rows]
    if kind == "generate":
        if "finish" in seen and seen["finish"] != first_finish:
            return "the end"
        return "the length" if seen.get("tokens", tokens := sum(row[4] for row in rows)) != tokens else ""
    if any(value is None or not math.isfinite(value) for value in logs):
        return ""
    if "log_likelihood" in seen:
        return "" if _close(seen["log_likelihood"], math.fsum(logs)) else "the log-likelihood"
    if seen.get("choices", len(logs)) != len(logs):
        return "the number of choices"
    gold = seen.get("gold")
    golds = {gold} if isinstance(gold, int) else set(gold or ())
    right = [log for place, log in enumerate(logs) if place in golds]
    wrong = [log for place, log in enumerate(logs) if place not in golds]
    if "margin" in seen and right and wrong and not _close(seen["margin"], max(right) - max(wrong)):
        return "the margin"
    return ""


def _close(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=TOLERANCE)


def _schema() -> pyarrow.Schema:
    import pyarrow

    types = {
        "str": pyarrow.string(),
        "str | None": pyarrow.string(),
        "int": pyarrow.int64(),
        "float": pyarrow.float64(),
        "float | None": pyarrow.float64(),
        "bool": pyarrow.bool_(),
        "list[float]": pyarrow.list_(pyarrow.float64()),
    }
    return pyarrow.schema([pyarrow.field(field.name, types[str(field.type)]) for field in fields(SampleRow)])


def _chunks(rows: Iterable[SampleRow]) -> Iterator[list[SampleRow]]:
    iterator = iter(rows)
    while chunk := list(islice(iterator, ROWS_AT_A_TIME)):
        yield chunk


def _storable(value: Any) -> Any:
    """Text that UTF-8 cannot hold (half of a surrogate pair, from a broken dataset) with an escape in its place."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    return value
