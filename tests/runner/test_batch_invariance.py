"""What a result depends on: with `--deterministic` on nothing but model, data and settings, to the bit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import evalkit
from benchmarks.faults.workload import Files, prepare
from evalkit.results import Run, read_samples, samples_path

CHANGES: list[dict[str, Any]] = [
    {"batch_tokens": 64},
    {"batch_tokens": 512},
    {"tasks": "perplexity:book.txt,sums.yaml,quiz.yaml"},
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("invariance")
    prepare(made)
    return made


def evaluated(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch, **options: Any) -> Path:
    monkeypatch.chdir(folder)
    output = folder / f"{name}.json"
    model = next(one for one in folder.iterdir() if one.name.startswith("tiny-llama"))
    asked = {"tasks": "quiz.yaml,sums.yaml,perplexity:book.txt", "max_new_tokens": 6, **options}
    evalkit.run(model=str(model), output=output, **asked)
    return output


def by_task(files: Files) -> Any:
    document = json.loads(files.result)
    document["tasks"] = dict(sorted(document["tasks"].items()))
    return document


def test_a_deterministic_file_is_the_same_for_any_budget_and_order(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = evaluated(folder, "first", monkeypatch, deterministic=True)
    rows = {(row.task, row.id, row.request): row for row in read_samples(samples_path(first))}
    for number, change in enumerate(CHANGES):
        other = evaluated(folder, str(number), monkeypatch, deterministic=True, **change)
        if "tasks" in change:
            assert by_task(Files.of(other)) == by_task(Files.of(first))
        else:
            assert Files.of(other) == Files.of(first)
        assert {(row.task, row.id, row.request): row for row in read_samples(samples_path(other))} == rows
    few = evaluated(folder, "few", monkeypatch, deterministic=True, limit=4)
    assert all(row == rows[row.task, row.id, row.request] for row in read_samples(samples_path(few)))


def test_without_it_float32_gives_the_same_choices_and_nearly_the_same_numbers(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = evaluated(folder, "plain", monkeypatch)
    rows = {(row.task, row.id, row.request): row for row in read_samples(samples_path(first))}
    scores = {name: task.metrics for name, task in Run.load(first).tasks.items()}
    for number, change in enumerate(
        [{"batch_tokens": 64}, {"batch_tokens": 2048}, {"share_prefixes": False}, {"limit": 7}]
    ):
        other = evaluated(folder, f"plain-{number}", monkeypatch, **change)
        for row in read_samples(samples_path(other)):
            known = rows[row.task, row.id, row.request]
            assert (row.answer, row.greedy, row.finish) == (known.answer, known.greedy, known.finish)
            if row.kind == "generate":
                assert row.continuation == known.continuation
            pairs = zip(row.token_log_probabilities, known.token_log_probabilities, strict=True)
            assert all(abs(one - two) < 1e-4 for one, two in pairs)
        if "limit" not in change:
            for name, task in Run.load(other).tasks.items():
                for metric, value in task.metrics.items():
                    assert value.value == pytest.approx(scores[name][metric].value, rel=1e-5)
