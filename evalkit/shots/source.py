"""What examples are drawn from: the evaluated documents, and the pool of solved ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from evalkit.data import document_id
from evalkit.documents import Document
from evalkit.errors import UsageError
from evalkit.task import Row, Task


@dataclass(frozen=True)
class ShotSource:
    """What examples are drawn from.

    Attributes:
        task: Says how many examples a document gets.
        documents: All rows of the evaluated split, in order (after `task.keep`).
        pool: All rows of the split that examples come from, in order (after `task.keep`).
        asked: Index into `documents` -> the document.
        solved: Index into `pool` -> the document.
    """

    task: Task
    documents: Sequence[Row]
    pool: Sequence[Row]
    asked: Callable[[int], Document]
    solved: Callable[[int], Document]

    def id(self, document: int) -> str:
        """Hash of a document's content."""
        return document_id(self.documents[document])

    def copies(self, document: int) -> set[int]:
        """Indices into the pool of rows that equal the document."""
        return self._places.get(self.id(document), set())

    @cached_property
    def _places(self) -> dict[str, set[int]]:
        places: dict[str, set[int]] = {}
        for place, row in enumerate(self.pool):
            places.setdefault(document_id(row), set()).add(place)
        return places

    def too_few(self, available: int, what: str = "rows") -> UsageError:
        """The error for a pool that is too small."""
        task = self.task
        source = task.data.id or next(iter(task.data.files.values()), "its data")
        return UsageError(
            f"task {task.name} draws {task.shots} few-shot examples from split {task.data.shots_split} of {source}, "
            f"which has only {available} {what} to draw from",
            hint=f"ask for fewer, for example `{task.name}:{max(min(available, task.shots) - 1, 0)}shot`",
        )
