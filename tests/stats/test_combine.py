from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from evalkit.stats.combine import Part, mover, stratified_score, weighted_sum
from evalkit.stats.intervals import Interval, wilson

Combine = Callable[[Sequence[float], Sequence[float], Sequence[float]], Interval | None]


def parts(weights: Sequence[float], errors: Sequence[float | None]) -> list[Part]:
    return [Part(weight, 0.5, error, None) for weight, error in zip(weights, errors, strict=True)]


def test_golden_macro_average() -> None:
    assert weighted_sum(parts([1 / 3] * 3, [0.01, 0.02, 0.03]))[1] == pytest.approx(0.012472, abs=1e-6)
    assert weighted_sum(parts([0.1, 0.2, 0.7], [0.01, 0.02, 0.03]))[1] == pytest.approx(0.021401, abs=1e-6)


def test_an_unknown_error_stays_unknown() -> None:
    assert weighted_sum(parts([0.5, 0.5], [0.01, None])) == (0.5, None)
    assert mover(parts([0.5, 0.5], [0.01, 0.01])) is None


def test_mover_of_symmetric_limits_is_the_usual_interval() -> None:
    given = [Part(0.25, 0.4, None, (0.3, 0.5)), Part(0.75, 0.8, None, (0.6, 1.0))]
    interval = mover(given)
    assert interval is not None
    half = math.hypot(0.25 * 0.1, 0.75 * 0.2)
    assert (interval.low, interval.high) == pytest.approx((0.7 - half, 0.7 + half))


def test_mover_at_the_end_has_a_width_below_only() -> None:
    limits = wilson(10, 10)
    interval = mover([Part(0.5, 1.0, 0.0, (limits.low, limits.high))] * 2)
    assert interval is not None
    assert interval.high == 1.0
    assert interval.low == pytest.approx(1 - (1 - limits.low) / math.sqrt(2))


@pytest.mark.parametrize(("successes", "n"), [(0, 10), (70, 100), (28, 30), (10, 10), (1, 1)])
def test_score_of_one_part_is_wilson(successes: int, n: int) -> None:
    got, expected = stratified_score([successes], [n], [1.0]), wilson(successes, n)
    assert (got.low, got.high) == (expected.low, expected.high)


@pytest.mark.parametrize("successes", [0, 3, 35, 67, 70])
def test_score_of_equal_parts_is_wilson_of_all(successes: int) -> None:
    """Seven parts with the same proportion and size are one sample cut in seven."""
    got = stratified_score([successes / 7] * 7, [10] * 7, [1 / 7] * 7)
    expected = wilson(successes, 70)
    assert (got.low, got.high) == pytest.approx((expected.low, expected.high), abs=1e-7)


def test_score_of_large_parts_is_the_normal_interval() -> None:
    items, weights = np.array([4e6, 9e6, 2e6]), np.array([0.2, 0.5, 0.3])
    proportions = np.array([0.3, 0.8, 0.55])
    got = stratified_score((items * proportions).tolist(), items.tolist(), weights.tolist())
    error = math.sqrt(float(np.sum(weights**2 * proportions * (1 - proportions) / items)))
    center = float(weights @ proportions)
    assert (got.low, got.high) == pytest.approx((center - 1.959964 * error, center + 1.959964 * error), abs=1e-6)


def test_score_mirrors() -> None:
    got = stratified_score([1, 0, 7], [5, 3, 8], [0.2, 0.3, 0.5])
    mirrored = stratified_score([4, 3, 1], [5, 3, 8], [0.2, 0.3, 0.5])
    assert (got.low, got.high) == pytest.approx((1 - mirrored.high, 1 - mirrored.low), abs=1e-9)


@pytest.mark.parametrize(
    ("successes", "items", "weights"),
    [
        ([1], [2, 2], [0.5, 0.5]),
        ([3], [2], [1.0]),
        ([1, 1], [2, 2], [0.5, 0.4]),
        ([1, 1], [2, 2], [0.0, 1.0]),
        ([], [], []),
    ],
)
def test_score_refusals(successes: list[float], items: list[float], weights: list[float]) -> None:
    with pytest.raises(ValueError, match=r"lengths differ|not proportions"):
        stratified_score(successes, items, weights)


def by_mover(successes: Sequence[float], items: Sequence[float], weights: Sequence[float]) -> Interval | None:
    given = []
    for x, n, weight in zip(successes, items, weights, strict=True):
        limits = wilson(x, n)
        given.append(Part(weight, x / n, None, (limits.low, limits.high)))
    return mover(given)


def by_wald(successes: Sequence[float], items: Sequence[float], weights: Sequence[float]) -> Interval:
    p, n, w = np.asarray(successes) / items, np.asarray(items), np.asarray(weights)
    half = 1.96 * math.sqrt(float(np.sum(w**2 * p * (1 - p) / np.maximum(n - 1, 1))))
    return Interval(float(w @ p) - half, float(w @ p) + half, 0.95, "wald")


def coverage(combine: Combine, proportions: Sequence[float], items: Sequence[int], draws: int) -> float:
    rng = np.random.default_rng(4)
    weights = [1 / len(items)] * len(items)
    truth = sum(proportions) / len(proportions)
    held = 0
    for _ in range(draws):
        interval = combine(rng.binomial(items, proportions).tolist(), items, weights)
        assert interval is not None
        held += interval.low - 1e-12 <= truth <= interval.high + 1e-12
    return held / draws


@pytest.mark.parametrize(
    ("proportions", "items"),
    [
        ([0.5] * 57, [1] * 57),
        ([0.95] * 57, [5] * 57),
        ([0.25] * 57, [20] * 57),
        ([0.8, 0.5], [10, 1000]),
        ([0.95] * 3, [10] * 3),
        ([0.3, 0.9, 0.5, 0.7], [100] * 4),
    ],
)
def test_score_coverage(proportions: list[float], items: list[int]) -> None:
    assert coverage(stratified_score, proportions, items, 500) >= 0.92


def test_coverage_of_the_others() -> None:
    """Why the score interval is the default: the usual one fails small parts, the recovered one many of them."""
    assert coverage(by_wald, [0.95] * 3, [10] * 3, 500) < 0.85
    assert coverage(by_wald, [0.5] * 57, [1] * 57, 100) < 0.2
    assert coverage(by_mover, [0.95] * 57, [5] * 57, 300) < 0.88
    assert coverage(by_mover, [0.8, 0.5], [10, 1000], 500) >= 0.93
    assert coverage(by_mover, [0.3, 0.9, 0.5, 0.7], [100] * 4, 500) >= 0.92
