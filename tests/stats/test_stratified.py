from __future__ import annotations

import numpy as np
import pytest

from evalkit.stats.paired import tango
from evalkit.stats.stratified import Stratum, stratified_tango


def stratum(weight: float, wins: int, losses: int, n: int) -> Stratum:
    return Stratum(weight, n, (wins - losses) / n, (wins + losses) / n)


def test_one_stratum_is_tangos_interval() -> None:
    found, expected = stratified_tango([stratum(1.0, 12, 4, 100)]), tango(12, 4, 100)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_documents_that_count_alike_are_one_pool() -> None:
    strata = [stratum(0.2, 5, 1, 20), stratum(0.5, 3, 9, 50), stratum(0.3, 0, 0, 30)]
    found, expected = stratified_tango(strata), tango(8, 10, 100)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_no_change_has_the_width_of_the_effective_number() -> None:
    found = stratified_tango([stratum(0.5, 0, 0, 100), stratum(0.5, 0, 0, 1000)])
    effective = 1 / (0.25 / 100 + 0.25 / 1000)
    z2 = 1.959964**2
    assert found.high == pytest.approx(z2 / (effective + z2), rel=1e-6)
    assert found.low == pytest.approx(-found.high)


def test_strata_of_one_pair_and_total_change_stay_within_the_range() -> None:
    found = stratified_tango([stratum(0.25, 1, 0, 1)] * 4)
    assert found.high == 1.0
    assert 0 < found.low < 1
    mixed = stratified_tango([stratum(0.9, 0, 1, 1), stratum(0.1, 50, 0, 50)])
    assert -1 <= mixed.low < mixed.high <= 1


def test_it_covers_as_often_as_it_says() -> None:
    generator = np.random.default_rng(0)
    sizes = [20] * 40
    covered = 0
    for _ in range(400):
        draws = [generator.multinomial(n, [0.08, 0.04, 0.88]) for n in sizes]
        strata = [stratum(1 / 40, int(w), int(lost), n) for (w, lost, _), n in zip(draws, sizes, strict=True)]
        found = stratified_tango(strata)
        covered += found.low <= 0.04 <= found.high
    assert 0.92 <= covered / 400 <= 0.98


def test_a_small_stratum_that_makes_the_variance_is_not_taken_for_many_pairs() -> None:
    """The effective number of pairs, 39.6, would be told by the ten pairs of one stratum: that covers 0.906."""
    generator = np.random.default_rng(2)
    held = 0
    for _ in range(600):
        tables = [generator.multinomial(n, [0.5, 0.1, 0.4]) for n in (10, 1000)]
        strata = [stratum(0.5, int(w), int(lost), int(w + lost + same)) for w, lost, same in tables]
        found = stratified_tango(strata)
        held += found.low <= 0.4 <= found.high
    assert found.method == "mover of tango scores"
    assert held / 600 >= 0.94
    assert stratified_tango([stratum(0.5, 5, 1, 20), stratum(0.5, 3, 2, 20)]).method == "stratified tango score"


def test_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="without pairs"):
        stratified_tango([])
