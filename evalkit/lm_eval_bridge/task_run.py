"""One task of lm-eval's library within a run of evalkit.

lm-eval's own task object builds the prompts and makes metrics of the answers; evalkit answers, samples and estimates.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from evalkit.data import DataOptions, DatasetInfo, content_sha256, document_id
from evalkit.decoding import Decoding
from evalkit.errors import DataError, EvalkitError, EvaluationError, TaskDefinitionError, UsageError
from evalkit.lm_eval_bridge.datasets_source import Origin, data_from
from evalkit.lm_eval_bridge.filters import Filters, as_text
from evalkit.lm_eval_bridge.generation import JUDGES, decoding_of, texts_of
from evalkit.lm_eval_bridge.instances import Built, at_work, build
from evalkit.lm_eval_bridge.library import Leaf, unsafe_code
from evalkit.lm_eval_bridge.scores import RESAMPLES, Aggregation, bounds, score, split_values
from evalkit.requests import Generate, Generation, Reply, Request, Response, Roll, Score
from evalkit.results import MetricValue, Sample
from evalkit.runner.items import Item, Labels, unique_ids
from evalkit.runner.outcomes import outcome_of
from evalkit.runner.presentation import ChatDefault
from evalkit.runner.rendering import Renderer
from evalkit.runner.settings import RunSettings

_GUESSED = frozenset({"acc", "acc_norm", "acc_bytes", "acc_mutual_info"})


class LmEvalTaskRun:
    """A task of lm-eval's library, its data loaded (see `evalkit.runner.task_run.TaskRun`).

    Metrics of the task's first filter have their plain name, those of a further one are `METRIC@FILTER`.

    Args:
        key: Its name in the result.
        leaf: Where the library has it.
        shots: Number of few-shot examples.
        data: Where data may come from.
        settings: Which documents, the system instruction, whether prompts go through a chat template, and what the user
            changed of how text is generated.

    Raises:
        DataError: The data cannot be loaded.
        UsageError: The task runs unsafe code, or shows pictures or sound.
    """

    def __init__(self, key: str, leaf: Leaf, shots: int, data: DataOptions, settings: RunSettings) -> None:
        self.key = key
        self.shots = shots
        self.settings = settings
        _refuse_code(key, leaf.config.get("unsafe_code"))
        with at_work(), data_from(data) as origin:
            self.task = _build(leaf)
            self.task.set_config(key="num_fewshot", value=shots)
            _refuse_code(key, getattr(self.task, "UNSAFE_CODE", False))
            _refuse_pictures(key, self.task)
            self.documents: list[Mapping[str, Any]] = list(self.task.eval_docs)
        self.version = _version(self.task.VERSION)
        self.dataset = _dataset_info(self.task, origin, self.documents)
        ids = unique_ids([document_id(document) for document in self.documents])
        wanted = settings.limit.choose(ids, settings.seed)
        self.items = tuple(Item(ids[place], place, None, self.documents[place]) for place in wanted)
        # a function of the task's own may call anything "acc", such as TruthfulQA's mass on the true answers
        self._own_metrics = callable(self.task.config.process_results)
        self._filters = Filters(self.task)
        self._built = Built()

    def requests(self, item: Item, render: Renderer, dropped_shots: int = 0) -> tuple[Request, ...]:
        """What lm-eval asks about the document. All documents' prompts are built when the first is asked for."""
        assert dropped_shots == 0, "lm-eval's prompts are taken whole"
        if not self._built.by_document:
            documents = max(item.index for item in self.items) + 1
            self._built = build(self.task, documents, self.settings, render)
        return tuple(self._request(instance) for instance in self._instances(item))

    def chat_default(self) -> ChatDefault:
        """Plain text, as lm-eval asks without `--apply_chat_template`."""
        if self.task.OUTPUT_TYPE == "loglikelihood_rolling":
            return ChatDefault(False, "whole texts are scored as they are", fixed=True)
        return ChatDefault(False, "plain text is lm-eval's default")

    def can_drop_shots(self) -> bool:
        """No: the prompts are lm-eval's."""
        return False

    def sample(self, item: Item, replies: Sequence[Reply]) -> Sample:
        """lm-eval's metrics of one document."""
        values = self._metrics(item, replies)
        numbers, items = split_values(values, {name: self._aggregation(name) for name in values})
        if (place := _first_generation(replies)) is not None:
            outcome, fields = self._generated(item, place, replies, next(iter(values)), numbers)
        else:
            right = None if self._own_metrics else numbers.get("acc")
            outcome = "scored" if right is None else ("right" if right == 1.0 else "wrong")
            fields = self._choice(item, replies)
        return Sample(item.id, item.index, item.cluster, outcome, numbers, items | fields)

    def labels(self, item: Item, replies: Sequence[Reply]) -> Labels:
        """The target as lm-eval has it, and the choice picked or what the first filter found in each text."""
        if _first_generation(replies) is not None:
            self._filtered(item, replies)
            pairs = zip(self._instances(item), replies, strict=True)
            return Labels(self._target(item), tuple(self._found(instance, reply) for instance, reply in pairs))
        chosen = self._choice(item, replies)
        if "picked" not in chosen:
            target = "" if self.task.OUTPUT_TYPE == "loglikelihood_rolling" else self._target(item)
            return Labels(target, ((None,),) * len(replies))
        choices = _answers(self._instances(item)[: chosen["choices"]])
        gold = chosen.get("gold")
        target = choices[gold] if isinstance(gold, int) else self._target(item)
        return Labels(target, ((choices[chosen["picked"]],),) * len(replies))

    def question_and_answers(self, item: Item) -> tuple[str, tuple[str, ...]]:
        """A document's question, and its right answers as texts; of a text that is scored whole no question.

        Raises:
            TaskDefinitionError: The task's own code fails on the document.
        """
        document = item.content
        with self._scoring(item):
            if self.task.OUTPUT_TYPE == "loglikelihood_rolling":
                return "", (str(self.task.doc_to_target(document)),)
            question, target = self.task.doc_to_text(document), self.task.doc_to_target(document)
            choices = self.task.doc_to_choice(document) if self.task.config.doc_to_choice else ()
            if self.task.multiple_input and isinstance(question, int):
                question = choices[question]
            elif choices:
                many = target if isinstance(target, list | tuple) else [target]
                target = [_choice(choices, one) for one in many]
            answers = target if isinstance(target, list | tuple) else [target]
            return str(question), tuple(map(str, answers))

    def described(self) -> dict[str, Any]:
        """How examples were drawn, how the first document's answer was generated, and the filters that looked for it."""
        shots = {"shots_sampler": "lm-eval", "shots_seed": self.settings.shots_seed} if self.shots else {}
        for instance in self._built.by_document.get(self.items[0].index, ()):
            if instance.request_type == "generate_until":
                return {**shots, "decoding": self._decoding(instance).described(), "filters": self._filters.names}
        return shots

    def estimates(self, samples: Sequence[Sample], *, intervals: bool = True) -> Mapping[str, MetricValue]:
        """Each metric that lm-eval gave a document, over the documents that have it (as there).

        Args:
            samples: Documents so far.
            intervals: False, while a run is under way, leaves out intervals that need a bootstrap, and scores that
                lm-eval cannot compute from the documents so far.

        Raises:
            EvaluationError: No document has a value, or lm-eval cannot make a number of those there are.
        """
        names = dict.fromkeys(name for sample in samples for name in _metric_names(sample))
        if not names:
            raise EvaluationError(
                f"no document of {self.key} has a value", hint="see the errors of the single documents"
            )
        if intervals:
            return {name: self._score(name, samples, RESAMPLES) for name in names}
        found = {}
        for name in names:
            with contextlib.suppress(EvaluationError):
                found[name] = self._score(name, samples, 0)
        return found

    def bounds(self, metric: str) -> tuple[float, float]:
        """Range that a metric can have, where it is evalkit's own too or a share of right choices."""
        if self._guessed(metric):
            return 0.0, 1.0
        return bounds(self._aggregation(metric))

    def _guessed(self, name: str) -> bool:
        """Whether it says for each document if the right choice was picked."""
        return name in _GUESSED and self.task.OUTPUT_TYPE != "generate_until"

    def _score(self, name: str, samples: Sequence[Sample], resamples: int) -> MetricValue:
        return score(
            name,
            [sample for sample in samples if name in _metric_names(sample)],
            self._aggregation(name),
            higher_is_better=bool(self.task.higher_is_better().get(self._filters.plain_name(name), True)),
            chance=self._chance(samples) if self._guessed(name) else None,
            bounds=self.bounds(name),
            resamples=resamples,
        )

    def _aggregation(self, name: str) -> Aggregation | None:
        found: Aggregation | None = self.task.aggregation().get(self._filters.plain_name(name))
        return found

    def _instances(self, item: Item) -> Sequence[Any]:
        instances: Sequence[Any] = self._built.by_document[item.index]
        return instances

    def _request(self, instance: Any) -> Request:
        kind, arguments = instance.request_type, instance.args
        if kind == "loglikelihood_rolling":
            return Roll(arguments[0])
        if kind == "loglikelihood" and len(arguments) == 2:
            return Score(*arguments)
        if kind == "generate_until" and len(arguments) == 2:
            turns = self._built.turns.get(arguments[0], ())
            return Generate(arguments[0], self._decoding(instance), messages=turns)
        raise UsageError(
            f"the task {self.key} asks for {kind} with {len(arguments)} arguments, which is not supported",
            hint="Tasks that score given answers or whole texts, or generate text, are supported.",
        )

    def _decoding(self, instance: Any) -> Decoding:
        with at_work():
            return decoding_of(instance.args[1], instance.repeats or 1, self.settings.decoding_changes())

    def _metrics(self, item: Item, replies: Sequence[Reply]) -> Mapping[str, Any]:
        """Metric -> value, the first filter's first."""
        instances = self._instances(item)
        with self._scoring(item):
            self._filtered(item, replies)
            values: dict[str, Any] = {}
            for name in self._filters.names:
                answers = [instance.filtered_resps[name] for instance in instances]
                found = self.task.process_results(item.content, answers)
                values.update({self._filters.metric_name(metric, name): value for metric, value in found.items()})
        if not values:
            raise TaskDefinitionError(
                f"the task {self.key} gives document {item.index} no metric", hint="lm-eval would leave it out too."
            )
        return values

    def _filtered(self, item: Item, replies: Sequence[Reply]) -> None:
        """Hands the replies to lm-eval's requests and has the task's filters look at them, once."""
        responses: list[list[Any]] = []
        for instance, reply in zip(self._instances(item), replies, strict=True):
            repeats = instance.repeats or 1
            if isinstance(reply, Generation):
                responses.append(texts_of(reply, self._decoding(instance), repeats))
            elif isinstance(reply, Response):
                rolled = instance.request_type == "loglikelihood_rolling"
                answer = reply.log_probability if rolled else (reply.log_probability, reply.greedy)
                responses.append([answer] * repeats)
        self._filters.apply(self._instances(item), responses)

    def _found(self, instance: Any, reply: Reply) -> tuple[str | None, ...]:
        """What the first filter found in each completion of a request; nothing where no text was generated."""
        if not isinstance(reply, Generation):
            return (None,)
        found = self._filters.found(instance)
        # greedy text stands for all repeats and is one completion; of a beam search's lm-eval sees the best only
        count = len(reply.completions)
        return (*found[:count], *[None] * (count - len(found)))

    @contextlib.contextmanager
    def _scoring(self, item: Item) -> Iterator[None]:
        # filters and metrics may be a task's own code: what it raises is a fact about this document
        try:
            with at_work():
                yield
        except EvalkitError:
            raise
        except Exception as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else "no reason given"
            raise TaskDefinitionError(
                f"lm-eval's task {self.key} cannot score document {item.index}: {type(error).__name__}: {reason}",
                hint="lm-eval itself would stop here too; a package that the task needs may be missing.",
            ) from error

    def _generated(
        self, item: Item, place: int, replies: Sequence[Reply], main: str, numbers: Mapping[str, float]
    ) -> tuple[str, dict[str, Any]]:
        """What became of the document's (first) text by its main metric, and the fields that say what was found in it."""
        instance, reply = self._instances(item)[place], replies[place]
        assert isinstance(reply, Generation)
        completion = reply.completions[0]
        tokens = sum(one.tokens for one in reply.completions)
        fields: dict[str, Any] = {"finish": completion.finish, "tokens": tokens}
        answer: str | None = completion.text
        if self._filters.extract:
            fields["answers"] = self._filters.found(instance)[: len(reply.completions)]
            if len(self._filters.names) > 1:
                fields["filtered"] = self._filters.kept(instance)
            answer = as_text(instance.filtered_resps[self._filters.names[0]], self._filters.nothing)
        judged = main in JUDGES and numbers.get(main) in (0.0, 1.0)
        return outcome_of(completion, answer, numbers[main] == 1.0 if judged else None), fields

    def _choice(self, item: Item, replies: Sequence[Reply]) -> dict[str, Any]:
        """Index of the choice picked, number of choices, and the right one's index where it is a number."""
        if self.task.OUTPUT_TYPE != "multiple_choice":
            return {}
        # unconditional requests for acc_mutual_info follow the choices
        choices = len(self.task.doc_to_choice(item.content))
        responses = [reply for reply in replies if isinstance(reply, Response)]
        scores = [response.log_probability for response in responses[:choices]]
        gold = (self.task.doc_to_text if self.task.multiple_input else self.task.doc_to_target)(item.content)
        fields: dict[str, Any] = {"picked": scores.index(max(scores)), "choices": choices}
        known = not self._own_metrics and isinstance(gold, int) and 0 <= gold < choices
        return fields | ({"gold": int(gold)} if known else {})

    def _chance(self, samples: Sequence[Sample]) -> float | None:
        if self.task.OUTPUT_TYPE != "multiple_choice" or self.task.multiple_target or self._own_metrics:
            return None
        scored = [int(sample.fields["choices"]) for sample in samples if "choices" in sample.fields]
        return math.fsum(1 / choices for choices in scored) / len(scored)

    def _target(self, item: Item) -> str:
        target = self.task.doc_to_target(item.content)
        if self.task.OUTPUT_TYPE == "generate_until" and isinstance(target, int) and self.task.config.doc_to_choice:
            target = self.task.doc_to_choice(item.content)[target]
        return " | ".join(map(str, target)) if isinstance(target, list | tuple) else str(target)


def _choice(choices: Sequence[str], target: Any) -> str:
    """The choice that a target names by its index; a target that is a text already is left alone."""
    known = isinstance(target, int) and 0 <= target < len(choices)
    return str(choices[target] if known else target)


def _build(leaf: Leaf) -> Any:
    from lm_eval.tasks._factory import TaskFactory

    try:
        return TaskFactory()._build_task(leaf.entry, dict(leaf.overrides or {}))
    except (ImportError, KeyError, TypeError, AttributeError, ValueError, IndexError, OSError) as error:
        if isinstance(error, KeyError) and error.args and error.args[0] in _splits(leaf):
            raise DataError(
                f"lm-eval's task {leaf.name} reads split '{error.args[0]}', which the data at hand does not have",
                hint="lm-eval reads the split of the examples even where none are asked for: put the whole dataset into a "
                "folder for --data-dir, or use evalkit's own task of that name, as gsm8k:0shot",
            ) from error
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(
            f"lm-eval's task {leaf.name} cannot be set up on this data: {type(error).__name__}: {reason}",
            hint="The data may lack a column or split that the task needs, or a package may be missing.",
        ) from error


def _splits(leaf: Leaf) -> set[Any]:
    keys = ("training_split", "validation_split", "test_split", "fewshot_split")
    return {leaf.config.get(key) for key in keys} - {None}


def _refuse_code(key: str, unsafe: Any) -> None:
    if unsafe:
        raise unsafe_code(key.removeprefix("lm-eval:"))


def _refuse_pictures(key: str, task: Any) -> None:
    if getattr(task, "MULTIMODAL", False):
        raise UsageError(
            f"the task {key} shows pictures or sound, which is not supported",
            hint="Tasks that score given answers or whole texts, or generate text, are supported.",
        )


def _first_generation(replies: Sequence[Reply]) -> int | None:
    return next((place for place, reply in enumerate(replies) if isinstance(reply, Generation)), None)


def _answers(instances: Sequence[Any]) -> list[str]:
    """What tells the choices apart: their continuations, or where those are all the same their contexts."""
    continuations = [instance.args[1] for instance in instances]
    return continuations if len(set(continuations)) > 1 else [instance.args[0] for instance in instances]


def _metric_names(sample: Sample) -> list[str]:
    items = [name.removesuffix("_item") for name in sample.fields if name.endswith("_item")]
    return list(dict.fromkeys([*sample.metrics, *items]))


def _dataset_info(task: Any, origin: Origin, documents: Sequence[Mapping[str, Any]]) -> DatasetInfo:
    split = task.config.test_split or task.config.validation_split or ""
    return DatasetInfo(
        origin.id or str(task.DATASET_PATH or ""),
        origin.config,
        str(split),
        origin.revision,
        origin.source,
        content_sha256(documents),
    )


def _version(version: Any) -> int:
    try:
        return int(float(version))
    except (TypeError, ValueError):
        return 0
