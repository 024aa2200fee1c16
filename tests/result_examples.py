"""Small results for tests of what reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evalkit.aggregate import aggregate_group
from evalkit.data import DatasetInfo
from evalkit.metrics import estimate, metric
from evalkit.results import GroupResult, ModelInfo, Run, Sample, TaskResult
from evalkit.task import Group

DATASET = DatasetInfo(
    id="allenai/ai2_arc", config="ARC-Easy", split="test", revision=None, source="data-dir", sha256="d" * 64
)


def sample(index: int, value: float, name: str = "acc", cluster: str | None = None) -> Sample:
    fields = {"picked": 0 if value else 1, "gold": 0, "choices": 4, "margin": 0.1 + 0.2}
    return Sample(f"{index:016x}", index, cluster, "right" if value else "wrong", {name: value}, fields)


def task_result(values: Sequence[float], name: str = "acc", clusters: Sequence[str] | None = None) -> TaskResult:
    samples = tuple(sample(i, value, name, clusters[i] if clusters else None) for i, value in enumerate(values))
    outcomes = {"right": sum(bool(value) for value in values), "wrong": sum(not value for value in values)}
    scores = {name: estimate(metric(name), samples)}
    return TaskResult(1, DATASET, 0, "e" * 64, len(samples), scores, outcomes, samples)


def text_result(rates: Sequence[float]) -> TaskResult:
    """One document of 100 tokens and 70 words for each log-likelihood a token."""
    samples = tuple(
        Sample(
            f"{index:016x}",
            index,
            None,
            "scored",
            {"word_perplexity": 2.0, "bits_per_byte": 1.0},
            {"log_likelihood": 100 * rate, "tokens": 100, "words": 70, "bytes": 400, "characters": 400},
        )
        for index, rate in enumerate(rates)
    )
    scores = {name: estimate(metric(name), samples) for name in ("word_perplexity", "bits_per_byte")}
    return TaskResult(2, DATASET, 0, "f" * 64, len(samples), scores, {"scored": len(samples)}, samples)


def run(tasks: Mapping[str, TaskResult], groups: Mapping[str, GroupResult] | None = None, **settings: object) -> Run:
    model = ModelInfo(
        name="SmolLM2-135M",
        source="embedded",
        revision=None,
        parameters=134_515_008,
        dtype="float32",
        weights_sha256="a" * 64,
        tokenizer_sha256="b" * 64,
        adapter=None,
        extra={"engine": "tree"},
    )
    return Run(
        created="2026-01-02T03:04:05Z",
        evalkit_version="0.1.0",
        model=model,
        settings={"limit": None, "seed": 1234, **settings},
        environment={"torch": "2.13.0", "device": "cpu"},
        tasks=tasks,
        groups=groups or {},
        timing={"total_seconds": 1.25},
    )


def group(name: str, members: Mapping[str, TaskResult], weighting: str = "tasks") -> GroupResult:
    definition = Group(name=name, members=tuple(members), weighting=weighting)  # type: ignore[arg-type]
    return aggregate_group(definition, members)
