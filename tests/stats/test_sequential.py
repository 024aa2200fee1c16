from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.stats.intervals import wilson
from evalkit.stats.sequential import (
    MeanBet,
    always_valid_p,
    asymptotic_confidence_sequence_radius,
    discordant_e_value,
    proportion_confidence_sequence,
    tightest_at,
)


@pytest.mark.parametrize(
    ("wins", "losses", "e_value"),
    [
        (5, 0, 5.3333),
        (6, 0, 9.142857),
        (8, 1, 5.688889),
        (12, 4, 2.118164),
        (20, 5, 24.290515),
        (25, 10, 5.199043),
    ],
)
def test_golden_e_value(wins: int, losses: int, e_value: float) -> None:
    assert discordant_e_value(wins, losses) == pytest.approx(e_value, abs=4e-5)


@given(st.integers(0, 200), st.integers(0, 200), st.floats(0.5, 50))
def test_it_is_a_martingale(wins: int, losses: int, concentration: float) -> None:
    """Without an effect the next discordant item changes the e-value by nothing, on average."""
    now = discordant_e_value(wins, losses, concentration)
    won, lost = (
        discordant_e_value(wins + 1, losses, concentration),
        discordant_e_value(wins, losses + 1, concentration),
    )
    assert (won + lost) / 2 == pytest.approx(now, rel=1e-9)
    assert now == pytest.approx(discordant_e_value(losses, wins, concentration), rel=1e-9)


def test_p_at_any_time() -> None:
    assert always_valid_p(0.3) == 1.0
    assert always_valid_p(20.0) == pytest.approx(0.05)
    assert 0 < always_valid_p(discordant_e_value(5000, 0)) < 1e-300
    with pytest.raises(ValueError, match="e-value"):
        always_valid_p(math.nan)


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(7, 10, 0.266741, 0.96336), (70, 100, 0.542754, 0.830554), (700, 1000, 0.646985, 0.749662)],
)
def test_golden_confidence_sequence(successes: int, n: int, low: float, high: float) -> None:
    interval = proportion_confidence_sequence(successes, n)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=1e-6)


@given(st.integers(1, 400), st.data())
def test_a_sequence_is_wider_than_an_interval(n: int, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, n))
    sequence, fixed = proportion_confidence_sequence(successes, n), wilson(successes, n)
    turned = proportion_confidence_sequence(n - successes, n)
    assert 0 <= sequence.low <= fixed.low + 0.01
    assert fixed.high - 0.01 <= sequence.high <= 1
    assert sequence.low <= successes / n <= sequence.high
    assert (sequence.low, sequence.high) == pytest.approx((1 - turned.high, 1 - turned.low), abs=1e-9)


def test_golden_asymptotic_sequence() -> None:
    assert tightest_at(100) == pytest.approx(0.281712, abs=1e-6)
    radius = asymptotic_confidence_sequence_radius(math.sqrt(0.21), 100, 0.281712)
    assert radius == pytest.approx(0.139091, abs=1e-6)


def bets(null: float, direction: str, values: list[float]) -> MeanBet:
    bet = MeanBet(null, direction, -1, 1)  # type: ignore[arg-type]
    bet.update(values)
    return bet


@given(st.lists(st.sampled_from([-1.0, -0.5, 0.0, 1.0]), min_size=1, max_size=60), st.floats(-0.5, 0.5))
def test_bets_item_by_item_are_bets_in_batches(values: list[float], null: float) -> None:
    whole, single = bets(null, "less", values), MeanBet(null, "less", -1, 1)
    seen = [1.0, *(single.update([value]) for value in values)]
    assert single.e_value == pytest.approx(whole.e_value, rel=1e-9)
    assert single.largest == pytest.approx(max(seen)) == pytest.approx(whole.largest)
    assert whole.n == single.n == len(values)
    assert whole.e_value > 0
    assert 0 < whole.p <= 1


@given(st.lists(st.floats(-1, 1), max_size=40), st.floats(-0.5, 0.5))
def test_the_other_direction_is_the_mirror_image(values: list[float], null: float) -> None:
    less, greater = bets(null, "less", values), bets(-null, "greater", [-value for value in values])
    assert less.e_value == pytest.approx(greater.e_value, rel=1e-9)


@pytest.mark.parametrize("direction", ["less", "greater"])
def test_no_bet_gains_on_the_null_mean(direction: str) -> None:
    """Whatever the wealth so far, two values of the null mean on average leave it, on average, where it was."""
    bet = MeanBet(-0.1, direction, -1, 1)  # type: ignore[arg-type]
    for past in ([], [1.0, 0.0, -1.0], [-1.0] * 5):
        start = MeanBet(-0.1, direction, -1, 1)  # type: ignore[arg-type]
        start.update(past)
        outcomes = []
        for value in (-1.0, 1.0):
            bet = MeanBet(-0.1, direction, -1, 1)  # type: ignore[arg-type]
            bet.update([*past, value])
            outcomes.append(bet.e_value)
        assert 0.55 * outcomes[0] + 0.45 * outcomes[1] == pytest.approx(start.e_value)


def test_false_alarms_and_power_with_a_look_at_every_item() -> None:
    """Differences of right or wrong, 12 % discordant, margin of 2 points; 5 % promised, 400 draws."""
    generator = np.random.default_rng(0)
    alarms = {}
    for mean in (-0.02, -0.1):
        chances = [(0.12 - mean) / 2, 0.88, (0.12 + mean) / 2]
        draws = generator.choice([-1.0, 0.0, 1.0], p=chances, size=(400, 600))
        alarms[mean] = np.mean([bets(-0.02, "less", row.tolist()).largest >= 20 for row in draws])
    assert alarms[-0.02] <= 0.05
    assert alarms[-0.1] > 0.95


def test_refusals() -> None:
    with pytest.raises(ValueError, match="null mean"):
        MeanBet(1.0, "less", 0, 1)
    bet = MeanBet(0.5, "less", 0, 1)
    for wrong in ([1.1], [math.nan]):
        with pytest.raises(ValueError, match="not between"):
            bet.update(wrong)
    assert (bet.n, bet.update([])) == (0, 1.0)
    with pytest.raises(ValueError, match="paired count"):
        discordant_e_value(-1, 0)
    with pytest.raises(ValueError, match="proportion"):
        proportion_confidence_sequence(1, 0)
    with pytest.raises(ValueError, match="confidence sequence"):
        asymptotic_confidence_sequence_radius(1.0, 0, 0.1)
