"""One task within a run: its documents, what is asked about each, and what the answers amount to.

`TaskRun` is the border between the runner and the kinds of task there are: evalkit's own (`NativeTaskRun`) and those of
lm-eval's library (`evalkit.lm_eval_bridge`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

from evalkit.data import DataOptions, DatasetInfo, Rows, document_id, load_rows
from evalkit.documents import Candidate, Document, Text
from evalkit.errors import DataError
from evalkit.prompts import Prompt, build_prompt, draw_shots
from evalkit.requests import Reply, Request
from evalkit.results import MetricValue, Sample
from evalkit.runner.items import Item, Labels
from evalkit.runner.kinds import kind_of
from evalkit.runner.rendering import Renderer
from evalkit.runner.settings import RunSettings
from evalkit.task import Row, Task


class TaskRun(Protocol):
    """One task, its data loaded, ready to be asked and scored."""

    key: str
    version: int
    shots: int
    dataset: DatasetInfo

    @property
    def items(self) -> Sequence[Item]:
        """The documents to evaluate, in the dataset's order."""
        ...

    def requests(self, item: Item, render: Renderer, dropped_shots: int = 0) -> tuple[Request, ...]:
        """What to ask about a document, with the first `dropped_shots` few-shot examples left out."""
        ...

    def can_drop_shots(self) -> bool:
        """Whether `requests` can leave examples out."""
        ...

    def sample(self, item: Item, replies: Sequence[Reply]) -> Sample:
        """What the answers say about one document; none of them is a `Failure`."""
        ...

    def labels(self, item: Item, replies: Sequence[Reply]) -> Labels:
        """Target and answers for the sample log; none of the replies is a `Failure`."""
        ...

    def estimates(self, samples: Sequence[Sample], *, intervals: bool = True) -> Mapping[str, MetricValue]:
        """Metric -> value, the main metric first; `intervals` False leaves out those that take long."""
        ...

    def described(self) -> dict[str, Any]:
        """JSON values: what of the task decided its scores and is not said elsewhere in the result."""
        ...


class _Content(NamedTuple):
    document: Document
    shots: tuple[Candidate, ...]


class NativeTaskRun:
    """A task of evalkit's own interface.

    Args:
        key: Its name in the result.
        task: The task.
        options: Where data may come from.
        settings: Which documents, and the system instruction.

    Raises:
        DataError: The data is missing, empty or breaks the task's schema.
    """

    def __init__(self, key: str, task: Task, options: DataOptions, settings: RunSettings) -> None:
        self.key = key
        self.task = task
        self.system = settings.system
        self.version = task.version
        self.shots = task.shots
        rows = load_rows(task.data, task.data.split, task.columns, options)
        self.dataset = rows.info
        kept = [index for index, row in enumerate(rows) if task.keep is None or task.keep(row)]
        if not kept:
            raise DataError(
                f"task {key} has no document: none of the {len(rows)} rows of {_where(rows.info)} is kept by its filter",
                hint="look at the task's `keep`",
            )
        documents = [rows[index] for index in kept]
        ids = unique_ids([document_id(row) for row in documents])
        wanted = settings.limit.choose(ids, settings.seed)
        examples = self._examples(documents, wanted, rows, options)
        self.items = tuple(
            Item(
                id=ids[place],
                index=kept[place],
                cluster=task.cluster(documents[place]) if task.cluster else None,
                content=_Content(_document(task, documents[place], rows.info, kept[place]), shots),
            )
            for place, shots in zip(wanted, examples, strict=True)
        )
        decoding = task.decoding.changed(settings.decoding)
        self.kind = kind_of(task, self.items[0].content.document, decoding, options)

    def _examples(
        self, documents: Sequence[Row], wanted: Sequence[int], rows: Rows, options: DataOptions
    ) -> list[tuple[Candidate, ...]]:
        task = self.task
        if task.shots == 0:
            return [()] * len(wanted)
        if task.data.shots_split is None:
            raise DataError(
                f"task {self.key} has no split to draw {task.shots} few-shot examples from",
                hint="run it with 0 shots, or name a shots split in the task",
            )
        pool = (
            rows
            if task.data.shots_split == task.data.split
            else load_rows(task.data, task.data.shots_split, task.columns, options)
        )
        kept = [index for index, row in enumerate(pool) if task.keep is None or task.keep(row)]
        drawn = draw_shots(task, documents, [pool[index] for index in kept], wanted)
        solved: dict[int, Candidate] = {}
        for place in dict.fromkeys(place for places in drawn for place in places):
            document = _document(task, pool[kept[place]], pool.info, kept[place])
            if isinstance(document, Text):
                raise DataError(
                    f"task {self.key} scores whole texts, which have no few-shot examples", hint="use 0 shots"
                )
            solved[place] = document.example()
        return [tuple(solved[place] for place in places) for places in drawn]

    def requests(self, item: Item, render: Renderer, dropped_shots: int = 0) -> tuple[Request, ...]:
        """What the kind of task asks about the document."""
        document, shots = item.content

        def prompt(question: str) -> Prompt:
            return build_prompt(self.task, shots[dropped_shots:], question, self.system)

        return self.kind.requests(document, prompt, render)

    def can_drop_shots(self) -> bool:
        """Whether there are any."""
        return self.shots > 0

    def sample(self, item: Item, replies: Sequence[Reply]) -> Sample:
        """Every metric of one document."""
        return self.kind.sample(item, item.content.document, replies)

    def labels(self, item: Item, replies: Sequence[Reply]) -> Labels:
        """Target and answers."""
        return self.kind.labels(item.content.document, replies)

    def estimates(self, samples: Sequence[Sample], *, intervals: bool = True) -> Mapping[str, MetricValue]:
        """Each metric over the samples."""
        return self.kind.estimates(samples, intervals=intervals)

    def described(self) -> dict[str, Any]:
        """What the kind of task has to say."""
        return self.kind.described([item.content.document for item in self.items])


def _document(task: Task, row: Row, info: DatasetInfo, index: int) -> Document:
    # a task's function is a user's code: whatever it raises on a row is a fact about that row
    try:
        return task.document(row)
    except Exception as error:
        raise DataError(
            f"task {task.name} cannot read row {index} of {_where(info)}: {type(error).__name__}: {error}",
            hint="the row may be damaged, or the task's `document` function may not fit this dataset",
        ) from error


def _where(info: DatasetInfo) -> str:
    return f"{info.id}{' ' + info.config if info.config else ''}, split {info.split}"


def unique_ids(ids: Sequence[str]) -> list[str]:
    """Marks copies of the same document, so that every document of a task has an id of its own."""
    seen: dict[str, int] = {}
    unique = []
    for identity in ids:
        seen[identity] = seen.get(identity, 0) + 1
        unique.append(identity if seen[identity] == 1 else f"{identity}#{seen[identity]}")
    return unique


def with_fields(sample: Sample, **fields: Any) -> Sample:
    """The sample with further fields."""
    return replace(sample, fields={**sample.fields, **fields})
