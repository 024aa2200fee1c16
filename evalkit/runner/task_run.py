"""One task within a run: its documents, what is asked about each, and what the answers amount to.

`TaskRun` is the border between the runner and the kinds of task there are: evalkit's own (`NativeTaskRun`) and those of
lm-eval's library (`evalkit.lm_eval_bridge`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

from evalkit.data import DataOptions, DatasetInfo
from evalkit.documents import Candidate, Document, OpenQuestion, Text
from evalkit.prompts import Prompt, build_prompt
from evalkit.requests import Reply, Request
from evalkit.results import MetricValue, Sample
from evalkit.runner.items import Item, Labels
from evalkit.runner.items import unique_ids as unique_ids
from evalkit.runner.kinds import kind_of
from evalkit.runner.presentation import ChatDefault
from evalkit.runner.rendering import Renderer
from evalkit.runner.settings import RunSettings
from evalkit.runner.task_data import TaskData
from evalkit.shots import depends_on_seed
from evalkit.task import Task


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

    def chat_default(self) -> ChatDefault:
        """What `--chat-template auto` means for the task, where the model has a chat template."""
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

    def bounds(self, metric: str) -> tuple[float, float]:
        """Range that one of the metrics of `estimates` can have; infinite where nothing is known."""
        ...

    def described(self) -> dict[str, Any]:
        """JSON values: what of the task decided its scores and is not said elsewhere in the result."""
        ...


class _Content(NamedTuple):
    document: Document
    shots: tuple[Candidate, ...]
    passages: str


class NativeTaskRun:
    """A task of evalkit's own interface.

    Args:
        key: Its name in the result.
        task: The task.
        options: Where data may come from.
        settings: Which documents, how examples are drawn, and the system instruction.
        data: Its data, where that is loaded already; `options` is then not used.

    Raises:
        DataError: The data is missing, empty or breaks the task's schema.
    """

    def __init__(
        self, key: str, task: Task, options: DataOptions, settings: RunSettings, data: TaskData | None = None
    ) -> None:
        self.key = key
        self.task = task
        self.settings = settings
        self.version = task.version
        self.shots = task.shots
        self.data = data or TaskData(key, task, options, settings)
        self.dataset = self.data.evaluated.info
        examples = self.data.examples(settings.shots_sampler, settings.shots_seed)
        self.items = tuple(self._item(place, shots) for place, shots in zip(self.data.wanted, examples, strict=True))
        decoding = task.decoding.changed(settings.decoding_changes())
        documents = [item.content.document for item in self.items]
        self.kind = kind_of(task, documents[0], decoding, options)
        self.kind.check(documents)

    def _item(self, place: int, shots: tuple[Candidate, ...]) -> Item:
        row = self.data.evaluated.rows[place]
        document, retrieval = self.data.document(place), self.settings.retrieval
        return Item(
            id=self.data.ids[place],
            index=self.data.evaluated.indices[place],
            cluster=self.task.cluster(row) if self.task.cluster else None,
            content=_Content(document, shots, retrieval.block(document) if retrieval else ""),
        )

    def chat_default(self) -> ChatDefault:
        """See `evalkit.runner.presentation`."""
        document = self.items[0].content.document
        if isinstance(document, Text):
            return ChatDefault(False, "whole texts are scored as they are", fixed=True)
        if self.task.chat is not None:
            return ChatDefault(self.task.chat, "so the task asks for it")
        if not isinstance(document, OpenQuestion):
            return ChatDefault(False, "log-likelihoods are scored in plain text, as published")
        if self.task.lm_eval is not None:
            return ChatDefault(False, "plain text is lm-eval's default for this task")
        if self.shots:
            return ChatDefault(False, "its few-shot examples are written as plain text")
        return ChatDefault(True, "an open question, and the model has a chat template")

    def requests(self, item: Item, render: Renderer, dropped_shots: int = 0) -> tuple[Request, ...]:
        """What the kind of task asks about the document."""
        document, shots, passages = item.content

        def prompt(question: str) -> Prompt:
            return build_prompt(self.task, shots[dropped_shots:], passages + question, self.settings.system)

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

    def bounds(self, metric: str) -> tuple[float, float]:
        """Range that a metric can have."""
        return self.kind.bounds(metric)

    def described(self) -> dict[str, Any]:
        """How examples were drawn, how many documents got passages, and what the kind of task has to say."""
        shots: dict[str, Any] = {"shots_sampler": self.settings.shots_sampler} if self.shots else {}
        if depends_on_seed(self.settings.shots_sampler, self.task):
            shots["shots_seed"] = self.settings.shots_seed
        found: dict[str, Any] = {}
        if self.settings.retrieval is not None:
            found["with_passages"] = sum(bool(item.content.passages) for item in self.items)
        return {**shots, **found, **self.kind.described([item.content.document for item in self.items])}


def with_fields(sample: Sample, **fields: Any) -> Sample:
    """The sample with further fields."""
    return replace(sample, fields={**sample.fields, **fields})
