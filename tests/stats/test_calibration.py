from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.optimize
from hypothesis import given
from hypothesis import strategies as st

from evalkit.stats.calibration import calibration, expected_error_interval, perfect_calibration_p, temperature

CONFIDENCES = [0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55, 0.5]
CORRECT = [1, 1, 1, 0, 1, 1, 0, 1, 0, 0]


def test_golden() -> None:
    result = calibration(CONFIDENCES, CORRECT, 5)
    assert [(b.confidence, b.n, b.accuracy) for b in result.bins] == [
        (pytest.approx(0.55), 3, pytest.approx(0.3333, abs=5e-5)),
        (pytest.approx(0.725), 4, pytest.approx(0.5)),
        (pytest.approx(0.9), 3, pytest.approx(1.0)),
    ]
    assert result.expected_error == pytest.approx(0.185)
    assert result.largest_error == pytest.approx(0.225)
    assert result.brier == pytest.approx(0.19625)
    assert result.negative_log_likelihood == pytest.approx(0.562527, abs=1e-6)
    assert result.area_under_curve == pytest.approx(0.833333, abs=1e-6)
    assert calibration(CONFIDENCES, CORRECT, 10).expected_error == pytest.approx(0.185)
    assert calibration(CONFIDENCES, CORRECT, 5, equal_mass=True).expected_error == pytest.approx(0.265)


items = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 1)), min_size=1, max_size=40)


@given(items, st.integers(1, 12), st.booleans())
def test_bins_hold_every_item_once(pairs: list[tuple[float, int]], bins: int, equal_mass: bool) -> None:
    confidences, correct = [c for c, _ in pairs], [r for _, r in pairs]
    result = calibration(confidences, correct, bins, equal_mass)
    assert sum(each.n for each in result.bins) == result.n == len(pairs)
    assert sum(each.n * each.accuracy for each in result.bins) == pytest.approx(sum(correct))
    assert 0 <= result.expected_error <= result.largest_error + 1e-12 <= 1 + 1e-12
    assert abs(np.mean(confidences) - np.mean(correct)) <= result.expected_error + 1e-12  # one bin has the least error
    if not equal_mass:
        for confidence in confidences:
            assert sum(each.low < confidence <= each.high or confidence == each.low == 0 for each in result.bins) == 1


@given(items)
def test_area_is_the_share_of_pairs_in_order(pairs: list[tuple[float, int]]) -> None:
    area = calibration([c for c, _ in pairs], [r for _, r in pairs]).area_under_curve
    right, wrong = [c for c, r in pairs if r], [c for c, r in pairs if not r]
    if not right or not wrong:
        assert area is None
        return
    orders = [(a > b) + (a == b) / 2 for a in right for b in wrong]
    assert area == pytest.approx(np.mean(orders))


def test_a_sure_mistake_is_not_infinitely_bad() -> None:
    assert math.isfinite(calibration([1.0, 0.0], [0, 1]).negative_log_likelihood)


@pytest.mark.parametrize("equal_mass", [False, True])
def test_interval_of_the_error(equal_mass: bool) -> None:
    generator = np.random.default_rng(0)
    confidences = generator.beta(5, 2, 400)
    honest = (generator.random(400) < confidences).astype(float).tolist()
    boastful = (generator.random(400) < confidences - 0.15).astype(float).tolist()
    stated = confidences.tolist()
    of_honest = expected_error_interval(stated, honest, equal_mass=equal_mass, resamples=300)
    of_boastful = expected_error_interval(stated, boastful, equal_mass=equal_mass, resamples=300)
    assert of_honest is not None
    assert of_honest.low == 0
    assert of_honest.high < 0.1
    assert of_boastful is not None
    assert 0.05 < of_boastful.low < 0.15 < of_boastful.high < 0.25
    assert perfect_calibration_p(stated, honest, resamples=200) > 0.05 > perfect_calibration_p(stated, boastful)
    assert expected_error_interval([0.5], [1]) is None
    assert expected_error_interval([1.0, 1.0], [1, 1]) is None


def test_false_alarms_of_perfect_calibration() -> None:
    generator = np.random.default_rng(1)
    alarms = 0
    for number in range(300):
        confidences = generator.beta(3, 1, 60)
        correct = (generator.random(60) < confidences).astype(float)
        alarms += perfect_calibration_p(confidences.tolist(), correct.tolist(), resamples=99, seed=number) <= 0.05
    assert alarms / 300 < 0.09  # 0.05, and three standard errors


def test_temperature_is_the_most_likely_one() -> None:
    generator = np.random.default_rng(2)
    logits = generator.normal(size=(500, 4)) * 2
    chances = np.exp(logits / 3.0)
    chances /= chances.sum(axis=1, keepdims=True)
    gold = [int(generator.choice(4, p=row)) for row in chances]

    def loss(logarithm: float) -> float:
        scaled = logits / math.exp(logarithm)
        return float((np.log(np.exp(scaled).sum(axis=1)) - scaled[np.arange(500), gold]).mean())

    expected = scipy.optimize.minimize_scalar(loss, bounds=(-3, 3), method="bounded", options={"xatol": 1e-8})
    assert temperature(logits, gold) == pytest.approx(math.exp(expected.x), rel=1e-5)
    assert temperature(logits, gold) == pytest.approx(3.0, rel=0.25)


@pytest.mark.parametrize(
    ("confidences", "correct", "bins"),
    [([], [], 10), ([0.5], [1, 0], 10), ([1.2], [1], 10), ([0.5], [0.5], 10), ([math.nan], [1], 5), ([0.5], [1], 0)],
)
def test_refusals(confidences: list[float], correct: list[float], bins: int) -> None:
    with pytest.raises(ValueError, match="confidence"):
        calibration(confidences, correct, bins)
    with pytest.raises(ValueError, match="logits"):
        temperature([[0.1, 0.2]], [0, 1])
