"""Passages of a corpus put before questions: what a model can do with a library instead of with training.

For each document the passages that share the rarest words with its question (BM25) stand before the question, after
instructions and few-shot examples, which all documents go on sharing:

    Passages:
    [1] Title: text of the best one
    [2] text of the next

    Question: ...

The question is that of the task, without its answer; of a question with several forms all are sought. Passages without a
word in common are not given, and a document for which there are none is asked as it would be without a corpus.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.documents import ContextChoice, Document, Text
from evalkit.errors import DataError, UsageError

if TYPE_CHECKING:
    from evalkit.word_index import WordIndex

TEXT_COLUMNS = ("text", "passage", "contents", "content")
"""Names that the column of passages may have; of each row the first that has a text is taken."""


@dataclass(frozen=True)
class Retrieval:
    """A corpus, and how much of it a prompt gets.

    Attributes:
        corpus: The file: .jsonl, .json, .csv, .tsv, .parquet or .txt (a passage a line), gzipped or not, with a column
            `text` (or `passage`, `contents`, `content`), and a `title` where there is one.
        passages: Passages a prompt at most.

    Raises:
        UsageError: `passages` is below 1.
    """

    corpus: str
    passages: int = 3

    def __post_init__(self) -> None:
        if self.passages < 1:
            raise UsageError(f"--passages is {self.passages}", hint="give 1 or more")

    def block(self, document: Document) -> str:
        """What stands before a document's question; empty where no passage fits, and for whole texts.

        Raises:
            UsageError: The corpus cannot be read, or has no passage.
        """
        if isinstance(document, Text):
            return ""
        question = "\n".join(document.questions) if isinstance(document, ContextChoice) else document.question
        found = self._index.matching(question, self.passages)
        if not found:
            return ""
        lines = [f"[{number}] {self._texts[place]}" for number, place in enumerate(found, 1)]
        return "\n".join(["Passages:", *lines]) + "\n\n"

    def described(self) -> dict[str, Any]:
        """As JSON values, for the result."""
        return {
            "corpus": Path(self.corpus).name,
            "sha256": self.sha256,
            "documents": len(self._texts),
            "passages": self.passages,
            **({"without_text": self._read[1]} if self._read[1] else {}),
        }

    @cached_property
    def sha256(self) -> str:
        """Hash of the passages."""
        from evalkit.data.rows import content_sha256

        return content_sha256({"text": text} for text in self._texts)

    @cached_property
    def _index(self) -> WordIndex:
        from evalkit.word_index import WordIndex

        return WordIndex(self._texts)

    @property
    def _texts(self) -> list[str]:
        return self._read[0]

    @cached_property
    def _read(self) -> tuple[list[str], int]:
        """The passages, and how many rows have none."""
        from evalkit.data.formats import read_file

        path = Path(self.corpus).expanduser()
        if not path.is_file():
            raise UsageError(f"there is no file {self.corpus}", hint="--retrieve names a file of passages")
        try:
            rows = read_file(path)
        except DataError as error:  # a user's own file is input, and not part of an evaluation
            raise UsageError(error.message, hint=error.hint) from error
        columns = list(dict.fromkeys(column for row in rows for column in row))
        if rows and not set(TEXT_COLUMNS) & set(columns):
            raise UsageError(
                f"{self.corpus} has the columns {', '.join(columns)}, and none of passages",
                hint=f"name it {' or '.join(TEXT_COLUMNS)}",
            )
        texts = [_passage(row.get("title"), next(filter(None, map(row.get, TEXT_COLUMNS)), None)) for row in rows]
        found = [text for text in texts if text]
        if not found:
            raise UsageError(f"{self.corpus} has no passage", hint="is it the right file?")
        return found, len(texts) - len(found)


def _passage(title: Any, text: Any) -> str:
    """A passage in one line, so that the next one begins where it ends; empty without a text."""
    body = " ".join(str(text).split()) if text is not None else ""
    heading = " ".join(str(title).split()) if title else ""
    return f"{heading}: {body}" if heading and body else body
