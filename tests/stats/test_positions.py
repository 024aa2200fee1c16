from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from evalkit.stats.positions import contextual_calibration, letter_prior, position_bias


def test_golden_chi_square() -> None:
    gold = [0] * 25 + [1] * 25 + [2] * 25 + [3] * 25
    picked = [0] * 40 + [1] * 30 + [2] * 20 + [3] * 10
    result = position_bias(picked, gold)
    assert (result.picked, result.gold) == ((40, 30, 20, 10), (25, 25, 25, 25))
    assert result.chi_square == pytest.approx(20.0)
    assert result.p == pytest.approx(0.00017, abs=5e-6)
    expected = scipy.stats.chisquare(result.picked, result.gold)
    assert (result.chi_square, result.p) == pytest.approx((expected.statistic, expected.pvalue))


def test_golden_recall_deviation() -> None:
    gold, picked = [], []
    for place, right in enumerate((80, 60, 50, 50)):
        gold += [place] * 100
        picked += [place] * right + [(place + 1) % 4] * (100 - right)
    result = position_bias(picked, gold)
    assert result.recalls == pytest.approx((0.8, 0.6, 0.5, 0.5))
    assert result.recall_deviation == pytest.approx(0.12247449)


def answers(
    generator: np.random.Generator, choices: list[int], accuracy: float, first: float = 0.0
) -> tuple[list[int], list[int]]:
    """Picks and gold of a model that knows some answers, and otherwise takes the first place, or any wrong one."""
    picked, gold = [], []
    for count in choices:
        right = int(generator.integers(count))
        others = [place for place in range(count) if place != right]
        guess = others[int(generator.integers(len(others)))]
        if generator.random() < first:
            guess = 0
        picked.append(right if generator.random() < accuracy else guess)
        gold.append(right)
    return picked, gold


@pytest.mark.parametrize("case", ["all of four", "all of two", "three to five"])
def test_false_alarms_and_power(case: str) -> None:
    generator = np.random.default_rng(3)
    alarms = found = 0
    for _ in range(200):
        size = {"all of four": (4, 5), "all of two": (2, 3), "three to five": (3, 6)}[case]
        choices = generator.integers(*size, size=250).tolist()
        alarms += (position_bias(*answers(generator, choices, 0.5), choices).preference_p or 1.0) <= 0.05
        found += (position_bias(*answers(generator, choices, 0.5, 0.5), choices).preference_p or 1.0) <= 0.05
    assert alarms / 200 <= 0.1  # 0.05, and three standard errors
    assert found / 200 > 0.9


def test_questions_with_few_choices_are_not_taken_for_a_preference() -> None:
    """Half of the questions have two choices: the first two places are picked more often, and should be."""
    generator = np.random.default_rng(0)
    choices = [2, 5] * 300
    picked, gold = answers(generator, choices, 0.4)
    assert sum(place < 2 for place in picked) > 1.5 * sum(place >= 2 for place in picked)
    result = position_bias(picked, gold, choices)
    assert result.preference_p is not None
    assert result.preference_p > 0.05


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=50))
def test_what_always_holds(pairs: list[tuple[int, int]]) -> None:
    picked, gold = [p for p, _ in pairs], [g for _, g in pairs]
    result = position_bias(picked, gold, 4)
    assert sum(result.picked) == sum(result.gold) == result.n
    for p in (result.p, result.preference_p):
        assert p is None or 0 < p <= 1
    order = np.random.default_rng(0).permutation(4)
    turned = position_bias([int(order[p]) for p in picked], [int(order[g]) for g in gold], 4)
    assert turned.preference_p == pytest.approx(result.preference_p, abs=1e-9)
    assert turned.recall_deviation == pytest.approx(result.recall_deviation, abs=1e-12)


def test_what_the_items_cannot_tell() -> None:
    assert position_bias([0, 1], [0, 1]).preference_p is None
    result = position_bias([2, 0, 0], [0, 0, 1], 3)
    assert (result.chi_square, result.p, result.recalls[2]) == (None, None, None)


def test_golden_debiasing() -> None:
    assert contextual_calibration([0.6, 0.4], [0.7, 0.3]) == pytest.approx([0.391304, 0.608696], abs=1e-6)
    rows = [[0.6, 0.3, 0.1], [0.5, 0.2, 0.3], [0.7, 0.2, 0.1]]
    prior = letter_prior(rows)
    assert prior == pytest.approx([0.614321, 0.236619, 0.14906], abs=1e-6)
    assert np.log(rows[0]) - np.log(prior) == pytest.approx([-0.023588, 0.237332, -0.399182], abs=1e-6)


def test_refusals() -> None:
    with pytest.raises(ValueError, match="1 picked places, but 2"):
        position_bias([0], [0, 1])
    with pytest.raises(ValueError, match="not among the choices"):
        position_bias([0, 2], [0, 1], 2)
    with pytest.raises(ValueError, match="not among the choices"):
        position_bias([-1, 0], [0, 1], 2)
    with pytest.raises(ValueError, match="3 numbers of choices"):
        position_bias([0, 1], [0, 1], [2, 2, 2])
