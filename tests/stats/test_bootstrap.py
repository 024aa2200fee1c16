"""The bootstrap against scipy's, and on clusters."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from evalkit.stats.bootstrap import bootstrap

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
