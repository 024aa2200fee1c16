"""What an evaluation found: the types behind `base.json` (schema `evalkit.result/1`).

    Run
    ├── model: ModelInfo
    ├── tasks: name -> TaskResult
    │          ├── metrics: name -> MetricValue
    │          └── samples: Sample, one a document
    └── groups: name -> GroupResult

`evalkit.result_file` reads and writes them as JSON; `evalkit.sample_log` writes the row-per-request log beside it.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from evalkit.sample_log import SampleRow, mismatch, read_columns, read_samples, samples_path, write_samples

if TYPE_CHECKING:
    from evalkit.data import DatasetInfo

__all__ = [
    "GroupResult",
    "MetricValue",
    "ModelInfo",
    "Run",
    "Sample",
    "SampleRow",
    "Spread",
    "TaskResult",
    "check_writable",
    "mismatch",
    "read_columns",
    "read_samples",
    "samples_path",
    "write_samples",
]

SCHEMA = "evalkit.result/1"


@dataclass(frozen=True, slots=True)
class Sample:
    """What one document gave.

    Attributes:
        id: Hash of the document's content; pairs the same document of two runs.
        index: Position of the document in its dataset.
        cluster: Name of the group of documents whose errors go together; None where documents are independent.
        outcome: `right`, `wrong`, `scored` (no right or wrong: perplexities, BLEU), and for generated answers `unparsed`
            (no answer found in it), `empty`, `truncated` (cut by the limit on tokens, or an unfinished thought),
            `refused`; `errored` where the answer could not be had; with several few-shot seeds `mixed` where it is right
            with some and wrong with others.
        metrics: Metric -> this document's value. Empty where the document could not be scored.
        fields: Further JSON values (`evalkit.metrics.observe`); no name of a metric or of another attribute.
    """

    id: str
    index: int
    cluster: str | None
    outcome: str
    metrics: Mapping[str, float]
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Spread:
    """The scores of one task with several few-shot seeds, whose mean is the task's.

    Attributes:
        seeds: The seeds.
        values: The score with each.
    """

    seeds: tuple[int, ...]
    values: tuple[float, ...]

    @property
    def stddev(self) -> float:
        """Standard deviation of the scores over the seeds (n - 1)."""
        return statistics.stdev(self.values)

    @property
    def low(self) -> float:
        """The lowest score."""
        return min(self.values)

    @property
    def high(self) -> float:
        """The highest score."""
        return max(self.values)


@dataclass(frozen=True, slots=True)
class MetricValue:
    """A score with its uncertainty.

    Attributes:
        value: The estimate.
        stderr: Standard error; None where it cannot be known (one item, one cluster).
        ci95: 95 % confidence interval; None where it cannot be known.
        higher_is_better: Direction.
        chance: Expected value when guessing; None where guessing has no meaning.
        spread: The scores with several few-shot seeds, whose mean `value` is; None for a single evaluation.
        bounds: Range that the metric can have, which tells a share of 1 from a score out of 100; None where it is not
            known, as in files that older versions wrote.
        unreadable: The score if every document whose answer could not be read or had were worth the least, and if each
            were worth the most; None where all could be read, and for scores that are no mean over documents.
    """

    value: float
    stderr: float | None
    ci95: tuple[float, float] | None
    higher_is_better: bool
    chance: float | None
    spread: Spread | None = None
    bounds: tuple[float, float] | None = None
    unreadable: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class TaskResult:
    """One task's scores and samples.

    Attributes:
        version: Version of the task.
        dataset: Where its rows came from.
        shots: Number of few-shot examples.
        prompt_sha256: Hash over all prompts, in order.
        n: Number of documents evaluated.
        metrics: Metric -> value, the main one first.
        outcomes: Outcome -> number of samples.
        samples: One a document, in the dataset's order.
        settings: JSON values: what else of the task decided its scores (decoding, chat template and why, how examples
            were drawn, signatures of metrics).
    """

    version: int
    dataset: DatasetInfo
    shots: int
    prompt_sha256: str
    n: int
    metrics: Mapping[str, MetricValue]
    outcomes: Mapping[str, int]
    samples: tuple[Sample, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GroupResult:
    """Several tasks' scores as one.

    Attributes:
        tasks: Direct members: names of tasks or of other groups.
        metrics: Metric -> value; at least one.
        weighting: `items` or `tasks`, see `evalkit.task.Group`.
    """

    tasks: tuple[str, ...]
    metrics: Mapping[str, MetricValue]
    weighting: str


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """Which model was evaluated.

    Attributes:
        name: As the user would type it again.
        source: `hub`, `directory`, `gguf`, `peft`, `embedded` ...
        revision: Commit on the hub, when known.
        parameters: Number of weights, when known.
        dtype: Number format of the computation, as `float32`.
        weights_sha256: Hash of the weights' content.
        tokenizer_sha256: Hash of the tokenizer.
        adapter: Adapter on top of the base model.
        extra: JSON values such as quantisation or the engine path that was used.
    """

    name: str
    source: str
    revision: str | None
    parameters: int | None
    dtype: str
    weights_sha256: str
    tokenizer_sha256: str
    adapter: str | None
    extra: Mapping[str, Any]

    def content(self) -> dict[str, Any]:
        """JSON values: what decides its answers, without names and places. The hash of the weights covers the adapter."""
        extra = {name: value for name, value in self.extra.items() if name not in ("base", "base_source")}
        return {
            "weights_sha256": self.weights_sha256,
            "tokenizer_sha256": self.tokenizer_sha256,
            "dtype": self.dtype,
            **extra,
        }


@dataclass(frozen=True, slots=True)
class Run:
    """One evaluation of one model: all that comparing, gating and ranking need.

    Attributes:
        created: ISO 8601, UTC.
        evalkit_version: Version that wrote it.
        model: Which model.
        settings: JSON values: all that can change a score.
        environment: JSON values: libraries, device.
        tasks: Task -> result, in the order asked.
        groups: Group -> result.
        timing: JSON values: seconds by stage, tokens.
    """

    schema: ClassVar[str] = SCHEMA

    created: str
    evalkit_version: str
    model: ModelInfo
    settings: Mapping[str, Any]
    environment: Mapping[str, Any]
    tasks: Mapping[str, TaskResult]
    groups: Mapping[str, GroupResult]
    timing: Mapping[str, Any]

    def leaves(self, group: str) -> tuple[str, ...]:
        """Names of the tasks in a group, through the groups within it, each once."""
        found: dict[str, None] = {}
        for member in self.groups[group].tasks:
            found.update(dict.fromkeys(self.leaves(member) if member in self.groups else (member,)))
        return tuple(found)

    def save(self, path: str | Path) -> None:
        """Writes the result file, whole or not at all.

        Raises:
            OutputError: The place cannot be written.
        """
        from evalkit.result_file import write_run

        write_run(self, Path(path))

    @classmethod
    def load(cls, path: str | Path) -> Run:
        """Reads a result file.

        Raises:
            UsageError: The file is missing or is not a result file; the message names the field that is wrong.
        """
        from evalkit.result_file import read_run

        return read_run(Path(path))


def check_writable(path: str | Path) -> None:
    """Makes sure, before hours of work, that a file can be written there; missing folders are made.

    Raises:
        OutputError: It cannot.
    """
    from evalkit.files import check_writable as check

    check(Path(path))
