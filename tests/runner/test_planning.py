from __future__ import annotations

import inspect
import json
from dataclasses import replace
from pathlib import Path

import pytest

import evalkit
from evalkit.backends.local import LocalBackend
from evalkit.errors import UsageError
from evalkit.models import load_model
from tests.runner.test_evaluate import quiz
from tests.tiny_models import tiny_model


def test_a_plan_counts_what_the_run_then_computes(tmp_path: Path) -> None:
    backend = LocalBackend(load_model(str(tiny_model("llama", tmp_path / "model"))))
    plan = evalkit.plan(model=backend, tasks=[quiz(tmp_path)], shots=3)
    assert plan.cost is not None
    assert plan.cost.tokens_per_second > 0
    assert 0 < plan.cost.peak_bytes < plan.cost.available_bytes
    run = evalkit.run(model=LocalBackend(backend.loaded), tasks=[quiz(tmp_path)], shots=3)
    (task,), (result,) = plan.tasks, run.tasks.values()
    assert (task.documents, task.requests) == (result.n, 3 * result.n)
    assert task.tokens == plan.cost.tokens_asked == run.timing["tokens_asked"]
    assert plan.cost.tokens_computed == run.timing["tokens_computed"]


def test_a_model_that_computes_nothing_has_no_cost(tmp_path: Path) -> None:
    plan = evalkit.plan(model=evalkit.MockModel(), tasks=[quiz(tmp_path)])
    assert plan.cost is None
    assert plan.tasks[0].tokens > 0


def test_a_plan_takes_no_output(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a plan writes no file"):
        evalkit.plan(model=evalkit.MockModel(), tasks=[quiz(tmp_path)], output=tmp_path / "base.json")


def test_a_plan_says_the_smallest_visible_difference(tmp_path: Path) -> None:
    backend = evalkit.MockModel()
    plan = evalkit.plan(model=backend, tasks=[quiz(tmp_path)])
    (name,) = plan.sights
    assert plan.sights[name].documents == plan.tasks[0].documents
    assert plan.sights[name].difference is not None
    assert plan.overall is None
    run = evalkit.run(model=backend, tasks=[quiz(tmp_path)])
    again = evalkit.Evaluation(model=backend, tasks=[quiz(tmp_path)]).plan([run, run])
    assert again.sights[name].basis == f"the baselines disagree on 0 of {run.tasks[name].n}"
    assert json.loads(json.dumps(again.to_json()))["sights"][name]["documents"] == run.tasks[name].n


def test_a_baseline_without_the_tasks_is_an_error(tmp_path: Path) -> None:
    backend = evalkit.MockModel()
    run = evalkit.run(model=backend, tasks=[quiz(tmp_path)])
    other = replace(run, tasks={"other": next(iter(run.tasks.values()))})
    evaluation = evalkit.Evaluation(model=backend, tasks=[quiz(tmp_path)])
    with pytest.raises(UsageError, match="the baseline has no"):
        evaluation.plan([other])
    with pytest.raises(UsageError, match="3 baselines"):
        evaluation.plan([run, run, run])


def test_the_functions_say_what_they_take_and_return() -> None:
    signature = inspect.signature(evalkit.run)
    assert {"model", "tasks", "deterministic", "output"} <= signature.parameters.keys()
    assert signature.return_annotation == "Run"
    assert "deterministic:" in (evalkit.Evaluation.__doc__ or "")
