from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.stats.agreement import Measurement, krippendorff_alpha

# Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability", part C: four observers, twelve units
FOUR_OBSERVERS = (
    "1 2 3 3 2 1 4 1 2 . . .",
    "1 2 3 3 2 2 4 1 2 5 . 3",
    ". 3 3 3 2 3 4 2 2 5 1 .",
    "1 2 3 3 2 4 4 1 2 5 1 .",
)
# Hayes & Krippendorff's example as Wikipedia computes it: three coders, fifteen units
THREE_CODERS = (
    ". . . . . 3 4 1 2 1 1 3 3 . 3",
    "1 . 2 1 3 3 4 3 . . . . . . .",
    ". . 2 1 3 4 4 . 2 1 1 3 3 . 4",
)


def units_of(table: tuple[str, ...]) -> list[list[float]]:
    columns = zip(*(row.split() for row in table), strict=True)
    return [[float(cell) for cell in column if cell != "."] for column in columns]


@pytest.mark.parametrize(
    ("table", "measurement", "alpha"),
    [
        (FOUR_OBSERVERS, "nominal", 0.743),
        (FOUR_OBSERVERS, "ordinal", 0.815),
        (FOUR_OBSERVERS, "interval", 0.849),
        (FOUR_OBSERVERS, "ratio", 0.797),
        (THREE_CODERS, "nominal", 0.691),
        (THREE_CODERS, "interval", 0.811),
    ],
)
def test_published_values(table: tuple[str, ...], measurement: Measurement, alpha: float) -> None:
    found = krippendorff_alpha(units_of(table), measurement)
    assert found.alpha == pytest.approx(alpha, abs=5e-4)
    assert found.interval is not None
    assert found.interval.low < alpha < found.interval.high <= 1


def test_units_rated_once_do_not_count() -> None:
    found = krippendorff_alpha(units_of(FOUR_OBSERVERS), "nominal", resamples=0)
    assert (found.units, found.pairable, found.interval) == (11, 40, None)  # as the paper counts them


def by_definition(units: list[list[int]], measurement: Measurement) -> float | None:
    """1 - D_o / D_e by going through the pairs, the slow way."""
    kept = [unit for unit in units if len(unit) >= 2]
    pool = [value for unit in kept for value in unit]

    def squared(one: int, other: int) -> float:
        if measurement == "nominal":
            return float(one != other)
        if measurement == "interval":
            return float((one - other) ** 2)
        if measurement == "ratio":
            return ((one - other) / (one + other)) ** 2 if one + other else 0.0
        low, high = min(one, other), max(one, other)
        ranks = sum(pool.count(value) for value in range(low, high + 1))
        return float(ranks - (pool.count(low) + pool.count(high)) / 2) ** 2 if low != high else 0.0

    observed = sum(sum(squared(*pair) for pair in permutations(unit, 2)) / (len(unit) - 1) for unit in kept)
    expected = sum(squared(*pair) for pair in permutations(pool, 2)) / max(1, len(pool) - 1)
    return None if expected == 0 else 1 - observed / expected


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 4), max_size=4), max_size=8),
    st.sampled_from(["nominal", "ordinal", "interval", "ratio"]),
)
def test_equals_its_definition(units: list[list[int]], measurement: Measurement) -> None:
    found = krippendorff_alpha(units, measurement, resamples=0)
    expected = by_definition(units, measurement)
    assert found.alpha == (None if expected is None else pytest.approx(expected, abs=1e-9))


def test_names_are_compared_as_they_are() -> None:
    words = {1.0: "tuned", 2.0: "base", 3.0: "tie", 4.0: "both_bad", 5.0: "other"}
    numbers = units_of(FOUR_OBSERVERS)
    named = krippendorff_alpha([[words[value] for value in unit] for unit in numbers], "nominal")
    assert named.alpha == pytest.approx(krippendorff_alpha(numbers, "nominal").alpha, abs=1e-12)


def test_chance_is_zero_full_agreement_one() -> None:
    generator = np.random.default_rng(0)
    chance = krippendorff_alpha(generator.integers(1, 6, size=(3000, 2)).tolist(), "ordinal", resamples=200)
    assert chance.alpha == pytest.approx(0, abs=0.05)
    assert chance.interval is not None
    assert chance.interval.low < 0 < chance.interval.high
    assert krippendorff_alpha([[1, 1], [2, 2], [5, 5, 5]], "ordinal").alpha == 1
    assert krippendorff_alpha([[1, 2], [2, 1]], "nominal").alpha == pytest.approx(-0.5)


def test_where_nothing_could_be_disagreed_on_it_is_undefined() -> None:
    assert krippendorff_alpha([[3, 3], [3, 3]], "ordinal").alpha is None
    assert krippendorff_alpha([[3], []], "nominal").alpha is None
    assert krippendorff_alpha([], "nominal").alpha is None
    # a resample may hold one value only
    found = krippendorff_alpha([["a", "a"], ["b", "b"], ["a", "b"]], "nominal")
    assert found.alpha is not None
    assert found.interval is None


def test_groups_are_drawn_whole() -> None:
    generator = np.random.default_rng(1)
    single = generator.integers(1, 6, size=(60, 2)).tolist()
    alone = krippendorff_alpha(single, "interval")
    copied = krippendorff_alpha([unit for unit in single for _ in range(4)], "interval")
    grouped = krippendorff_alpha(
        [unit for unit in single for _ in range(4)], "interval", [place // 4 for place in range(240)]
    )

    def width(found: object) -> float:
        interval = found.interval  # type: ignore[attr-defined]
        return float(interval.high - interval.low)

    assert width(copied) == pytest.approx(width(alone) / 2, rel=0.15)
    assert width(grouped) == pytest.approx(width(alone), rel=0.1)


@pytest.mark.parametrize(
    ("units", "measurement"), [([["a", "b"]], "ordinal"), ([[-1, 1]], "ratio"), ([[1, float("nan")]], "interval")]
)
def test_values_that_do_not_fit_are_refused(units: list[list[float | str]], measurement: Measurement) -> None:
    with pytest.raises(ValueError, match="not " + measurement):
        krippendorff_alpha(units, measurement)


def test_a_group_for_each_unit() -> None:
    with pytest.raises(ValueError, match="2 units, but 1 groups"):
        krippendorff_alpha([[1, 1], [2, 2]], "nominal", ["a"])
