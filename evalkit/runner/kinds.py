"""The two kinds of task there are: those that score given answers or texts, and those whose answers are generated.

A kind knows what is asked about a document and what the replies amount to; where documents, examples and prompts come
from is common to both (`evalkit.runner.task_run`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from evalkit.data import DataOptions
from evalkit.decoding import Decoding
from evalkit.documents import Cloze, Document, OpenQuestion, Text
from evalkit.errors import TaskDefinitionError
from evalkit.extraction import extract
from evalkit.metrics import Metric, estimate, metric, observe, outcome, text_metric
from evalkit.metrics.text import Measure, TextMetric, Valued, measures
from evalkit.prompts import Prompt
from evalkit.requests import Completion, Generate, Generation, Reply, Request, Response, Roll, Score
from evalkit.results import MetricValue, Sample
from evalkit.runner.items import Item, Labels
from evalkit.runner.outcomes import outcome_of
from evalkit.runner.rendering import Renderer
from evalkit.task import Task


class Kind(Protocol):
    """What is asked about a document, and what the replies amount to."""

    def check(self, documents: Sequence[Document]) -> None:
        """Makes sure that the metrics can be computed for these documents.

        Raises:
            TaskDefinitionError: One cannot.
        """
        ...

    def requests(self, document: Document, prompt: Callable[[str], Prompt], render: Renderer) -> tuple[Request, ...]:
        """What to ask.

        Args:
            document: The document.
            prompt: Question -> prompt, with the document's examples.
            render: Prompt -> text.
        """
        ...

    def sample(self, item: Item, document: Document, replies: Sequence[Reply]) -> Sample:
        """Every metric of one document."""
        ...

    def labels(self, document: Document, replies: Sequence[Reply]) -> Labels:
        """Target and answer for the sample log."""
        ...

    def estimates(self, samples: Sequence[Sample], *, intervals: bool) -> Mapping[str, MetricValue]:
        """Each metric over the samples."""
        ...

    def bounds(self, metric: str) -> tuple[float, float]:
        """Range that one of the metrics can have."""
        ...

    def described(self, documents: Sequence[Document]) -> dict[str, Any]:
        """JSON values: what of the kind decided the scores of the documents."""
        ...


class ScoredKind:
    """Answers are given: their log-probabilities are compared.

    Args:
        task: Names the metrics.
    """

    def __init__(self, task: Task) -> None:
        self.metrics: tuple[Metric, ...] = tuple(metric(name) for name in task.metrics)

    def check(self, documents: Sequence[Document]) -> None:
        """Any metric of likelihoods can be computed."""

    def requests(self, document: Document, prompt: Callable[[str], Prompt], render: Renderer) -> tuple[Request, ...]:
        """One request a candidate answer, or the whole text."""
        if isinstance(document, Text):
            return (Roll(document.text),)
        assert not isinstance(document, OpenQuestion)
        requests = []
        for candidate in document.candidates():
            rendered = render(prompt(candidate.question))
            requests.append(Score(rendered.context, rendered.delimiter + candidate.continuation, rendered.shared))
        return tuple(requests)

    def sample(self, item: Item, document: Document, replies: Sequence[Reply]) -> Sample:
        """Every metric of one document."""
        assert not isinstance(document, OpenQuestion)
        responses = _responses(replies)
        return Sample(
            id=item.id,
            index=item.index,
            cluster=item.cluster,
            outcome=outcome(document, responses, self.metrics),
            metrics={one.name: one.value(document, responses) for one in self.metrics},
            fields=observe(document, responses),
        )

    def labels(self, document: Document, replies: Sequence[Reply]) -> Labels:
        """The gold choice and the one picked; the answer of a cloze; nothing for a text."""
        responses = _responses(replies)
        if isinstance(document, Text):
            return Labels("", ((None,),))
        if isinstance(document, Cloze):
            return Labels(document.answer, ((document.answer if responses[0].greedy else None,),))
        assert not isinstance(document, OpenQuestion)
        picked = observe(document, responses)["picked"]
        assert isinstance(picked, int)
        target = " | ".join(document.choices[gold] for gold in document.golds)
        return Labels(target, ((document.choices[picked],),) * len(responses))

    def estimates(self, samples: Sequence[Sample], *, intervals: bool) -> Mapping[str, MetricValue]:
        """Each metric over the samples."""
        return {one.name: estimate(one, samples) for one in self.metrics}

    def bounds(self, metric: str) -> tuple[float, float]:
        """Range that a metric can have."""
        return next(one.bounds for one in self.metrics if one.name == metric)

    def described(self, documents: Sequence[Document]) -> dict[str, Any]:
        """Nothing that is not said elsewhere."""
        return {}


class GeneratedKind:
    """Answers are generated, found in the text by extractors, and compared with the references.

    Args:
        task: Names metrics and extractors.
        decoding: How answers are generated: the task's own with what the user changed.
        options: Where metrics may load what they need.
    """

    def __init__(self, task: Task, decoding: Decoding, options: DataOptions) -> None:
        self.task = task
        self.decoding = decoding

        def find(name: str) -> TextMetric:
            return task.own_metrics[name] if name in task.own_metrics else text_metric(name)

        self.measures: list[Measure] = measures(
            _names(task, decoding, find), task.extractors, find, tuple(task.own_metrics.values())
        )
        for measure in self.measures:
            if measure.k > decoding.samples:
                raise TaskDefinitionError(
                    f"{measure.name} of task {task.name} needs {measure.k} samples a document, not {decoding.samples}",
                    hint=f"give --samples {measure.k} and a --temperature",
                )
            if measure.metric.prepare is not None:
                measure.metric.prepare(options)

    def check(self, documents: Sequence[Document]) -> None:
        """Asks the metrics that not all documents suit."""
        questions = [_open(document) for document in documents]
        for measure in self.measures:
            if measure.metric.check is not None:
                measure.metric.check(questions)

    def requests(self, document: Document, prompt: Callable[[str], Prompt], render: Renderer) -> tuple[Request, ...]:
        """One request."""
        question = _open(document)
        rendered = render(prompt(question.question))
        return (Generate(rendered.context, self.decoding, rendered.shared, rendered.messages),)

    def sample(self, item: Item, document: Document, replies: Sequence[Reply]) -> Sample:
        """Every metric of one document, and what became of its first completion."""
        question, completions = _open(document), _completions(replies, self.decoding)
        extracted, valued = self._extracted(question, completions), Valued(question)
        values: dict[str, float] = {}
        fields: dict[str, Any] = {"tokens": sum(one.tokens for one in completions), "finish": completions[0].finish}
        for measure in self.measures:
            texts = extracted[measure.extractor]
            if (value := measure.value(question, texts, valued)) is not None:
                values[measure.name] = value
            fields |= measure.fields(question, texts)
        if question.chance is not None:
            fields["chance"] = question.chance
        if self.task.extractors:
            fields["answers"] = extracted[next(iter(self.task.extractors))]
        return Sample(
            id=item.id,
            index=item.index,
            cluster=item.cluster,
            outcome=self._outcome(valued, completions[0], extracted),
            metrics=values,
            fields=fields,
        )

    def labels(self, document: Document, replies: Sequence[Reply]) -> Labels:
        """The references, and what the main extractor found in each completion."""
        main = next(iter(self.task.extractors), None)
        question = _open(document)
        answers = self._extracted(question, _generation(replies).completions)[main]
        return Labels(" | ".join(question.references), (tuple(answers),))

    def estimates(self, samples: Sequence[Sample], *, intervals: bool) -> Mapping[str, MetricValue]:
        """Each metric over the samples."""
        return {one.name: one.estimate(samples, intervals=intervals) for one in self.measures}

    def bounds(self, metric: str) -> tuple[float, float]:
        """Range that a metric can have."""
        return next(one.metric.bounds for one in self.measures if one.name == metric)

    def described(self, documents: Sequence[Document]) -> dict[str, Any]:
        """Decoding, extractors, and the metrics' signatures."""
        questions = [_open(document) for document in documents]
        signed = {one.name: one.metric.signed(questions) for one in self.measures}
        signatures = {name: signature for name, signature in signed.items() if signature}
        extractors = {name: repr(extractor) for name, extractor in self.task.extractors.items()}
        return {
            "decoding": self.decoding.described(),
            **({"extractors": extractors} if extractors else {}),
            **({"signatures": signatures} if signatures else {}),
            **self._code_execution(),
        }

    def _code_execution(self) -> dict[str, Any]:
        """What kept generated programs in, where some were run."""
        if not any(one.metric.executes_code for one in self.measures):
            return {}
        from evalkit.code_execution import protections

        return {"code_execution": protections()}

    def _extracted(
        self, question: OpenQuestion, completions: Sequence[Completion]
    ) -> dict[str | None, list[str | None]]:
        """Extractor (None for the text itself) -> what it finds in each completion; nothing in an unfinished thought."""
        texts = [one.text if one.answered else None for one in completions]
        found: dict[str | None, list[str | None]] = {None: list(texts)}
        for name, extractor in self.task.extractors.items():
            found[name] = [None if text is None else extract(extractor, question, text) for text in texts]
        return found

    def _outcome(
        self, valued: Valued, completion: Completion, extracted: Mapping[str | None, Sequence[str | None]]
    ) -> str:
        judge = next((one for one in self.measures if one.metric.binary), None)
        answer = extracted[judge.extractor if judge else None][0]
        right = valued(judge.metric, answer) == 1.0 if judge else None
        return outcome_of(completion, answer, right)


def kind_of(task: Task, document: Document, decoding: Decoding, options: DataOptions) -> Kind:
    """The kind of a task, told by one of its documents."""
    return GeneratedKind(task, decoding, options) if isinstance(document, OpenQuestion) else ScoredKind(task)


def _names(task: Task, decoding: Decoding, find: Callable[[str], TextMetric]) -> list[str]:
    """The task's metrics, and with several samples the vote of all and the chance that one is right."""
    names = list(task.metrics)
    bases = [name.partition("@")[0] for name in names]
    judged = any(base in ("pass", "maj") or find(base).binary for base in bases)
    if decoding.samples > 1 and judged:
        for over in ("maj", "pass") if task.extractors else ("pass",):
            if not any(name.startswith(f"{over}@") and name != f"{over}@1" for name in names):
                names.append(f"{over}@{decoding.samples}")
    return names


def _open(document: Document) -> OpenQuestion:
    if not isinstance(document, OpenQuestion):
        raise TypeError(f"{type(document).__name__} among open questions")
    return document


def _responses(replies: Sequence[Reply]) -> list[Response]:
    responses = [reply for reply in replies if isinstance(reply, Response)]
    if len(responses) != len(replies):
        raise TypeError("log-probabilities were asked for, but something else came back")
    return responses


def _generation(replies: Sequence[Reply]) -> Generation:
    (generation,) = replies
    if not isinstance(generation, Generation):
        raise TypeError("a text was asked for, but something else came back")
    return generation


def _completions(replies: Sequence[Reply], decoding: Decoding) -> Sequence[Completion]:
    """The samples, or the best hypothesis of a beam search."""
    completions = _generation(replies).completions
    return completions[:1] if decoding.beams > 1 else completions
