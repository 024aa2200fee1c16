from __future__ import annotations

import inspect
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


def test_the_functions_say_what_they_take_and_return() -> None:
    signature = inspect.signature(evalkit.run)
    assert {"model", "tasks", "deterministic", "output"} <= signature.parameters.keys()
    assert signature.return_annotation == "Run"
    assert "deterministic:" in (evalkit.Evaluation.__doc__ or "")
