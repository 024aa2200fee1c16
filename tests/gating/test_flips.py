"""What is shown of the documents that got worse."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import evalkit
from evalkit.comparing.picked import picked_choice
from evalkit.results import Run, SampleRow, samples_path, write_samples
from tests.gating.examples import model, pair
from tests.result_examples import task_result, text_result

CHOICES = (" yes", " a much longer answer")


def row(identity: str, request: int, score: float, answer: str) -> SampleRow:
    return SampleRow(
        *("quiz", identity, 0, request, "score", 0, "Who?", CHOICES[request], 1, 1, score, [score], False, "", None, 0),
        *("a much longer answer", answer),
    )


def saved(path: Path, name: str, values: list[float], second: float) -> Path:
    """A run whose most probable choice is always the short one; the long one's log-probability is `second`."""
    task = task_result(values)
    value, margin = task.metrics["acc"], {"margin": second + 4.0}
    samples = tuple(
        replace(one, metrics={"acc_norm": one.metrics["acc"]}, fields={"picked": 0, "gold": 1, "choices": 2, **margin})
        for one in task.samples
    )
    run: Run = model(name, {"quiz": replace(task, metrics={"acc_norm": value}, samples=samples)})
    run.save(path)
    scores = (-4.0, second)
    write_samples(
        samples_path(path),
        [row(one.id, place, score, "yes") for one in samples for place, score in enumerate(scores)],
    )
    return path


def test_the_choice_is_that_of_the_judged_metric(tmp_path: Path) -> None:
    base = saved(tmp_path / "base.json", "base", [1.0] * 60, -6.0)
    tuned = saved(tmp_path / "tuned.json", "tuned", [0.0] * 30 + [1.0] * 30, -60.0)
    result = evalkit.gate(base, tuned)
    assert result.broken
    assert {(item.before, item.after) for item in result.broken} == {("a much longer answer", "yes")}


def test_another_runs_log_is_not_shown(tmp_path: Path) -> None:
    base = saved(tmp_path / "base.json", "base", [1.0] * 60, -6.0)
    tuned = saved(tmp_path / "tuned.json", "tuned", [0.0] * 30 + [1.0] * 30, -60.0)
    samples_path(tuned).write_bytes(samples_path(base).read_bytes())
    result = evalkit.gate(base, tuned)
    assert {(item.before, item.after) for item in result.broken} == {("a much longer answer", None)}
    note = "no log of samples that belongs to tuned is beside the result: what it answered is not shown"
    assert result.notes.count(note) == 1


def test_an_answer_without_a_log_is_not_an_empty_one(tmp_path: Path) -> None:
    base = saved(tmp_path / "base.json", "base", [1.0] * 60, -6.0)
    tuned = saved(tmp_path / "tuned.json", "tuned", [0.0] * 30 + [1.0] * 30, -60.0)
    samples_path(base).unlink()
    result = evalkit.gate(base, tuned)
    assert {(item.before, item.after) for item in result.broken} == {(None, "yes")}
    assert result.to_json()["broken"][0]["before"] is None
    assert "no log of samples that belongs to base is" in "".join(result.notes)
    assert "baseline: " not in result.to_markdown()
    assert "candidate: yes" in result.to_markdown()
    samples_path(tuned).unlink()
    assert "belongs to base and tuned is" in "".join(evalkit.gate(base, tuned).notes)


def test_how_many_got_worse_in_all() -> None:
    result = evalkit.gate(*pair(130, 0))
    assert (len(result.broken), result.broken_total, result.to_json()["broken_total"]) == (20, 130, 130)
    assert not any("log of samples" in note for note in result.notes)


def test_a_perplexity_breaks_no_document() -> None:
    before, after = (
        model(name, {"text": text_result([rate] * 40)}) for name, rate in (("base", -2.0), ("tuned", -3.0))
    )
    result = evalkit.gate(before, after)
    assert result.exit_code == 1
    assert (result.broken, result.broken_total) == ((), 0)


@pytest.mark.parametrize(
    ("metric", "scores", "value", "expected"),
    [
        ("acc", [-4.0, -6.0], 0.0, None),
        ("acc_norm", [-4.0, -6.0], 1.0, 1),
        ("acc_norm", [-4.0, -60.0], 0.0, 0),
        ("acc_bytes", [-4.0, -6.0], 1.0, 1),
        ("acc_norm", [-4.0, -6.0], 0.0, None),  # the task measures its choices otherwise
        ("acc_norm", [None, -6.0], 1.0, 1),
    ],
)
def test_picked(metric: str, scores: list[float | None], value: float, expected: int | None) -> None:
    assert picked_choice(metric, CHOICES, scores, [1], value) == expected


def test_an_empty_choice_loses() -> None:
    assert picked_choice("acc_norm", ["", " b"], [-0.1, -9.0], [1], 1.0) == 1
