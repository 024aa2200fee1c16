from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from evalkit.stats.multiple import benjamini_hochberg, benjamini_yekutieli, holm

GOLDEN = [0.001, 0.008, 0.039, 0.041, 0.042, 0.06, 0.074, 0.205, 0.212, 0.216]
Adjustment = Callable[[list[float]], list[float]]


@pytest.mark.parametrize(
    ("adjust", "expected"),
    [
        (holm, [0.01, 0.072, *[0.312] * 5, *[0.615] * 3]),
        (benjamini_hochberg, [0.01, 0.04, 0.084, 0.084, 0.084, 0.1, 0.1057, *[0.216] * 3]),
        (benjamini_yekutieli, [0.0293, 0.1172, 0.246, 0.246, 0.246, 0.2929, 0.3096, *[0.6327] * 3]),
    ],
)
def test_golden(adjust: Adjustment, expected: list[float]) -> None:
    assert adjust(GOLDEN) == pytest.approx(expected, abs=6e-5)
    assert adjust(GOLDEN[::-1]) == adjust(GOLDEN)[::-1]


@settings(max_examples=10)  # statsmodels takes 0.2 s
@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_equal_statsmodels_and_scipy(p_values: list[float]) -> None:
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1], rel=1e-9)
    for ours, statsmodels, scipys in ((benjamini_hochberg, "fdr_bh", "bh"), (benjamini_yekutieli, "fdr_by", "by")):
        got = ours(p_values)
        assert got == pytest.approx(multipletests(p_values, method=statsmodels)[1], rel=1e-9)
        assert got == pytest.approx(scipy.stats.false_discovery_control(p_values, method=scipys), rel=1e-9)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_order_of_strictness(p_values: list[float]) -> None:
    ours, exploring = np.array(holm(p_values)), np.array(benjamini_hochberg(p_values))
    raw = np.array(p_values)
    assert (ours >= raw).all()
    assert (ours <= 1).all()
    assert (exploring >= raw).all()
    assert (exploring <= ours + 1e-12).all()
    assert (ours <= np.minimum(1, raw * len(raw)) + 1e-12).all()


@pytest.mark.parametrize("adjust", [holm, benjamini_hochberg, benjamini_yekutieli])
def test_what_is_no_probability_is_refused(adjust: Adjustment) -> None:
    assert adjust([]) == []
    assert adjust([0.03]) == [0.03]
    for wrong in (math.nan, -0.1, 1.1):
        with pytest.raises(ValueError, match="not probabilities"):
            adjust([0.2, wrong])
