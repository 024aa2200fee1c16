from __future__ import annotations

import math

import numpy as np
import pytest

from evalkit.stats.clusters import cluster_robust
from evalkit.stats.crossed import crossed_mean, drawn_mean
from evalkit.stats.intervals import wilson


def test_without_differences_between_draws_it_is_the_error_of_the_documents() -> None:
    values = [0.0, 1.0, 1.0, 0.0, 1.0]
    stderr, interval = crossed_mean([values] * 4)
    expected, limits = cluster_robust(values, range(5))
    assert interval is not None
    assert limits is not None
    assert stderr == pytest.approx(expected)
    assert (interval.low, interval.high) == pytest.approx((limits.low, limits.high))


@pytest.mark.slow
def test_variances_are_those_of_the_analysis_of_variance() -> None:
    """Mean squares from statsmodels' two-way table: Var = (documents + draws - residual) / cells."""
    import pandas
    from statsmodels.formula.api import ols
    from statsmodels.stats.anova import anova_lm

    generator = np.random.default_rng(0)
    table = generator.normal(size=(3, 1)) + generator.normal(size=(1, 8)) + 0.5 * generator.normal(size=(3, 8))
    long = pandas.DataFrame(
        [{"draw": str(i), "document": str(j), "value": table[i, j]} for i in range(3) for j in range(8)]
    )
    squares = anova_lm(ols("value ~ draw + document", long).fit())["mean_sq"]
    expected = math.sqrt((squares["document"] + squares["draw"] - squares["Residual"]) / table.size)
    stderr, _ = crossed_mean(table.tolist())
    assert stderr == pytest.approx(expected)


@pytest.mark.parametrize(("draw_sd", "document_sd"), [(0.0, 1.0), (0.5, 1.0), (0.2, 1.0)])
def test_coverage(draw_sd: float, document_sd: float) -> None:
    """95 % intervals of the mean hold the truth about 95 times in 100 (1,000 tables; standard error 0.7 points)."""
    generator = np.random.default_rng(1)
    held = 0
    for _ in range(1000):
        table = (
            draw_sd * generator.normal(size=(5, 1))
            + document_sd * generator.normal(size=(1, 40))
            + generator.normal(size=(5, 40))
        )
        _, interval = crossed_mean(table.tolist())
        assert interval is not None
        held += interval.low <= 0 <= interval.high
    assert 925 <= held <= 985


def test_clusters_count_as_one_document_does() -> None:
    table = [[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0]]
    clustered, _ = crossed_mean(table, ["a", "a", "b", "b"])
    single, _ = crossed_mean([[0.0, 1.0], [0.0, 1.0]])
    assert clustered == pytest.approx(single)


def test_all_right_has_an_interval() -> None:
    _, interval = crossed_mean([[1.0] * 10] * 3)
    expected = wilson(10, 10)
    assert interval is not None
    assert (interval.low, interval.high) == (expected.low, expected.high)


def test_too_little_to_know() -> None:
    assert crossed_mean([[1.0, 0.0]]) == (None, None)
    assert crossed_mean([[1.0], [0.0]]) == (None, None)
    assert crossed_mean([[1.0, 0.0], [1.0, 1.0]], ["a", "a"]) == (None, None)
    assert drawn_mean([1.0], [0.1], [(0.9, 1.1)]) == (None, None)


def test_scores_of_any_kind() -> None:
    stderr, interval = drawn_mean([20.0, 22.0], [1.0, 3.0], [(18.0, 23.0), (16.0, 29.0)])
    assert stderr == pytest.approx(math.hypot(2.0, 1.0))  # the mean error, and √2 / √2 of the draws
    half = 12.706204736432095  # t(1) · 1
    assert interval is not None
    assert (interval.low, interval.high) == pytest.approx((21 - math.hypot(4, half), 21 + math.hypot(5, half)))
    assert drawn_mean([20.0, 22.0], [None, 3.0], [None, (16.0, 29.0)]) == (None, None)
