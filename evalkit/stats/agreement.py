"""Do several raters mean the same? Krippendorff's alpha, for any number of raters and with gaps."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt

from evalkit.stats.bootstrap import bootstrap
from evalkit.stats.intervals import Interval

Measurement = Literal["nominal", "ordinal", "interval", "ratio"]
Matrix = npt.NDArray[np.float64]

RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far raters agree beyond chance.

    Attributes:
        alpha: 1 for full agreement, 0 for what chance gives, below 0 for systematic disagreement; None where it is not
            defined: no unit was rated twice, or all ratings are the same value, so that nothing could be disagreed on.
        interval: 95 % percentile bootstrap interval over units; None where a resample of them has no defined alpha.
        measurement: Level of measurement.
        units: Number of units with two or more ratings.
        pairable: Number of ratings of these units.
    """

    alpha: float | None
    interval: Interval | None
    measurement: Measurement
    units: int
    pairable: int


def krippendorff_alpha(
    units: Sequence[Sequence[float | str]],
    measurement: Measurement,
    groups: Sequence[Hashable] | None = None,
    resamples: int = RESAMPLES,
) -> Agreement:
    """Krippendorff's alpha (Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability").

    alpha = 1 - D_o / D_e, both from the matrix of coincidences: each unit rated m times adds 1 / (m - 1) for every
    ordered pair of its ratings. D_o weighs the observed coincidences by the squared difference of their values, D_e those
    that chance gives with the same number of each value.

    Args:
        units: The ratings of each unit, by whomever; a unit with fewer than two says nothing of agreement.
        measurement: What a difference means. Of `nominal` values (any names) only whether they are equal; the others
            need numbers, `ratio` not negative ones.
        groups: For each unit what it belongs to; whole groups are resampled. By default each unit stands alone.
        resamples: Bootstrap samples; 0 leaves the interval out.

    Raises:
        ValueError: Not a group a unit, or values do not fit the level of measurement.
    """
    if groups is not None and len(groups) != len(units):
        raise ValueError(f"{len(units)} units, but {len(groups)} groups")
    kept = [place for place, unit in enumerate(units) if len(unit) >= 2]
    values = _values([units[place] for place in kept], measurement)
    pairable = sum(len(units[place]) for place in kept)
    if not kept:
        return Agreement(None, None, measurement, 0, 0)
    size = len(values)
    coincidences = np.stack([_coincidences(units[place], values).ravel() for place in kept])

    def score(rows: Matrix) -> float:
        return _alpha(rows.sum(axis=0).reshape(size, size), values, measurement)

    alpha = score(coincidences)
    if math.isnan(alpha):
        return Agreement(None, None, measurement, len(kept), pairable)
    members: dict[Hashable, list[int]] = {}
    for row, place in enumerate(kept):
        members.setdefault(place if groups is None else groups[place], []).append(row)
    interval = None
    if resamples and len(members) >= 2:
        _, found = bootstrap(coincidences.tolist(), list(members.values()), score, resamples)
        interval = None if math.isnan(found.low) else found
    return Agreement(alpha, interval, measurement, len(kept), pairable)


def _values(units: Sequence[Sequence[float | str]], measurement: Measurement) -> dict[float | str, int]:
    """Each value -> its place, numbers in ascending order."""
    distinct = {value for unit in units for value in unit}
    if measurement == "nominal":
        return {value: place for place, value in enumerate(sorted(distinct, key=str))}
    numbers = [value for value in distinct if not isinstance(value, str) and math.isfinite(value)]
    if len(numbers) < len(distinct) or (measurement == "ratio" and min(numbers, default=0) < 0):
        raise ValueError(f"values that are not {measurement}: {sorted(map(str, distinct))}")
    return {value: place for place, value in enumerate(sorted(numbers))}


def _coincidences(unit: Sequence[float | str], values: dict[float | str, int]) -> Matrix:
    """One unit's part of the matrix of coincidences, float64 [values, values]."""
    counts = np.bincount([values[value] for value in unit], minlength=len(values)).astype(np.float64)
    return (np.outer(counts, counts) - np.diag(counts)) / (len(unit) - 1)


def _alpha(coincidences: Matrix, values: dict[float | str, int], measurement: Measurement) -> float:
    totals = coincidences.sum(axis=1)
    squares = _squared_differences(list(values), totals, measurement)
    expected = float((np.outer(totals, totals) * squares).sum())
    if expected == 0:
        return math.nan
    return 1 - (float(totals.sum()) - 1) * float((coincidences * squares).sum()) / expected


def _squared_differences(values: Sequence[float | str], totals: Matrix, measurement: Measurement) -> Matrix:
    """The squared difference of each pair of values, float64 [values, values]."""
    if measurement == "nominal":
        return 1 - np.eye(len(values))
    if measurement == "ordinal":
        # ranks lie half of either value's number apart, and the whole number of every value between them
        steps = [0.0, *((one + other) / 2 for one, other in pairwise(totals.tolist()))]
        positions = np.cumsum(steps)
        return np.subtract.outer(positions, positions) ** 2
    numbers = np.asarray(values, dtype=np.float64)
    differences = np.subtract.outer(numbers, numbers)
    if measurement == "interval":
        return differences**2
    sums = np.add.outer(numbers, numbers)
    ratios: Matrix = np.divide(differences, sums, out=np.zeros_like(differences), where=sums > 0)
    return ratios**2
