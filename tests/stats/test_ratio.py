from __future__ import annotations

import math

import numpy as np
import pytest
import statsmodels.api

from evalkit.stats.intervals import standard_error
from evalkit.stats.ratio import ratio_of_sums


def test_equals_weighted_least_squares() -> None:
    """R is the slope of a on b through the origin with weights 1/b; its robust (HC0) error is the delta method's."""
    rng = np.random.default_rng(2)
    below = rng.integers(20, 900, 40).astype(float)
    above = -3.1 * below + rng.normal(size=40) * below**0.7
    fit = statsmodels.api.WLS(above, below, weights=1 / below).fit(cov_type="HC0")
    got = ratio_of_sums(above.tolist(), below.tolist())
    assert got.value == pytest.approx(fit.params[0], rel=1e-12)
    assert got.stderr == pytest.approx(fit.bse[0] * math.sqrt(40 / 39), rel=1e-9)


def test_equal_denominators_are_a_mean() -> None:
    values = [1.0, 4.0, 2.0]
    got = ratio_of_sums(values, [2.0, 2.0, 2.0])
    error = standard_error(values)
    assert error is not None
    assert got.stderr == pytest.approx(error / 2)


def test_clusters_are_summed_first() -> None:
    got = ratio_of_sums([1, 2, 3, 5], [1, 1, 2, 3], clusters=["a", "a", "b", "b"])
    expected = ratio_of_sums([3, 8], [2, 5])
    assert got.value == expected.value
    assert got.stderr == pytest.approx(expected.stderr, rel=1e-12)


def test_one_document_has_no_error() -> None:
    got = ratio_of_sums([-30.0], [10.0])
    assert (got.value, got.stderr, got.interval) == (-3.0, None, None)


@pytest.mark.parametrize(
    ("above", "below", "message"),
    [
        ([1.0], [1.0, 2.0], "1 numerators"),
        ([math.nan], [1.0], "NaN"),
        ([0.0], [0.0], "do not sum to a positive number"),
    ],
)
def test_refusals(above: list[float], below: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ratio_of_sums(above, below)


def test_coverage() -> None:
    """Documents of very unequal length, their rates correlated with it: nominal 95 %.

    The error of the mean of single rates, which ignores the lengths, aims at another number and covers next to never.
    """
    rng = np.random.default_rng(3)
    draws, documents = 1500, 60
    lengths = rng.lognormal(5, 0.8, (draws, documents))
    rates = -3 - 0.2 * np.log(lengths / 150) + rng.normal(0, 0.4, lengths.shape)
    truth = -3 - 0.2 * (0.8**2 + 5 - math.log(150))  # E[a] / E[b] of the lognormal
    held = naive = 0
    for above, below in zip(lengths * rates, lengths, strict=True):
        interval = ratio_of_sums(above, below).interval
        assert interval is not None
        held += interval.low <= truth <= interval.high
        single = above / below
        naive += abs(single.mean() - truth) <= 2 * single.std(ddof=1) / math.sqrt(documents)
    assert 0.92 <= held / draws <= 0.97
    assert naive / draws < 0.7
