"""Several few-shot seeds on a mock model: one task, its documents, and the spread."""

from __future__ import annotations

import math
import statistics
from pathlib import Path
from typing import Any

import pytest

import evalkit
from evalkit import DataSource, Decoding, MockModel, MultipleChoice, Task
from evalkit.documents import OpenQuestion
from evalkit.errors import InterruptedRunError, UsageError
from evalkit.requests import Generate, Request, Score
from tests.runner.test_evaluate import Interrupted

ROWS = [{"q": f"question {number}?", "right": f"yes {number}"} for number in range(30)]


def quiz(**changes: Any) -> Task:
    defaults: dict[str, Any] = {
        "name": "quiz",
        "data": DataSource(id="own", rows=ROWS, shots_split="test"),
        "document": lambda row: MultipleChoice(row["q"], [row["right"], "no"], 0),
        "metrics": ("acc",),
        "shots": 2,
        "shots_exclude_self": True,
    }
    return Task(**{**defaults, **changes})


def by_examples(request: Request) -> float:
    """Right or wrong by the examples shown, so that another seed gives another answer."""
    assert isinstance(request, Score)
    right = sum(map(ord, request.context)) % 3 > 0
    return -1.0 if (request.continuation != " no") == right else -5.0


def evaluate(**options: Any) -> evalkit.Run:
    return evalkit.run(**{"model": MockModel(by_examples), "tasks": [quiz()], **options})


def test_each_seed_gives_what_it_gives_alone(tmp_path: Path) -> None:
    output = tmp_path / "base.json"
    together = evaluate(shots_seeds=3, shots_seed=7, output=output)
    assert evalkit.Run.load(output) == together
    result = together.tasks["quiz"]
    alone = [evaluate(shots_seed=seed).tasks["quiz"] for seed in (7, 8, 9)]
    value = result.metrics["acc"]
    assert value.spread is not None
    assert value.spread.seeds == (7, 8, 9)
    assert value.spread.values == tuple(one.metrics["acc"].value for one in alone)
    assert len(set(value.spread.values)) > 1
    assert value.value == pytest.approx(statistics.fmean(value.spread.values))
    assert value.spread.stddev == pytest.approx(statistics.stdev(value.spread.values))
    assert value.chance == 0.5
    assert result.n == 30
    assert [sample.id for sample in result.samples] == [sample.id for sample in alone[0].samples]
    for place, sample in enumerate(result.samples):
        own = [one.samples[place] for one in alone]
        assert sample.metrics["acc"] == pytest.approx(statistics.fmean(one.metrics["acc"] for one in own))
        assert [entry["outcome"] for entry in sample.fields["by_seed"]] == [one.outcome for one in own]
        assert sample.outcome == (own[0].outcome if len({one.outcome for one in own}) == 1 else "mixed")
        assert sample.fields["choices"] == 2
    assert result.settings["shots_sampler"] == "lm-eval"
    assert result.settings["shots_seeds"] == [7, 8, 9]
    assert sum(result.outcomes.values()) == 30


def test_the_interval_takes_in_documents_and_seeds() -> None:
    value = evaluate(shots_seeds=4).tasks["quiz"].metrics["acc"]
    assert value.ci95 is not None
    assert value.stderr is not None
    assert value.spread is not None
    assert 0 <= value.ci95[0] < value.value < value.ci95[1] <= 1
    # 30 documents asked four times are not 120
    assert value.stderr > (value.value * (1 - value.value) / 120) ** 0.5


def test_an_interrupted_run_with_several_seeds_continues(tmp_path: Path) -> None:
    class Stopped(Interrupted):
        def __init__(self, batches: int) -> None:
            super().__init__(batches)
            self.answers = by_examples

    output = tmp_path / "base.json"
    with pytest.raises(InterruptedRunError):
        evaluate(model=Stopped(5), shots_seeds=3, output=output)
    model = MockModel(by_examples)
    resumed = evaluate(model=model, shots_seeds=3, output=output)
    assert model.requests_answered == 3 * 60 - 40
    assert resumed.tasks == evaluate(shots_seeds=3).tasks


def test_the_sample_log_has_the_requests_of_all_seeds(tmp_path: Path) -> None:
    from pyarrow import parquet

    evaluate(shots_seeds=2, output=tmp_path / "r.json", limit="first:2")
    rows = parquet.read_table(tmp_path / "r.samples.parquet").to_pylist()
    assert [(row["index"], row["request"]) for row in rows] == [(i, r) for i in (0, 1) for r in range(4)]
    assert rows[0]["prompt"] != rows[2]["prompt"]


def test_tasks_that_do_not_depend_on_the_seed_are_evaluated_once() -> None:
    run = evaluate(tasks=[quiz(), quiz(name="first", shots_sampler="first"), quiz(name="none", shots=0)], shots_seeds=2)
    assert run.tasks["quiz"].metrics["acc"].spread is not None
    assert run.tasks["first"].metrics["acc"].spread is None
    assert run.tasks["none"].metrics["acc"].spread is None
    assert "shots_sampler" not in run.tasks["none"].settings
    with pytest.raises(UsageError, match="no task has examples that depend on a seed"):
        evaluate(tasks=[quiz(shots=0)], shots_seeds=2)
    with pytest.raises(UsageError, match="shots-seeds is 0"):
        evaluate(shots_seeds=0)


def test_scores_that_are_no_means() -> None:
    cloze = quiz(document=lambda row: evalkit.Cloze(row["q"], row["right"]), metrics=("acc", "perplexity"))
    value = evaluate(model=MockModel(), tasks=[cloze], shots_seeds=3).tasks["quiz"].metrics["perplexity"]
    assert value.spread is not None
    assert value.value == pytest.approx(statistics.fmean(value.spread.values))
    assert value.ci95 is not None
    assert value.ci95[0] < value.spread.low <= value.spread.high < value.ci95[1]


def test_an_unreadable_answer_under_one_seed_is_not_hidden() -> None:
    def says(request: Generate) -> str:
        return "" if sum(map(ord, request.prompt)) % 2 else "yes 1"

    task = quiz(document=lambda row: OpenQuestion(row["q"], row["right"]), metrics=("exact_match",))
    run = evaluate(model=MockModel(texts=says), tasks=[task], shots_seeds=3)
    samples = run.tasks["quiz"].samples
    empty = [any(entry["outcome"] == "empty" for entry in sample.fields["by_seed"]) for sample in samples]
    assert [sample.outcome == "empty" for sample in samples] == empty
    assert run.tasks["quiz"].outcomes["empty"] == sum(empty) > 0


def test_samplers_reach_the_prompts_and_the_result() -> None:
    seen: list[str] = []

    def record(request: Request) -> float:
        assert isinstance(request, Score)
        seen.append(request.context[: request.shared])
        return -1.0

    run = evaluate(model=MockModel(record), shots_sampler="fixed", shots_seed=3)
    assert len(set(seen)) == 3  # one set for all but the two documents that are among it
    assert run.tasks["quiz"].settings["shots_sampler"] == "fixed"
    assert run.tasks["quiz"].settings["shots_seed"] == 3
    assert run.settings["shots_sampler"] == "fixed"


def test_the_sample_log_has_each_seeds_own_answers(tmp_path: Path) -> None:
    from pyarrow import parquet

    def texts(request: Generate) -> list[str]:
        return [f"{sum(map(ord, request.prompt)) % 1000}.{sample}" for sample in range(2)]

    task = quiz(
        document=lambda row: OpenQuestion(row["q"], row["right"]),
        metrics=("exact_match",),
        decoding=Decoding(temperature=0.7, samples=2),
    )
    evaluate(model=MockModel(texts=texts), tasks=[task], shots_seeds=3, limit="first:4", output=tmp_path / "r.json")
    rows = parquet.read_table(tmp_path / "r.samples.parquet").to_pylist()
    assert len(rows) == 4 * 3 * 2
    assert len({row["continuation"] for row in rows}) > 8  # the seeds say different things
    assert [row["answer"] for row in rows] == [row["continuation"] for row in rows]


@pytest.mark.parametrize(("metric", "highest"), [("bleu", 100.0), ("rouge1", 1.0), ("perplexity", math.inf)])
def test_the_interval_stays_within_what_the_metric_can_have(metric: str, highest: float) -> None:
    """Two seeds that differ much: Student's t with one degree of freedom reaches far beyond."""

    examples: list[str] = []

    def texts(request: Generate) -> str:
        examples.append(request.prompt[: request.shared])
        own = request.prompt.rsplit("question ", 1)[1].removesuffix("?")
        return f"yes indeed number {own}" if own in "01" or examples[-1] == examples[0] else "yes"

    def ask(row: dict[str, str]) -> evalkit.OpenQuestion | evalkit.Cloze:
        right = f"yes indeed number {row['q'].removeprefix('question ').removesuffix('?')}"
        return evalkit.Cloze(row["q"], right) if metric == "perplexity" else OpenQuestion(row["q"], right)

    task = quiz(document=ask, metrics=(metric,), shots_exclude_self=False)
    value = (
        evaluate(model=MockModel(texts=texts), tasks=[task], shots_seeds=2, shots_sampler="fixed", limit="first:8")
        .tasks["quiz"]
        .metrics[metric]
    )
    assert value.spread is not None
    assert value.spread.low < value.spread.high
    assert value.ci95 is not None
    assert 0 <= value.ci95[0] < value.value < value.ci95[1] <= highest
