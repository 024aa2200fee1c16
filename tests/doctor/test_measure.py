"""How far scores moved."""

from __future__ import annotations

import numpy as np
import pytest

from evalkit.doctor.measure import Choice, compare


def values(*rows: list[float]) -> list[np.ndarray]:
    return [np.array(row, dtype=np.float32) for row in rows]


CHOICES = [Choice(0, 2, (0,)), Choice(2, 2, (1,))]


def test_a_flip_is_counted_with_the_lead_that_it_overcame() -> None:
    before = values([-1.0], [-1.25], [-2.0, -1.0], [-1.0])
    after = values([-1.5], [-1.25], [-2.0, -1.0], [-1.0])
    change = compare(before, after, CHOICES)
    assert (change.flipped, change.questions) == (1, 2)
    assert change.flipped_margin == pytest.approx(0.25)
    assert (change.right_before, change.right_after) == (2, 1)
    assert change.largest_token == pytest.approx(0.5)
    assert change.mean_token == pytest.approx(0.1)
    assert not change.identical


def test_differences_of_one_answer_add_up() -> None:
    change = compare(
        values([-1.0, -1.0], [-9.0], [-1.0], [-2.0]), values([-1.25, -1.25], [-9.0], [-1.0], [-2.0]), CHOICES
    )
    assert (change.largest_token, change.largest_answer, change.flipped) == (0.25, 0.5, 0)
    assert change.flipped_margin is None


def test_the_same_numbers_are_identical() -> None:
    same = values([-1.0], [-2.0], [-1.0], [-2.0])
    assert compare(same, [one.copy() for one in same], CHOICES).identical


def test_what_is_not_a_number_is_no_measurement() -> None:
    good, bad = values([-1.0], [-2.0], [-1.0], [-2.0]), values([-1.0], [-2.0], [-1.0], [float("nan")])
    with pytest.raises(ValueError, match="not finite"):
        compare(good, bad, CHOICES)
