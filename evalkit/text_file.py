"""The task behind `perplexity:FILE`: how well a model predicts a text file of the user's."""

from __future__ import annotations

from pathlib import Path

from evalkit.documents import Text
from evalkit.errors import UsageError
from evalkit.task import DataSource, Row, Task

PERPLEXITIES = ("token_perplexity", "word_perplexity", "byte_perplexity", "bits_per_byte", "bits_per_character")


def text_task(path: Path) -> Task:
    """Makes a task of one document, the whole content of a UTF-8 file.

    Raises:
        UsageError: The file is missing, unreadable, not UTF-8, or holds nothing but white space.
    """
    return Task(
        name=f"perplexity:{path.name}",
        data=DataSource(id=path.name, rows=({"text": _read(path)},)),
        columns={"text": str},
        document=_document,
        metrics=PERPLEXITIES,
        shots_fixed=True,
        about=f"perplexity of the file {path.name}",
        tags=("perplexity",),
    )


def _document(row: Row) -> Text:
    return Text(row["text"])


def _read(path: Path) -> str:
    try:
        # bytes, then decoded: reading as text would turn the file's line ends into others
        content = path.read_bytes()
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"the text file {path} cannot be read: {error.strerror}", hint="check the path") from error
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UsageError(
            f"the text file {path} is not UTF-8: byte {error.start}, in line {line}, cannot be decoded",
            hint="convert it, for example with `iconv -f latin1 -t utf-8`",
        ) from error
    if not text.strip():
        raise UsageError(f"the text file {path} is empty", hint="give a file with text in it")
    return text
