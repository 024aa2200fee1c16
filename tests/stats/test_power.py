from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.power import NormalIndPower

from evalkit.stats.paired import sign_test
from evalkit.stats.power import (
    binary_difference_variance,
    design_effect,
    detectable_binary_difference,
    detectable_difference,
    difference_variance,
    exact_sign_test_power,
    items_needed,
    noninferiority_items,
)


def test_golden_items() -> None:
    assert items_needed(1 / 9, 0.03) == 969
    assert items_needed(difference_variance(1 / 9, 1 / 6, 1 / 6), 0.03) == 3876
    assert items_needed(difference_variance(1 / 9, 1 / 6, 1 / 6, 10, 10), 0.03) == 1260
    assert items_needed(binary_difference_variance(0.1, 0.02), 0.02) == 1955
    assert items_needed(1 / 9, 0.03, two_sided=False) == 764
    assert noninferiority_items(0.12, 0.02) == 1855


@pytest.mark.parametrize(
    ("variance", "n", "difference"),
    [
        (difference_variance(1 / 9, 1 / 6, 1 / 6), 198, 0.132733),
        (difference_variance(1 / 9, 1 / 6, 1 / 6, 10, 10), 198, 0.07567),
        (1 / 9, 198, 0.066367),
        (binary_difference_variance(0.16), 1000, 0.035438),
    ],
)
def test_golden_differences(variance: float, n: int, difference: float) -> None:
    assert detectable_difference(variance, n) == pytest.approx(difference, abs=1e-6)


def test_golden_exact_power() -> None:
    assert exact_sign_test_power(500, 0.065, 0.035) == pytest.approx(0.5187, abs=5e-5)
    normal = scipy.stats.norm.cdf(0.03 / math.sqrt((0.1 - 0.03**2) / 500) - scipy.stats.norm.ppf(0.975))
    assert normal == pytest.approx(0.5679, abs=5e-5)  # what the approximation promises there


def test_difference_equals_statsmodels() -> None:
    """Its two-sample effect for n in each group has variance 2. It also counts significance on the wrong side."""
    effect = NormalIndPower().solve_power(nobs1=150, alpha=0.01, power=0.9, alternative="two-sided")
    assert detectable_difference(2.0, 150, alpha=0.01, power=0.9) == pytest.approx(effect, rel=1e-5)


@given(st.floats(0.01, 0.9), st.integers(20, 20000))
def test_detectable_differences_are_those_that_the_items_suffice_for(discordance: float, n: int) -> None:
    difference = detectable_binary_difference(discordance, n)
    share = max(discordance, difference)
    assert abs(items_needed(binary_difference_variance(share, difference), difference) - n) <= 1
    assert detectable_binary_difference(discordance, n + 1) < difference
    assert difference <= detectable_difference(share, n)


def test_models_that_agree_can_still_differ_by_something() -> None:
    assert detectable_binary_difference(0.0, 1000) == pytest.approx(7.84888 / 1007.84888, abs=1e-7)


@pytest.mark.parametrize(("n", "win_rate", "loss_rate", "alpha"), [(15, 0.3, 0.1, 0.05), (12, 0.5, 0.5, 0.2)])
def test_exact_power_is_the_sum_over_all_tables(n: int, win_rate: float, loss_rate: float, alpha: float) -> None:
    tables = [(wins, losses) for wins in range(n + 1) for losses in range(n + 1 - wins)]
    rates = [win_rate, loss_rate, 1 - win_rate - loss_rate]
    expected = sum(
        scipy.stats.multinomial.pmf([wins, losses, n - wins - losses], n, rates)
        for wins, losses in tables
        if sign_test(wins, losses) <= alpha
    )
    assert exact_sign_test_power(n, win_rate, loss_rate, alpha) == pytest.approx(expected, rel=1e-9)


@given(st.floats(0.001, 0.4), st.floats(0.001, 0.4), st.integers(1, 400))
def test_exact_power_is_a_probability_and_turns_with_the_sides(win_rate: float, loss_rate: float, n: int) -> None:
    power = exact_sign_test_power(n, win_rate, loss_rate)
    assert 0 <= power <= 1
    assert power == pytest.approx(exact_sign_test_power(n, loss_rate, win_rate), abs=1e-9)
    assert exact_sign_test_power(n, win_rate, win_rate) <= 0.05 + 1e-9


def test_pass_of_a_gate_is_as_frequent_as_planned() -> None:
    """Simulated: mean difference 0, margin .02, the one-sided 95 % limit above -.02 in 80 % of runs."""
    n, discordance = noninferiority_items(0.12, 0.02), 0.12
    draws = np.random.default_rng(0).multinomial(n, [discordance / 2, discordance / 2, 1 - discordance], 4000)
    lower = (draws[:, 0] - draws[:, 1]) / n - 1.644854 * np.sqrt((draws[:, 0] + draws[:, 1]) / n / n)
    assert float((lower > -0.02).mean()) == pytest.approx(0.8, abs=0.02)


def test_design_effect() -> None:
    assert design_effect(5, 0.2) == pytest.approx(1.8)
    assert design_effect(1, 0.9) == 1.0


def test_refusals() -> None:
    with pytest.raises(ValueError, match=r"differ by 0\.2"):
        binary_difference_variance(0.1, 0.2)
    with pytest.raises(ValueError, match="no better than the margin"):
        noninferiority_items(0.1, 0.02, -0.02)
    with pytest.raises(ValueError, match="a difference"):
        items_needed(0.1, 0.0)
    with pytest.raises(ValueError, match="level and a power"):
        items_needed(0.1, 0.1, power=1.0)
    with pytest.raises(ValueError, match="number of items"):
        detectable_difference(0.1, 0)
    with pytest.raises(ValueError, match="number of items"):
        detectable_binary_difference(1.2, 10)
    with pytest.raises(ValueError, match="paired design"):
        exact_sign_test_power(10, 0.6, 0.6)
    assert exact_sign_test_power(10, 0.0, 0.0) == 0.0
