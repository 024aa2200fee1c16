"""Verdicts where the usual evidence is missing: no interval, few clusters, the same model twice, older files."""

from __future__ import annotations

from dataclasses import replace

import pytest

from evalkit.comparing.compare import compare
from evalkit.comparison import Change, Verdict
from evalkit.gating.decide import gate
from evalkit.results import TaskResult
from tests.comparing.examples import group, model_run, paired, real, task_result, text_result


def change(before: TaskResult, after: TaskResult, **options: float) -> Change:
    found = compare(model_run("base", {"a": before}), model_run("tuned", {"a": after}), **options)  # type: ignore[arg-type]
    return found.tasks["a"].change


# --- a p without an interval

CLUSTERS = [f"c{place // 5}" for place in range(100)]
ALIKE = {
    "clustered accuracy": (task_result([1.0] * 100, clusters=CLUSTERS), task_result([0.0] * 100, clusters=CLUSTERS)),
    "F1": (real([0.9] * 50), real([0.1] * 50)),
    "perplexity": (text_result([-2.0] * 30), text_result([-4.0] * 30)),
}


@pytest.mark.parametrize("kind", ALIKE)
def test_a_collapse_of_every_document_alike_is_a_regression(kind: str) -> None:
    before, after = ALIKE[kind]
    found = change(before, after)
    assert found.interval is None
    assert found.p is not None
    assert found.p < 1e-5
    assert found.verdict is Verdict.REGRESSED
    assert "worse by" in found.reason
    assert change(after, before).verdict is Verdict.IMPROVED
    assert gate(model_run("base", {"a": before}), model_run("tuned", {"a": after})).exit_code == 1


def test_a_small_loss_without_an_interval_is_undecided() -> None:
    real_loss = change(real([0.9] * 50), real([0.895] * 50))
    assert real_loss.verdict is Verdict.UNDECIDED
    assert real_loss.reason.startswith(
        "worse by 0.5 points (p < 0.001), a real loss of less than the tolerated 1.0 point"
    )
    chance = change(real([0.9] * 3), real([0.1] * 3))
    assert chance.verdict is Verdict.UNDECIDED
    assert chance.reason == "worse by 80.0 points, which may be chance (p 0.25); there is no interval"


# --- the same model twice

UNCHANGED = {
    "right or wrong": task_result([1.0, 0.0] * 30),
    "F1": real([0.1 + 0.01 * place for place in range(40)]),
    "unbounded": real([0.5 * place for place in range(5)], name="own_score", bounds=None),
    "perplexity": text_result([-2.0] * 30),
    "one document": task_result([1.0]),
    "one text": text_result([-2.0]),
}


@pytest.mark.parametrize("kind", UNCHANGED)
def test_the_same_model_with_the_same_scores_is_within_the_margin(kind: str) -> None:
    run = model_run("base", {"a": UNCHANGED[kind]})
    found = compare(run, run, margin=0.0).tasks["a"].change
    assert found.verdict is Verdict.WITHIN_MARGIN
    assert found.reason == "the same model gave the same score on every document"
    assert gate(run, run).exit_code == 0


def test_a_group_of_the_same_scores_too() -> None:
    members = {"a": real([0.5], "acc"), "b": real([0.1, 0.2, 0.4], "acc")}
    run = model_run("base", members, {"all": group("all", members)})
    assert compare(run, run).tasks["all"].change.verdict is Verdict.WITHIN_MARGIN


@pytest.mark.parametrize("field", ["weights_sha256", "tokenizer_sha256"])
def test_another_or_an_unknown_model_with_the_same_scores_is_judged_by_the_interval(field: str) -> None:
    few, many = task_result([1.0, 0.0] * 30), task_result([1.0, 0.0] * 200)
    before = model_run("base", {"few": few, "many": many, "text": text_result([-2.0] * 30)})
    for other in ({field: "c" * 64}, {field: ""}):
        after = replace(before, model=replace(before.model, **other))
        found = compare(before, after).tasks
        assert found["few"].change.verdict is Verdict.UNDECIDED
        assert found["many"].change.verdict is Verdict.WITHIN_MARGIN
        assert found["text"].change.verdict is Verdict.UNDECIDED
        assert found["text"].change.reason.startswith("all 30 documents have the same score in both runs, and nothing")


def test_the_same_model_with_another_score_is_judged_by_the_interval() -> None:
    before, after = paired(50, 1, 1, 10)
    run = model_run("base", {"a": before})
    assert compare(run, replace(run, tasks={"a": after})).tasks["a"].change.verdict is Verdict.UNDECIDED
