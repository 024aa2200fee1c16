"""The sign-flip test, against scipy's permutation test, McNemar's exact test and plain enumeration."""

from __future__ import annotations

import itertools
import math
import time
import tracemalloc

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.stats.paired import paired_clusters, paired_t, sign_test
from evalkit.stats.signs import sign_flip, sign_flips, tail_bound


def all_flips(sums: list[float]) -> float:
    observed = abs(math.fsum(sums)) - 1e-9
    flips = [
        abs(math.fsum(sign * value for sign, value in zip(signs, sums, strict=True)))
        for signs in itertools.product((1, -1), repeat=len(sums))
    ]
    return sum(flip >= observed for flip in flips) / len(flips)


@given(st.integers(0, 300), st.integers(0, 300), st.integers(0, 20))
def test_right_or_wrong_is_mcnemars_exact_test(wins: int, losses: int, ties: int) -> None:
    differences = [1.0] * wins + [-1.0] * losses + [0.0] * ties
    assert sign_flip(differences) == pytest.approx(sign_test(wins, losses), rel=1e-9)


def test_golden() -> None:
    first, second = [1, 1, 1, 0, 1, 1, 0, 1, 1, 1], [1, 0, 1, 0, 1, 0, 0, 1, 0, 1]
    assert sign_flip([b - a for a, b in zip(first, second, strict=True)]) == 0.25


@settings(max_examples=40)
@given(st.lists(st.floats(-1, 1).map(lambda value: round(value, 3)), min_size=1, max_size=9))
def test_few_differences_are_enumerated(differences: list[float]) -> None:
    assert sign_flip(differences) == pytest.approx(all_flips(differences), abs=1e-12)
    assert sign_flip([-value for value in differences]) == sign_flip(differences)


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from([-1.0, -0.25, 0.0, 0.25, 0.5, 1.0])), min_size=1))
def test_clusters_flip_whole(items: list[tuple[int, float]]) -> None:
    clusters = [cluster for cluster, _ in items]
    sums = [math.fsum(value for cluster, value in items if cluster == name) for name in set(clusters)]
    assert sign_flip([value for _, value in items], clusters) == pytest.approx(all_flips(sums), abs=1e-12)


def test_many_differences_agree_with_scipy_and_the_t_test() -> None:
    differences = np.random.default_rng(8).gamma(1.0, size=60) - 0.78
    expected = scipy.stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=9999, rng=np.random.default_rng(1)
    )
    p = sign_flip(differences.tolist())
    assert p == pytest.approx(expected.pvalue, abs=0.015)  # three standard errors of both simulations
    assert p == pytest.approx(paired_t(differences.tolist()).p, abs=0.03)
    assert p == sign_flip(differences.tolist())
    assert p != sign_flip(differences.tolist(), seed=1)


def test_many_clusters_agree_with_the_cluster_robust_test() -> None:
    generator = np.random.default_rng(2)
    clusters = generator.integers(0, 80, 500)
    differences = generator.normal(size=500) + generator.normal(size=80)[clusters] + 0.25
    expected = paired_clusters(differences.tolist(), clusters.tolist()).p
    assert expected is not None
    assert sign_flip(differences.tolist(), clusters.tolist()) == pytest.approx(expected, abs=0.02)
    assert sign_flip(differences.tolist()) < expected / 2  # alone, the items look better than they are


def test_no_p_is_zero_and_no_difference_is_one() -> None:
    assert sign_flip([0.0] * 30) == 1.0
    assert sign_flip([1.0] * 3000) > 0
    assert 0 < sign_flip((1e3 + np.random.default_rng(0).random(9000)).tolist(), resamples=99) < 1e-300


@pytest.mark.parametrize("seed", range(6))
def test_beyond_the_simulation_p_is_a_bound_that_the_exact_one_never_exceeds(seed: int) -> None:
    """Whole numbers have an exact p; a small shift of each takes that away."""
    generator = np.random.default_rng(seed)
    whole = generator.integers(1, 9, 40) * np.where(generator.random(40) < 0.12, -1.0, 1.0)
    exact = sign_flip(whole.tolist())
    found = sign_flip((whole * (1 + 1e-7 * generator.random(40))).tolist(), resamples=99)
    assert exact < 0.01
    assert exact <= found <= 0.01
    assert found <= max(100 * exact, 1e-6)


@pytest.mark.parametrize("distance", [0.5, 1.0, 2.0, 3.0, 5.0])
def test_the_tail_bound_holds_for_equal_and_unequal_values(distance: float) -> None:
    for sizes in (np.ones(14), np.arange(1.0, 15.0), np.array([10.0] + [1.0] * 13)):
        signs = 1 - 2 * ((np.arange(2**14)[:, None] >> np.arange(14)) & 1)
        reached = distance * math.sqrt(float((sizes**2).sum()))
        assert np.mean(np.abs(signs @ sizes) >= reached - 1e-9) <= tail_bound(reached, float((sizes**2).sum()))


def test_the_tail_bound_is_below_hoeffdings() -> None:
    for distance in (1.5, 2.0, 4.0, 8.0):
        assert tail_bound(distance, 1.0) < 2 * math.exp(-(distance**2) / 2)
    assert tail_bound(0.0, 0.0) == 1.0


def test_sets_together_have_the_p_that_each_has_alone() -> None:
    generator = np.random.default_rng(5)
    sets = [generator.normal(0.1, 1, size) for size in (3, 20, 70, 300, 700, 700, 41)]
    sets += [np.array([1.0, -1.0] * 10 + [1.0] * 20), np.zeros(4), np.array([])]
    assert sign_flips(sets) == pytest.approx([sign_flips([one])[0] for one in sets], abs=1e-15)


def test_p_does_not_depend_on_order_or_side() -> None:
    differences = np.random.default_rng(7).normal(0.2, 1, 90)
    p = sign_flip(differences.tolist())
    assert sign_flip(differences[::-1].tolist()) == p
    assert sign_flip((-differences).tolist()) == p
    assert sign_flip([*differences.tolist(), *[0.0] * 50]) == p


def test_a_large_benchmark_is_quick_and_small() -> None:
    differences = np.random.default_rng(0).normal(size=14_042).tolist()
    sign_flip(differences[:100])
    tracemalloc.start()
    sign_flip(differences, resamples=999)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 50e6
    start = time.process_time()
    sign_flip(differences)
    assert time.process_time() - start < 1.0  # 0.2 s where nothing else runs


def test_a_nan_is_refused() -> None:
    with pytest.raises(ValueError, match="NaN"):
        sign_flip([math.nan])
