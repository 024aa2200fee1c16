"""The task interface: a frozen description of a benchmark, most of it data.

A task says where its rows are, how one row becomes a document, and which metrics count. Few-shot assembly, prompts,
requests, metrics and intervals are common to all tasks and live elsewhere. Built-in tasks (`tasks/`) use only what a
user's own file may use.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from evalkit.decoding import Decoding
from evalkit.documents import Document
from evalkit.extraction import Extractor

if TYPE_CHECKING:
    from evalkit.metrics.text import TextMetric

Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class DataSource:
    """Where rows come from: a dataset named as on the Hugging Face hub, or files of your own.

    Attributes:
        id: `org/name` as on the hub; empty when `files` are given.
        config: Configuration (subset) of the dataset; None takes its default.
        split: Split that is evaluated.
        shots_split: Split that few-shot examples are drawn from; None where the task has none.
        revision: Commit of the hub repository, set only if that commit was seen to work.
        files: Split -> path of a .jsonl, .json, .csv, .tsv, .parquet, .arrow or .txt file, relative to `base`.
        base: Directory that relative `files` are taken from (that of the task's file).
        rows: The rows themselves, where they are given in place; then `id` only names them.
    """

    id: str = ""
    config: str | None = None
    split: str = "test"
    shots_split: str | None = None
    revision: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    base: str = "."
    rows: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, kw_only=True)
class Task:
    """One benchmark.

    Attributes:
        name: What users type; letters, digits, `_`, `-` and `.`.
        data: Where the rows are.
        document: Turns a row into a document. Any exception it raises becomes a `DataError` naming dataset, split, row.
        metrics: Names of metrics (`evalkit.metrics`), the main one first; of generated text also `NAME@EXTRACTOR`,
            `pass@K` and `maj@K` (`evalkit.metrics.text`).
        decoding: How answers to open questions are generated.
        extractors: Name -> how the answer is found in a generated text, the main one first.
        own_metrics: Metrics of generated text that the task defines itself, by name; they win over registered ones.
        version: Bumped with any change that can move a score.
        columns: Schema a row must meet: column -> type, as `{"question": str, "choices": {"text": [str]}}`; a list of
            one type is a list of any length, a tuple of types any of them.
        keep: Rows for which it is false are not part of the benchmark.
        description: Instruction put before the few-shot examples, with its trailing line breaks.
        shots: Number of few-shot examples by default.
        shots_data: Where few-shot examples come from if not from `data`; its `split` is the one they are drawn from.
        shots_fixed: The benchmark defines its number of shots; another is refused.
        shots_sampler: `random` draws anew for every document, in lm-eval's sequence; `first` takes the first of the
            split; all documents then share them.
        shots_exclude_self: One example more is drawn and copies of the document itself are dropped. lm-eval does so for
            tasks whose few-shot split is not named apart from the test split.
        target_delimiter: Between question and answer.
        shots_delimiter: Between examples.
        cluster: Groups documents whose errors go together (same passage); None where items are independent.
        about: One line for `evalkit tasks`.
        citation: Where the benchmark was published.
        language: ISO 639-1 code of the content.
        tags: Free words to find it by.
        lm_eval: Name of the namesake in lm-evaluation-harness, when there is one.
        chat: Whether `--chat-template auto` puts its prompts through the model's chat template, where there is one; None
            leaves that to the rule (`evalkit.runner.presentation`).
        lm_eval_metrics: Metric of generated text -> lm-eval's name of it with that of its filter, as
            "exact_match,strict-match". Metrics that score given answers know theirs themselves.
    """

    name: str
    data: DataSource
    document: Callable[[Row], Document]
    metrics: tuple[str, ...]
    decoding: Decoding = field(default_factory=Decoding)
    extractors: Mapping[str, Extractor] = field(default_factory=dict)
    own_metrics: Mapping[str, TextMetric] = field(default_factory=dict)
    version: int = 1
    columns: Mapping[str, Any] = field(default_factory=dict)
    keep: Callable[[Row], bool] | None = None
    description: str = ""
    shots: int = 0
    shots_data: DataSource | None = None
    shots_fixed: bool = False
    shots_sampler: Literal["random", "first"] = "random"
    shots_exclude_self: bool = False
    target_delimiter: str = " "
    shots_delimiter: str = "\n\n"
    cluster: Callable[[Row], str] | None = None
    about: str = ""
    citation: str = ""
    language: str = "en"
    tags: tuple[str, ...] = ()
    lm_eval: str | None = None
    chat: bool | None = None
    lm_eval_metrics: Mapping[str, str] = field(default_factory=dict)

    @property
    def has_shots(self) -> bool:
        """Whether there is something to draw few-shot examples from."""
        return self.shots_data is not None or self.data.shots_split is not None


@dataclass(frozen=True, kw_only=True)
class Group:
    """Several tasks reported as one score.

    Attributes:
        name: What users type.
        members: Names of tasks or groups, each with optional modifiers (`arc_challenge:25shot`).
        metrics: The metric averaged: one name for all members, or member -> metric name. An empty mapping makes the
            group a mere name for several tasks, without a score of its own.
        weighting: `items` weighs every document alike (lm-eval's `weight_by_size`), `tasks` every member.
        metric_name: Name of the group's score in tables; by default that of the metric.
    """

    name: str
    members: tuple[str, ...]
    metrics: str | Mapping[str, str] = "acc"
    weighting: Literal["items", "tasks"] = "tasks"
    metric_name: str | None = None
    about: str = ""
    version: int = 1


Registered = Task | Group
TaskList = Sequence[Registered]
