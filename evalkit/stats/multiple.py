"""Many tests at once: p adjusted so that it can be held against the level as if it were the only one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down p (Holm 1979): for a gate, where not one false alarm is wanted.

    p_(i) -> max_{j <= i} min(1, (m - j + 1) p_(j)). The chance of any false alarm among the tests below the level is at
    most the level, however the tests depend on each other. It never rejects less than Bonferroni.

    Raises:
        ValueError: A value is not a probability.
    """
    array, order = _sorted(p_values)
    factors = np.arange(len(array), 0, -1)
    return _unsorted(np.maximum.accumulate(factors * array), order)


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Benjamini & Hochberg's (1995) step-up p: for exploration, where some false alarms are affordable.

    p_(i) -> min_{j >= i} min(1, m p_(j) / j). Among the tests below the level, the share of false alarms is on average at
    most the level, if the tests are independent or depend on each other positively.

    Raises:
        ValueError: A value is not a probability.
    """
    array, order = _sorted(p_values)
    return _unsorted(_step_up(array), order)


def benjamini_yekutieli(p_values: Sequence[float]) -> list[float]:
    """Benjamini & Yekutieli's (2001) p: as `benjamini_hochberg`, for any dependence; Σ_{k <= m} 1 / k times as large.

    Raises:
        ValueError: A value is not a probability.
    """
    array, order = _sorted(p_values)
    return _unsorted(_step_up(array) * math.fsum(1 / k for k in range(1, len(array) + 1)), order)


def _step_up(array: np.ndarray[tuple[int], np.dtype[np.float64]]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    count = len(array)
    return np.minimum.accumulate((array * (count / np.arange(1, count + 1)))[::-1])[::-1]


def _sorted(
    p_values: Sequence[float],
) -> tuple[np.ndarray[tuple[int], np.dtype[np.float64]], np.ndarray[tuple[int], np.dtype[np.intp]]]:
    array = np.asarray(p_values, dtype=np.float64)
    if not ((array >= 0) & (array <= 1)).all():
        raise ValueError(f"not probabilities: {list(p_values)}")
    order = np.argsort(array, kind="stable")
    return array[order], order


def _unsorted(
    array: np.ndarray[tuple[int], np.dtype[np.float64]], order: np.ndarray[tuple[int], np.dtype[np.intp]]
) -> list[float]:
    result = np.empty(len(array))
    result[order] = np.minimum(array, 1.0)
    return [float(value) for value in result]
