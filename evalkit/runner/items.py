"""One document of a task in a run, and what the sample log says of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from evalkit.data import unique_ids as unique_ids


@dataclass(frozen=True, slots=True)
class Item:
    """One document to evaluate.

    Attributes:
        id: Hash of its content, unique within the task (copies get `#2`, `#3`).
        index: Position in the dataset.
        cluster: Group of documents whose errors go together.
        content: What the task run needs to ask about it.
    """

    id: str
    index: int
    cluster: str | None
    content: Any


class Labels(NamedTuple):
    """What the sample log says of a document.

    Attributes:
        target: The right answer.
        answers: The model's, one tuple a request: one of each completion, or a single one where no text was generated.
            None where there is no answer.
    """

    target: str
    answers: tuple[tuple[str | None, ...], ...]
