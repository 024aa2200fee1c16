from __future__ import annotations

import math

import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.contingency_tables import mcnemar

from evalkit.stats.intervals import wilson
from evalkit.stats.paired import sign_test, tango


@pytest.mark.parametrize(
    ("wins", "losses", "n", "low", "high"),
    [
        (12, 4, 100, 0.00178, 0.16559),
        (3, 0, 10, -0.06079, 0.60322),
        (25, 10, 500, 0.0072, 0.05516),
        (12, 2, 50, 0.0611, 0.3447),
        (0, 0, 20, -0.16113, 0.16113),
        (0, 0, 100, -0.03699, 0.03699),
    ],
)
def test_golden_tango(wins: int, losses: int, n: int, low: float, high: float) -> None:
    interval = tango(wins, losses, n)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=6e-5)


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 60))
def test_tango_holds_the_estimate_and_turns_with_the_sides(wins: int, losses: int, ties: int) -> None:
    n = wins + losses + ties
    if n == 0:
        return
    interval, turned = tango(wins, losses, n), tango(losses, wins, n)
    assert -1 <= interval.low <= (wins - losses) / n <= interval.high <= 1
    assert (interval.low, interval.high) == pytest.approx((-turned.high, -turned.low), abs=1e-9)


@given(st.integers(1, 200), st.data())
def test_without_ties_it_is_wilsons(n: int, data: st.DataObject) -> None:
    wins = data.draw(st.integers(0, n))
    interval, share = tango(wins, n - wins, n), wilson(wins, n)
    assert ((1 + interval.low) / 2, (1 + interval.high) / 2) == pytest.approx((share.low, share.high), abs=1e-9)


def test_at_its_limit_mcnemars_statistic_is_critical() -> None:
    # wins - losses = z √(wins + losses): the interval ends at no difference
    z = scipy.stats.norm.ppf(0.975)
    wins = 10 + (z**2 + z * math.sqrt(z**2 + 80)) / 2
    assert tango(wins, 10, 200).low == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(("wins", "losses", "n"), [(1, 0, 0), (-1, 0, 5), (3, 3, 5)])
def test_what_is_no_table_is_refused(wins: int, losses: int, n: int) -> None:
    with pytest.raises(ValueError, match="not a paired table"):
        tango(wins, losses, n)


@pytest.mark.parametrize(
    ("wins", "losses", "p"), [(12, 4, 0.076813), (3, 0, 0.25), (6, 1, 0.125), (25, 10, 0.016674), (0, 0, 1.0)]
)
def test_golden_sign_test(wins: int, losses: int, p: float) -> None:
    assert sign_test(wins, losses) == pytest.approx(p, abs=1e-6)


@given(st.integers(0, 400), st.integers(0, 400))
def test_sign_test_equals_scipy_and_statsmodels(wins: int, losses: int) -> None:
    expected = mcnemar([[0, wins], [losses, 0]], exact=True).pvalue if wins + losses else 1.0
    assert sign_test(wins, losses) == pytest.approx(expected, rel=1e-9)
    if wins + losses:
        assert sign_test(wins, losses) == pytest.approx(scipy.stats.binomtest(wins, wins + losses).pvalue, rel=1e-9)


def test_negative_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        sign_test(-1, 3)
