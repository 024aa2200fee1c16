"""The log beside the result file: `base.samples.parquet`, a row a request."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, fields
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.errors import UsageError
from evalkit.files import atomic_writer

if TYPE_CHECKING:
    import pyarrow

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
    from pyarrow import ArrowException, array, compute, parquet, string

    wanted = None if ids is None else array(sorted(ids), string())
    hint = "keep the log that evalkit run writes beside the result file"
    if not path.is_file():
        raise UsageError(f"{path} is missing", hint=hint)
    names = [field.name for field in fields(SampleRow)]
    try:
        with parquet.ParquetFile(path) as log:
            missing = sorted(set(names) - set(log.schema_arrow.names))
            if missing:
                raise UsageError(f"{path} has no column {missing[0]}: it is no log of samples", hint=hint)
            for batch in log.iter_batches(ROWS_AT_A_TIME, columns=names):
                chosen = batch if kind is None else batch.filter(compute.equal(batch["kind"], kind))
                if wanted is not None:
                    chosen = chosen.filter(compute.is_in(chosen["id"], wanted))
                yield from (SampleRow(**row) for row in chosen.to_pylist())
    except (ArrowException, OSError) as error:
        raise UsageError(f"{path} cannot be read: {str(error).splitlines()[0]}", hint=hint) from error


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
