"""Scores over stages and seeds, against numbers worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from evalkit.errors import UsageError
from evalkit.results import Run, TaskResult
from evalkit.sft.outcome import seed_spread, stage_matrix
from tests.result_examples import run
from tests.result_examples import task_result as made


def scored(value: float) -> TaskResult:
    """A task with this accuracy over 100 documents."""
    right = round(100 * value)
    return made([1.0] * right + [0.0] * (100 - right))


def scores(**values: float) -> Run:
    return run({name: scored(value) for name, value in values.items()})


def test_the_numbers_of_a_matrix_are_those_of_the_papers() -> None:
    """Worked out by hand from the definitions of Lopez-Paz & Ranzato (2017) and Chaudhry et al. (2018)."""
    base = scores(one=0.4, two=0.3, three=0.2)
    after = [
        scores(one=0.8, two=0.3, three=0.2),
        scores(one=0.7, two=0.85, three=0.3),
        scores(one=0.6, two=0.75, three=0.9),
    ]
    matrix = stage_matrix(["a", "b", "c"], ["one", "two", "three"], base, after)
    assert matrix.scores == ((0.8, 0.3, 0.2), (0.7, 0.85, 0.3), (0.6, 0.75, 0.9))
    assert matrix.accuracy == pytest.approx(0.75)
    assert matrix.backward_transfer == pytest.approx(-0.15)
    assert matrix.forward_transfer == pytest.approx(0.05)
    assert matrix.forgetting == pytest.approx(0.15)


def test_without_targets_there_is_a_matrix_and_no_summary() -> None:
    matrix = stage_matrix(
        ["a", "b"], [], scores(one=0.4, two=0.3), [scores(one=0.8, two=0.3), scores(one=0.7, two=0.5)]
    )
    assert matrix.tasks == ("one", "two")
    assert matrix.base == (0.4, 0.3)
    assert (matrix.accuracy, matrix.backward_transfer, matrix.forgetting) == (None, None, None)


def test_targets_come_first_and_one_stage_has_no_transfer() -> None:
    matrix = stage_matrix(["a"], ["two"], scores(one=0.4, two=0.3), [scores(one=0.8, two=0.5)])
    assert matrix.tasks == ("two", "one")
    assert matrix.accuracy == 0.5
    assert matrix.forward_transfer is None


def test_a_target_that_is_better_the_smaller_it_is_is_refused() -> None:
    base = scores(one=0.4)
    task = base.tasks["one"]
    name, value = next(iter(task.metrics.items()))
    low = replace(task, metrics={name: replace(value, higher_is_better=False)})
    with pytest.raises(UsageError, match="better the smaller"):
        stage_matrix(["a"], ["one"], run({"one": low}), [run({"one": low})])


def test_the_spread_over_seeds() -> None:
    base = run({"quiz": made([0, 0, 0, 0])})
    tuned = {
        0: run({"quiz": made([1, 1, 0, 0])}),
        1: run({"quiz": made([1, 0, 0, 0])}),
        2: run({"quiz": made([1, 1, 1, 0])}),
    }
    (spread,) = seed_spread(base, tuned)
    assert spread.before == 0
    assert dict(spread.after) == {0: 0.5, 1: 0.25, 2: 0.75}
    assert spread.mean == 0.5
    assert spread.stddev == pytest.approx(0.25)
    assert spread.differing == 2
    assert spread.n == 4
