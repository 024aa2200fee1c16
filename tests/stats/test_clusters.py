from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api

from evalkit.stats.clusters import cluster_robust, cluster_sums
from evalkit.stats.intervals import standard_error, student_t


def test_golden() -> None:
    values = [1, 1, 0, 0, 0, 1, 1, 1, 0, 1]
    clusters = ["a", "a", "a", "b", "b", "c", "c", "c", "d", "d"]
    stderr, interval = cluster_robust(values, clusters)
    assert stderr == pytest.approx(0.198662, abs=1e-6)
    assert interval is not None
    assert (interval.low, interval.high) == pytest.approx((-0.032232, 1.232232), abs=1e-6)


def test_equals_statsmodels() -> None:
    rng = np.random.default_rng(1)
    clusters = rng.integers(0, 9, 60)
    values = rng.normal(size=60) + clusters
    model = statsmodels.api.OLS(values, np.ones(60))
    fit = model.fit(cov_type="cluster", cov_kwds={"groups": clusters}, use_t=True)
    stderr, interval = cluster_robust(values.tolist(), clusters.tolist())
    assert stderr == pytest.approx(fit.bse[0], rel=1e-9)
    assert interval is not None
    assert (interval.low, interval.high) == pytest.approx(tuple(fit.conf_int()[0]), rel=1e-9)


def test_a_cluster_an_item_is_the_plain_error() -> None:
    values = [0.1, 0.5, 0.2, 0.9]
    stderr, interval = cluster_robust(values, range(4))
    plain = student_t(values)
    assert stderr == pytest.approx(standard_error(values))
    assert interval is not None
    assert plain is not None
    assert interval.low == pytest.approx(plain.low)


def test_one_cluster_says_nothing() -> None:
    assert cluster_robust([0, 1, 1], ["a", "a", "a"]) == (None, None)


def test_sums_follow_first_appearance() -> None:
    assert cluster_sums([1, 2, 4, 8], ["b", "a", "b", "c"]).tolist() == [5, 2, 8]


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="3 values, but 2 clusters"):
        cluster_robust([0, 1, 1], ["a", "b"])
