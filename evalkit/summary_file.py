"""The task behind `summary:FILE`: ROUGE of a model's summaries of the texts in a file of the user's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evalkit.decoding import Decoding
from evalkit.documents import OpenQuestion
from evalkit.errors import UsageError
from evalkit.languages import language_name, short_code
from evalkit.metrics.overlap import TYPES, for_language
from evalkit.task import DataSource, Row, Task

TEXT_COLUMNS = ("document", "text", "article", "dialogue", "source")
SUMMARY_COLUMNS = ("summary", "summaries", "highlights", "abstract", "reference", "references", "target")
"""Columns that a text and its summary (one, or a list of several) are looked for in, in this order."""


def summary_task(spec: str, shots: int = 0) -> Task:
    """The task of a spec, what follows `summary:`.

    Args:
        spec: `FILE` or `FILE:LANGUAGE`: a .jsonl, .json, .csv, .tsv or .parquet file, and the code of the summaries'
            language, by default English; for others ROUGE reads words or characters of their script.
        shots: Number of few-shot examples, drawn from the other rows.

    Raises:
        UsageError: The file does not exist, or the language is unknown.
    """
    place, colon, code = spec.rpartition(":")
    if not colon or Path(spec).exists():
        place, code = spec, "en"
    path = Path(place)
    if not place:
        raise UsageError(f"summary:{spec} names no file", hint="write summary:FILE, or summary:FILE:LANGUAGE")
    if not path.is_file():
        raise UsageError(
            f"the file {place} does not exist", hint="check the path; a language follows it as in a.jsonl:de"
        )
    return Task(
        name=f"summary:{path.name}" + (f":{code}" if colon and code != "en" else ""),
        data=DataSource(files={"test": path.name}, base=str(path.resolve().parent), shots_split="test"),
        document=_document,
        metrics=TYPES,
        own_metrics=for_language(short_code(code)),
        decoding=Decoding(max_new_tokens=256, stop=("\n\n",)),
        shots=shots,
        shots_exclude_self=True,
        about=f"summaries in {language_name(code)} of the texts in {path.name}",
        language=short_code(code),
        tags=("summary", "generation"),
    )


def _document(row: Row) -> OpenQuestion:
    text, summary = _column(row, TEXT_COLUMNS), _column(row, SUMMARY_COLUMNS)
    references = (summary,) if isinstance(summary, str) else tuple(summary)
    if not isinstance(text, str) or not references or not all(isinstance(one, str) for one in references):
        raise ValueError("the text or its summary is no text")
    return OpenQuestion(f"Text: {text}\n\nSummary:", references[0], references)


def _column(row: Row, names: Sequence[str]) -> Any:
    found = next((name for name in names if name in row), None)
    if found is None:
        raise ValueError(f"there is none of the columns {', '.join(names)} (there are {', '.join(row)})")
    return row[found]
