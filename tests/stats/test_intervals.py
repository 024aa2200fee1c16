from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
import scipy.stats
from statsmodels.stats.proportion import proportion_confint

from evalkit.stats.intervals import Interval, clopper_pearson, rule_of_three, standard_error, student_t, wilson


def limits(interval: Interval | None) -> tuple[float, float]:
    assert interval is not None
    return interval.low, interval.high


@pytest.mark.parametrize(
    ("successes", "n", "wilson_limits", "clopper_pearson_limits"),
    [
        (70, 100, (0.604151, 0.781051), (0.600185, 0.787594)),
        (0, 10, (0, 0.277533), (0, 0.308497)),
        (10, 10, (0.722467, 1), (0.691503, 1)),
        (28, 30, (0.786765, 0.981523), (0.779265, 0.991822)),
    ],
)
def test_golden_proportions(
    successes: int, n: int, wilson_limits: tuple[float, float], clopper_pearson_limits: tuple[float, float]
) -> None:
    assert limits(wilson(successes, n)) == pytest.approx(wilson_limits, abs=1e-6)
    assert limits(clopper_pearson(successes, n)) == pytest.approx(clopper_pearson_limits, abs=1e-6)


@pytest.mark.parametrize(("n", "level"), list(product((1, 2, 7, 50), (0.9, 0.95, 0.999))))
def test_proportions_equal_scipy_and_statsmodels(n: int, level: float) -> None:
    for successes in range(n + 1):
        test = scipy.stats.binomtest(successes, n)
        for ours, scipys, statsmodels in ((wilson, "wilson", "wilson"), (clopper_pearson, "exact", "beta")):
            got = limits(ours(successes, n, level))
            expected = test.proportion_ci(level, method=scipys)
            assert got == pytest.approx((expected.low, expected.high), abs=1e-12)
            assert got == pytest.approx(proportion_confint(successes, n, 1 - level, method=statsmodels), abs=1e-9)


def test_the_ends_are_exact() -> None:
    for n in range(1, 200):
        assert wilson(0, n).low == 0.0
        assert wilson(n, n).high == 1.0


@pytest.mark.parametrize(("successes", "n"), [(1, 0), (-1, 3), (4, 3), (math.nan, 3)])
def test_what_is_no_proportion_is_refused(successes: float, n: int) -> None:
    with pytest.raises(ValueError, match="not a proportion"):
        wilson(successes, n)


def test_standard_error_golden_and_scipy() -> None:
    values = [1.0] * 70 + [0.0] * 30
    assert standard_error(values) == pytest.approx(0.046057, abs=1e-6)
    assert standard_error(values) == pytest.approx(math.sqrt(0.7 * 0.3 / 99), rel=1e-12)
    assert standard_error(values) == pytest.approx(scipy.stats.sem(values), rel=1e-12)


def test_three_items_of_four_samples_are_three_values() -> None:
    assert standard_error([0.75, 0.25, 1.0]) == pytest.approx(0.220479, abs=1e-6)


def test_one_value_has_no_spread() -> None:
    assert standard_error([0.3]) is None
    assert standard_error([]) is None
    assert student_t([0.3]) is None
    assert student_t([0.3, 0.3, 0.3]) is None  # no variance to see


def test_student_t_equals_scipy() -> None:
    values = np.random.default_rng(0).normal(size=13).tolist()
    expected = scipy.stats.ttest_1samp(values, 0).confidence_interval(0.9)
    assert limits(student_t(values, 0.9)) == pytest.approx((expected.low, expected.high), rel=1e-12)


def test_nan_is_refused() -> None:
    with pytest.raises(ValueError, match="NaN"):
        standard_error([0.1, math.nan])


def coverage(interval: object, n: int, proportion: float) -> float:
    """Exact: the probability of all numbers of successes whose interval holds the true proportion."""
    assert callable(interval)
    held = [k for k in range(n + 1) if interval(k, n).low <= proportion <= interval(k, n).high]
    return float(sum(scipy.stats.binom.pmf(held, n, proportion)))


@pytest.mark.parametrize(
    ("n", "proportion", "of_wilson", "of_clopper_pearson"),
    [(10, 0.8, 0.967, 0.994), (10, 0.95, 0.914, 0.988), (30, 0.95, 0.939, 0.984), (1000, 0.95, 0.950, 0.958)],
)
def test_exact_coverage(n: int, proportion: float, of_wilson: float, of_clopper_pearson: float) -> None:
    """The table of research; value ± 1.96 standard errors has .886, .400, .782, .942 in these places."""
    assert coverage(wilson, n, proportion) == pytest.approx(of_wilson, abs=6e-4)
    assert coverage(clopper_pearson, n, proportion) == pytest.approx(of_clopper_pearson, abs=6e-4)


def test_clipped() -> None:
    interval = Interval(-0.1, 1.2, 0.95, "t")
    assert limits(interval.clipped(0, 1)) == (0, 1)


def test_rule_of_three() -> None:
    assert rule_of_three(300) == pytest.approx(3 / 300, rel=0.01)
    for n in (1, 10, 500):
        assert rule_of_three(n) == pytest.approx(1 - 0.05 ** (1 / n), rel=1e-12)
        assert rule_of_three(n) == pytest.approx(clopper_pearson(0, n, 0.9).high, rel=1e-9)  # its one-sided half
