"""One task of lm-eval's library within a run of evalkit.

lm-eval's own task object builds the prompts and makes metrics of the answers; evalkit answers, samples and estimates.
"""

from __future__ import annotations

import contextlib
import functools
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from evalkit.data import DataOptions, DatasetInfo, content_sha256, document_id
from evalkit.errors import DataError, EvaluationError, TaskDefinitionError, UsageError
from evalkit.lm_eval_bridge.datasets_source import Origin, data_from
from evalkit.lm_eval_bridge.library import Leaf
from evalkit.lm_eval_bridge.scores import RESAMPLES, score, split_values
from evalkit.models.quiet import forward_logs
from evalkit.prompts import Prompt
from evalkit.requests import Reply, Request, Response, Roll, Score
from evalkit.results import MetricValue, Sample
from evalkit.runner.items import Item, Labels, unique_ids
from evalkit.runner.presentation import ChatDefault
from evalkit.runner.rendering import Renderer
from evalkit.runner.settings import RunSettings

_GUESSED = frozenset({"acc", "acc_norm", "acc_bytes", "acc_mutual_info"})


class LmEvalTaskRun:
    """A task of lm-eval's library, its data loaded (see `evalkit.runner.task_run.TaskRun`).

    Args:
        key: Its name in the result.
        leaf: Where the library has it.
        shots: Number of few-shot examples.
        data: Where data may come from.
        settings: Which documents, the system instruction, and whether prompts go through a chat template.

    Raises:
        DataError: The data cannot be loaded.
        UsageError: The task generates text, runs unsafe code, or shows pictures or sound.
    """

    def __init__(self, key: str, leaf: Leaf, shots: int, data: DataOptions, settings: RunSettings) -> None:
        self.key = key
        self.shots = shots
        self.settings = settings
        with _at_work(), data_from(data) as origin:
            self.task = _build(leaf)
            self.task.set_config(key="num_fewshot", value=shots)
            _refuse_unsupported(key, self.task)
            self.documents: list[Mapping[str, Any]] = list(self.task.eval_docs)
        self.version = _version(self.task.VERSION)
        self.dataset = _dataset_info(self.task, origin, self.documents)
        ids = unique_ids([document_id(document) for document in self.documents])
        wanted = settings.limit.choose(ids, settings.seed)
        self.items = tuple(Item(ids[place], place, None, self.documents[place]) for place in wanted)
        # a function of the task's own may call anything "acc", such as TruthfulQA's mass on the true answers
        self._own_metrics = callable(self.task.config.process_results)
        self._instances: dict[int, list[Any]] = {}

    def requests(self, item: Item, render: Renderer, dropped_shots: int = 0) -> tuple[Request, ...]:
        """What lm-eval asks about the document. All documents' prompts are built when the first is asked for."""
        assert dropped_shots == 0, "lm-eval's prompts are taken whole"
        if not self._instances:
            self._instances = self._build_instances(render)
        return tuple(_request(instance, self.key) for instance in self._instances[item.index])

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
        responses = _responses(replies)
        numbers, items = split_values(self._metrics(item, responses), self.task.aggregation())
        right = None if self._own_metrics else numbers.get("acc")
        outcome = "scored" if right is None else ("right" if right == 1.0 else "wrong")
        fields = items | self._choice(item, responses)
        return Sample(item.id, item.index, item.cluster, outcome, numbers, fields)

    def labels(self, item: Item, replies: Sequence[Reply]) -> Labels:
        """The target as lm-eval has it, and the choice picked."""
        responses = _responses(replies)
        chosen = self._choice(item, responses)
        if "picked" not in chosen:
            return Labels("" if self.task.OUTPUT_TYPE == "loglikelihood_rolling" else self._target(item), (None,))
        choices = _answers(self._instances[item.index][: chosen["choices"]])
        gold = chosen.get("gold")
        target = choices[gold] if isinstance(gold, int) else self._target(item)
        return Labels(target, (choices[chosen["picked"]],) * len(responses))

    def described(self) -> dict[str, Any]:
        """How examples were drawn."""
        return {"shots_sampler": "lm-eval", "shots_seed": self.settings.shots_seed} if self.shots else {}

    def estimates(self, samples: Sequence[Sample], *, intervals: bool = True) -> Mapping[str, MetricValue]:
        """Each metric that lm-eval gave a document, over the documents that have it (as there).

        While a run is under way, scores that need a bootstrap have no interval yet, and those that lm-eval cannot
        compute from the documents so far are left out.
        """
        names = dict.fromkeys(name for sample in samples for name in _metric_names(sample))
        if len(samples) == len(self.items) or self.settings.over_length == "skip":
            return {name: self._score(name, samples, RESAMPLES) for name in names}
        found = {}
        for name in names:
            with contextlib.suppress(EvaluationError):
                found[name] = self._score(name, samples, 0)
        return found

    def _score(self, name: str, samples: Sequence[Sample], resamples: int) -> MetricValue:
        guessed = name in _GUESSED
        return score(
            name,
            [sample for sample in samples if name in _metric_names(sample)],
            self.task.aggregation().get(name),
            higher_is_better=bool(self.task.higher_is_better().get(name, True)),
            chance=self._chance(samples) if guessed else None,
            bounds=(0.0, 1.0) if guessed else (-math.inf, math.inf),
            resamples=resamples,
        )

    def _build_instances(self, render: Renderer) -> dict[int, list[Any]]:
        """lm-eval's requests by document, as its `simple_evaluate` has them built on one process.

        Few-shot examples are drawn in sequence from one generator, so the documents before a wanted one are built too.
        """
        self.task.set_fewshot_seed(seed=self.settings.shots_seed)
        random.seed(0)
        with _at_work():
            self.task.build_all_requests(
                limit=max(item.index for item in self.items) + 1,
                rank=0,
                world_size=1,
                system_instruction=self.settings.system,
                apply_chat_template=render.chat,
                fewshot_as_multiturn=render.multiturn,
                chat_template=_chat(render) if render.chat else None,
            )
        built: dict[int, list[Any]] = {}
        for instance in self.task.instances:
            built.setdefault(instance.doc_id, []).append(instance)
        for instances in built.values():
            instances.sort(key=lambda instance: instance.idx)
        return built

    def _metrics(self, item: Item, responses: Sequence[Response]) -> Mapping[str, Any]:
        instances = self._instances[item.index]
        for instance, response in zip(instances, responses, strict=True):
            rolled = instance.request_type == "loglikelihood_rolling"
            answer = response.log_probability if rolled else (response.log_probability, response.greedy)
            instance.resps = [answer] * (instance.repeats or 1)
        with _at_work():
            for ensemble in getattr(self.task, "_filters", []):
                ensemble.apply(instances)
            filters = list(instances[0].filtered_resps)
            values: dict[str, Any] = {}
            for name in filters:
                answers = [instance.filtered_resps[name] for instance in instances]
                found = self.task.process_results(item.content, answers)
                suffix = "" if name == filters[0] else f"@{name}"
                values.update({f"{metric}{suffix}": value for metric, value in found.items()})
        if not values:
            raise TaskDefinitionError(
                f"the task {self.key} gives document {item.index} no metric", hint="lm-eval would leave it out too."
            )
        return values

    def _choice(self, item: Item, responses: Sequence[Response]) -> dict[str, Any]:
        """Index of the choice picked, number of choices, and the right one's index where it is a number."""
        if self.task.OUTPUT_TYPE != "multiple_choice":
            return {}
        # unconditional requests for acc_mutual_info follow the choices
        choices = len(self.task.doc_to_choice(item.content))
        scores = [response.log_probability for response in responses[:choices]]
        gold = (self.task.doc_to_text if self.task.multiple_input else self.task.doc_to_target)(item.content)
        fields: dict[str, Any] = {"picked": scores.index(max(scores)), "choices": choices}
        known = not self._own_metrics and isinstance(gold, int) and 0 <= gold < choices
        return fields | ({"gold": int(gold)} if known else {})

    def _chance(self, samples: Sequence[Sample]) -> float | None:
        if self.task.OUTPUT_TYPE != "multiple_choice" or self.task.multiple_target or self._own_metrics:
            return None
        return math.fsum(1 / int(sample.fields["choices"]) for sample in samples) / len(samples)

    def _target(self, item: Item) -> str:
        return str(self.task.doc_to_target(item.content))


def _build(leaf: Leaf) -> Any:
    from lm_eval.tasks._factory import TaskFactory

    try:
        return TaskFactory()._build_task(leaf.entry, dict(leaf.overrides or {}))
    except (ImportError, KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(
            f"lm-eval's task {leaf.name} cannot be set up on this data: {type(error).__name__}: {reason}",
            hint="The data may lack a column or split that the task needs, or a package may be missing.",
        ) from error


def _refuse_unsupported(key: str, task: Any) -> None:
    reasons = {
        "generates text, which is not supported yet": task.OUTPUT_TYPE == "generate_until",
        "shows pictures or sound, which is not supported": getattr(task, "MULTIMODAL", False),
        "runs code that the model writes, which is not supported": getattr(task, "UNSAFE_CODE", False),
    }
    for reason, applies in reasons.items():
        if applies:
            raise UsageError(
                f"the task {key} {reason}", hint="Tasks that score given answers or whole texts are supported."
            )


def _responses(replies: Sequence[Reply]) -> list[Response]:
    return [reply for reply in replies if isinstance(reply, Response)]


def _request(instance: Any, key: str) -> Request:
    if instance.request_type == "loglikelihood_rolling":
        return Roll(instance.args[0])
    if instance.request_type != "loglikelihood" or len(instance.args) != 2:
        raise UsageError(
            f"the task {key} asks for {instance.request_type}, which is not supported",
            hint="Tasks that score given answers or whole texts are supported.",
        )
    context, continuation = instance.args
    return Score(context, continuation)


def _answers(instances: Sequence[Any]) -> list[str]:
    """What tells the choices apart: their continuations, or where those are all the same their contexts."""
    continuations = [instance.args[1] for instance in instances]
    return continuations if len(set(continuations)) > 1 else [instance.args[0] for instance in instances]


def _metric_names(sample: Sample) -> list[str]:
    items = [name.removesuffix("_item") for name in sample.fields if name.endswith("_item")]
    return list(dict.fromkeys([*sample.metrics, *items]))


class _Conversation(Prompt):
    """A prompt that lm-eval has already put into chat turns."""

    __slots__ = ("turns",)

    def __init__(self, turns: list[dict[str, str]]) -> None:
        super().__init__("", (), "", "", "")
        object.__setattr__(self, "turns", turns)

    def messages(self, system: str | None = None, *, multiturn: bool = True) -> list[dict[str, str]]:
        """The turns."""
        turns: list[dict[str, str]] = self.turns  # type: ignore[attr-defined]
        return turns


def _chat(render: Renderer) -> Callable[..., str]:
    def apply(turns: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        # a turn of the assistant's at the end (gen_prefix) is left open by the renderer, as asked for here
        assert add_generation_prompt == (turns[-1]["role"] != "assistant")
        return render(_Conversation(turns)).context

    return apply


@contextlib.contextmanager
def _at_work() -> Iterator[None]:
    """lm-eval without its progress bars and log lines, compiling each template once instead of at every use."""
    import lm_eval.api.task as task_module
    from lm_eval.utils import env

    kept = task_module.tqdm, env.from_string
    task_module.tqdm = functools.partial(task_module.tqdm, disable=True)
    env.from_string = functools.lru_cache(maxsize=4096)(env.from_string)
    try:
        with forward_logs(["lm_eval", "datasets"]):
            yield
    finally:
        task_module.tqdm = kept[0]
        del env.from_string


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
