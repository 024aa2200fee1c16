"""A task's documents and what its examples are drawn from, loaded once for all few-shot seeds of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from evalkit.data import DataOptions, DatasetInfo, Rows, document_id, load_rows
from evalkit.documents import Candidate, Document, Text
from evalkit.errors import DataError, EvalkitError
from evalkit.runner.items import unique_ids
from evalkit.runner.settings import RunSettings
from evalkit.shots import ShotSource, sampler
from evalkit.task import Row, Task


@dataclass(frozen=True, slots=True)
class Split:
    """The rows of a split that are part of the benchmark.

    Attributes:
        info: Where they came from.
        rows: Those that `task.keep` keeps.
        indices: Place of each in the data set.
    """

    info: DatasetInfo
    rows: Sequence[Row]
    indices: Sequence[int]


class TaskData:
    """A task's data, loaded.

    Args:
        key: The task's name in the result, for messages.
        task: The task.
        options: Where data may come from.
        settings: Which documents are evaluated.

    Raises:
        DataError: The data is missing, empty or breaks the task's schema.
    """

    def __init__(self, key: str, task: Task, options: DataOptions, settings: RunSettings) -> None:
        self.key = key
        self.task = task
        self._options = options
        rows = load_rows(task.data, task.data.split, task.columns, options)
        self.evaluated = self._split(rows)
        if not self.evaluated.rows:
            raise DataError(
                f"task {key} has no document: none of the {len(rows)} rows of {_where(rows.info)} is kept by its filter",
                hint="look at the task's `keep`",
            )
        self.ids = unique_ids([document_id(row) for row in self.evaluated.rows])
        self.wanted = settings.limit.choose(self.ids, settings.seed)
        self._solved: dict[int, Document] = {}

    def document(self, place: int) -> Document:
        """An evaluated document, by its place among the rows that are kept."""
        return self._document(self.evaluated, place)

    def examples(self, name: str, seed: int) -> list[tuple[Candidate, ...]]:
        """The solved examples of each wanted document.

        Args:
            name: How they are drawn (`evalkit.shots.samplers.SAMPLERS`).
            seed: Of the draws.

        Raises:
            DataError: The task has no split to draw from, or too few rows in it.
        """
        if self.task.shots == 0:
            return [()] * len(self.wanted)
        source = ShotSource(self.task, self.evaluated.rows, self._pool.rows, asked=self.document, solved=self._example)
        drawn = sampler(name, seed).draw(source, self.wanted)
        return [tuple(self._solution(place) for place in places) for places in drawn]

    @cached_property
    def _pool(self) -> Split:
        task, data = self.task, self.task.data
        if not task.has_shots:
            raise DataError(
                f"task {self.key} has no split to draw {self.task.shots} few-shot examples from",
                hint="run it with 0 shots, or name a shots split in the task",
            )
        if task.shots_data is None and data.shots_split in (None, data.split):
            return self.evaluated
        try:
            if task.shots_data is not None:
                return self._split(load_rows(task.shots_data, task.shots_data.split, {}, self._options))
            assert data.shots_split is not None
            return self._split(load_rows(data, data.shots_split, task.columns, self._options))
        except DataError as error:
            if task.shots_fixed:
                raise
            hint = f"without examples: {task.name}:0shot. {error.hint or ''}".strip()
            raise DataError(f"the few-shot examples of task {task.name}: {error.message}", hint=hint) from error

    def _split(self, rows: Rows) -> Split:
        keep = self.task.keep
        kept = [index for index, row in enumerate(rows) if keep is None or keep(row)]
        return Split(rows.info, [rows[index] for index in kept], kept)

    def _solution(self, place: int) -> Candidate:
        document = self._example(place)
        if isinstance(document, Text):
            raise DataError(f"task {self.key} scores whole texts, which have no few-shot examples", hint="use 0 shots")
        return document.example()

    def _example(self, place: int) -> Document:
        if place not in self._solved:
            self._solved[place] = self._document(self._pool, place)
        return self._solved[place]

    def _document(self, split: Split, place: int) -> Document:
        # a task's function is a user's code: whatever it raises on a row is a fact about that row
        try:
            return self.task.document(split.rows[place])
        except EvalkitError:  # says by itself what is wrong: a library that the task needs is not installed
            raise
        except Exception as error:
            raise DataError(
                f"task {self.task.name} cannot read row {split.indices[place]} of {_where(split.info)}: "
                f"{type(error).__name__}: {error}",
                hint="the row may be damaged, or the task's `document` function may not fit this dataset",
            ) from error


def _where(info: DatasetInfo) -> str:
    return f"{info.id}{' ' + info.config if info.config else ''}, split {info.split}"
