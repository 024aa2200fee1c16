from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
import statsmodels.api
from hypothesis import given
from hypothesis import strategies as st

from evalkit.stats.clusters import cluster_robust
from evalkit.stats.paired import mcnemar_mid_p, paired_clusters, paired_t, sign_test


@pytest.mark.parametrize(
    ("wins", "losses", "p"), [(12, 4, 0.049042), (3, 0, 0.125), (6, 1, 0.070313), (25, 10, 0.011331), (0, 0, 1.0)]
)
def test_golden_mid_p(wins: int, losses: int, p: float) -> None:
    assert mcnemar_mid_p(wins, losses) == pytest.approx(p, abs=1e-6)


@given(st.integers(0, 300), st.integers(0, 300))
def test_mid_p_is_that_of_the_binomial_distribution(wins: int, losses: int) -> None:
    half = scipy.stats.binom(wins + losses, 0.5)
    fewer = min(wins, losses)
    assert mcnemar_mid_p(wins, losses) == pytest.approx(2 * half.cdf(fewer) - half.pmf(fewer), rel=1e-9)
    assert mcnemar_mid_p(wins, losses) == mcnemar_mid_p(losses, wins)
    assert 0 < mcnemar_mid_p(wins, losses) <= sign_test(wins, losses) <= 1


@given(st.integers(0, 200), st.integers(0, 200))
def test_more_evidence_gives_a_smaller_p(wins: int, losses: int) -> None:
    more, fewer = max(wins, losses), min(wins, losses)
    assert mcnemar_mid_p(more + 1, fewer) < mcnemar_mid_p(more, fewer)
    assert sign_test(more + 1, fewer) <= sign_test(more, fewer)


def test_no_p_is_zero() -> None:
    assert sign_test(5000, 0) > 0
    assert mcnemar_mid_p(0, 5000) > 0
    almost_constant = [1.0] * 50 + [1.0 + 1e-9]
    assert paired_t(almost_constant).p is not None
    assert (paired_t(almost_constant).p or 0) > 0


def test_golden_paired_t() -> None:
    first = [1, 1, 1, 0, 1, 1, 0, 1, 1, 1]
    second = [1, 0, 1, 0, 1, 0, 0, 1, 0, 1]
    result = paired_t([a - b for a, b in zip(first, second, strict=True)])
    assert (result.n, result.mean) == (10, pytest.approx(0.3))
    assert result.stderr == pytest.approx(0.152753, abs=1e-6)
    assert result.p == pytest.approx(0.081126, abs=1e-6)
    assert result.mean / (result.stderr or math.nan) == pytest.approx(1.963961, abs=1e-6)


@given(st.lists(st.floats(-3, 3).map(lambda value: round(value, 3)), min_size=2, max_size=30))
def test_paired_t_equals_scipy_and_turns_with_the_sides(differences: list[float]) -> None:
    result, turned = paired_t(differences), paired_t([-value for value in differences])
    assert result.p == pytest.approx(turned.p, rel=1e-9)
    if result.interval is None or turned.interval is None:
        assert len(set(differences)) == 1
        return
    expected = scipy.stats.ttest_1samp(differences, 0)
    limits = expected.confidence_interval(0.95)
    assert result.p == pytest.approx(expected.pvalue, rel=1e-6)
    assert (result.interval.low, result.interval.high) == pytest.approx((limits.low, limits.high), rel=1e-6)
    assert result.interval.low < result.mean < result.interval.high
    assert (turned.interval.low, turned.interval.high) == pytest.approx((-result.interval.high, -result.interval.low))


def test_clusters_of_one_size_equal_statsmodels() -> None:
    generator = np.random.default_rng(4)
    clusters = generator.permutation(np.repeat(np.arange(15), 6))
    differences = generator.normal(size=90) + 0.4 * generator.normal(size=15)[clusters] + 0.2
    fit = statsmodels.api.OLS(differences, np.ones(90)).fit(
        cov_type="cluster", cov_kwds={"groups": clusters}, use_t=True
    )
    result = paired_clusters(differences.tolist(), clusters.tolist())
    assert result.interval is not None
    assert result.stderr == pytest.approx(fit.bse[0], rel=1e-9)
    assert result.p == pytest.approx(fit.pvalues[0], rel=1e-9)
    assert (result.interval.low, result.interval.high) == pytest.approx(tuple(fit.conf_int()[0]), rel=1e-9)


@pytest.mark.parametrize("count", [5, 10, 50])
def test_clusters_of_one_size_have_the_usual_degrees_of_freedom(count: int) -> None:
    clusters = np.repeat(np.arange(count), 4).tolist()
    values = np.random.default_rng(count).normal(size=4 * count).tolist()
    stderr, interval = cluster_robust(values, clusters)
    found = paired_clusters(values, clusters)
    assert found.degrees == pytest.approx(count - 1, rel=1e-9)
    assert found.stderr == pytest.approx(stderr, rel=1e-9)
    assert found.interval is not None
    assert interval is not None
    assert (found.interval.low, found.interval.high) == pytest.approx((interval.low, interval.high), rel=1e-9)


@pytest.mark.parametrize("sizes", [[3, 3, 3], [7, 2, 2, 1], [1, 2, 3, 4, 5, 6], [30, 30, 1, 1, 1]])
def test_clusters_of_unequal_size_equal_the_matrices(sizes: list[int]) -> None:
    """Bell & McCaffrey's quadratic form of the items, written out, with clusters that go together entirely."""
    clusters = np.repeat(np.arange(len(sizes)), sizes)
    n = len(clusters)
    values = np.random.default_rng(n).normal(size=n)
    centred = np.eye(n) - np.ones((n, n)) / n
    covariance = (clusters[:, None] == clusters[None, :]).astype(float)
    form = np.zeros((n, n))
    for cluster, size in enumerate(sizes):
        row = (clusters == cluster) @ centred
        form += np.outer(row, row) * size**2 / (row @ covariance @ row) / n**2
    product = form @ covariance
    found = paired_clusters(values.tolist(), clusters.tolist())
    assert found.stderr == pytest.approx(math.sqrt(values @ form @ values), rel=1e-9)
    assert found.degrees == pytest.approx(np.trace(product) ** 2 / np.trace(product @ product), rel=1e-9)
    # unbiased: the variance of the mean, for clusters whose means have variance 1
    assert np.trace(product) == pytest.approx(sum(size**2 for size in sizes) / n**2, rel=1e-9)


@pytest.mark.parametrize(
    "sizes", [[200, 10, 10, 10, 10], [200, 200, 5, 5], [300] + [10] * 10, [400] + [20] * 20, [200] + [10] * 4, [5] * 5]
)
def test_no_more_false_alarms_than_said_whatever_the_sizes(sizes: list[int]) -> None:
    """CR1 with t(C - 1) had up to 68 % of them."""
    generator = np.random.default_rng(0)
    clusters = np.repeat(np.arange(len(sizes)), sizes)
    names, alarms = clusters.tolist(), 0
    for _ in range(300):
        values = generator.normal(size=len(sizes))[clusters] + 0.5 * generator.normal(size=len(clusters))
        p = paired_clusters(values.tolist(), names).p
        alarms += p is not None and p < 0.05
    assert alarms <= 24  # 5 % of 300 and 2.4 standard errors


@pytest.mark.parametrize(
    ("differences", "p"),
    [([1.0, 1.0, 1.0], 0.25), ([0.0] * 20, 1.0), ([0.1] * 6, 2 / 64), ([0.1 + 0.2, 0.3, 0.3], 0.25), ([2.0], None)],
)
def test_without_variance_there_is_no_interval_and_p_is_exact(differences: list[float], p: float | None) -> None:
    """lmms-eval has p = 0 and an interval [1, 1] for three pairs that all flip."""
    result = paired_t(differences)
    assert (result.stderr, result.interval, result.p) == (None, None, p)


def test_clusters_that_all_say_the_same() -> None:
    result = paired_clusters([1, 0, 1, 0, 1, 0], ["a", "a", "b", "b", "c", "c"])
    assert (result.stderr, result.interval, result.p) == (None, None, 0.25)
    assert paired_clusters([1, -1, 1, -1], ["a", "a", "b", "b"]).p == 1.0
    assert paired_clusters([1, 0, 1], ["a", "a", "a"]).p is None


@pytest.mark.parametrize(("differences", "message"), [([], "no differences"), ([math.nan, 1.0], "NaN")])
def test_refusals(differences: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        paired_t(differences)
    with pytest.raises(ValueError, match="2 values, but 1 clusters"):
        paired_clusters([1.0, 0.0], ["a"])
