"""The bootstrap against scipy's, and on clusters."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from evalkit.stats.bootstrap import bca_bootstrap, bootstrap

Statistics = npt.NDArray[np.float64]


def ratio(rows: Statistics) -> float:
    above, below = rows.sum(axis=0)
    return float(above / below)


def test_a_ratio_of_sums_as_scipy_has_it() -> None:
    generator = np.random.default_rng(3)
    below = generator.integers(20, 200, 150).astype(float)
    rows = np.stack([below * generator.uniform(0.2, 0.6, 150), below], axis=1)
    stderr, interval = bootstrap(rows.tolist(), [[place] for place in range(150)], ratio, 4000)
    expected = stats.bootstrap(
        (rows[:, 0], rows[:, 1]),
        lambda a, b, axis: a.sum(axis=axis) / b.sum(axis=axis),
        paired=True,
        n_resamples=4000,
        method="percentile",
        rng=np.random.default_rng(1),
    )
    assert stderr == pytest.approx(expected.standard_error, rel=0.06)
    assert interval is not None
    width = expected.confidence_interval.high - expected.confidence_interval.low
    assert interval.low == pytest.approx(expected.confidence_interval.low, abs=0.06 * width)
    assert interval.high == pytest.approx(expected.confidence_interval.high, abs=0.06 * width)


def test_documents_of_a_cluster_are_drawn_together() -> None:
    generator = np.random.default_rng(5)
    clusters = np.repeat(generator.uniform(0, 1, 12), 10)  # ten documents that all say the same
    rows = np.stack([clusters, np.ones(120)], axis=1).tolist()
    alone, _ = bootstrap(rows, [[place] for place in range(120)], ratio, 2000)
    together, _ = bootstrap(rows, [list(range(start, start + 10)) for start in range(0, 120, 10)], ratio, 2000)
    assert together == pytest.approx(alone * np.sqrt(10), rel=0.1)


def test_the_same_draws_every_time() -> None:
    rows = [[float(value), 1.0] for value in range(9)]
    groups = [[place] for place in range(9)]
    assert bootstrap(rows, groups, ratio, 50) == bootstrap(rows, groups, ratio, 50)
    assert bootstrap(rows, groups, ratio, 50, seed=1) != bootstrap(rows, groups, ratio, 50)


def test_bca_of_a_skewed_mean_and_of_a_ratio_as_scipy_has_it() -> None:
    generator = np.random.default_rng(4)
    below = generator.integers(20, 200, 60).astype(float)
    rows = np.stack([below * generator.gamma(0.5, 1, 60), below], axis=1)
    interval = bca_bootstrap(rows, ratio, 4000, level=0.9)
    expected = stats.bootstrap(
        (rows[:, 0], rows[:, 1]),
        lambda a, b, axis: a.sum(axis=axis) / b.sum(axis=axis),
        paired=True,
        n_resamples=4000,
        confidence_level=0.9,
        method="BCa",
        rng=np.random.default_rng(1),
    ).confidence_interval
    assert interval is not None
    assert interval.method == "BCa bootstrap"
    assert (interval.low, interval.high) == pytest.approx(
        (expected.low, expected.high), abs=0.06 * (expected.high - expected.low)
    )
    percentile = np.quantile([ratio(rows[generator.integers(0, 60, 60)]) for _ in range(2000)], [0.05, 0.95])
    assert interval.high > percentile[1] + 0.01  # the skew moves it


def log_variance(values: Statistics, axis: int = -1) -> Statistics:
    return np.asarray(np.log(np.var(values, axis=axis)))


def test_bca_of_a_biased_statistic_as_scipy_has_it() -> None:
    values = np.random.default_rng(11).exponential(size=8)
    interval = bca_bootstrap(values, lambda rows: float(log_variance(rows)), 4000)
    expected = stats.bootstrap(
        (values,), log_variance, n_resamples=4000, method="BCa", rng=np.random.default_rng(1)
    ).confidence_interval
    assert interval is not None
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), abs=0.04)


def test_bca_over_groups() -> None:
    generator = np.random.default_rng(7)
    shifts = np.repeat(generator.normal(size=20), 5)
    values = shifts + 0.1 * generator.normal(size=100)
    groups = [list(range(start, start + 5)) for start in range(0, 100, 5)]
    interval = bca_bootstrap(values, lambda rows: float(rows.mean()), 2000, groups=groups)
    means = values.reshape(20, 5).mean(axis=1)
    expected = bca_bootstrap(means, lambda rows: float(rows.mean()), 2000)
    assert interval is not None
    assert expected is not None
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))


def test_bca_where_it_is_not_defined() -> None:
    assert bca_bootstrap([1.0] * 9, lambda rows: float(rows.mean()), 200) is None
    highest = bca_bootstrap([1.0, 2.0, 3.0, 4.0, 9.0], lambda rows: float(rows.max()), 200)
    assert highest is not None
    medians = bca_bootstrap([0.0, 0.0, 0.0, 0.0, 1.0], lambda rows: float(np.median(rows)), 500)
    assert medians is not None
    assert medians.method == "percentile bootstrap (BCa undefined)"
    with pytest.raises(ValueError, match="needs two"):
        bca_bootstrap([1.0], lambda rows: float(rows.mean()), 200)
