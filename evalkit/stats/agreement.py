"""Do several raters mean the same? Krippendorff's alpha, for any number of raters and with gaps."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

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
    coincidences = np.stack([_coincidences(units[place], values) for place in kept])
    alpha = float(_alphas(coincidences.sum(axis=0), values, measurement))
    if math.isnan(alpha):
        return Agreement(None, None, measurement, len(kept), pairable)
    numbers: dict[Hashable, int] = {}
    codes = [numbers.setdefault(place if groups is None else groups[place], len(numbers)) for place in kept]
    members = np.zeros((len(numbers), size, size))
    np.add.at(members, codes, coincidences)
    return Agreement(alpha, _interval(members, values, measurement, resamples), measurement, len(kept), pairable)


def _interval(
    members: Matrix, values: dict[float | str, int], measurement: Measurement, resamples: int
) -> Interval | None:
    """Percentile interval from the coincidences of each group, [groups, values, values]; they add up over groups."""
    count = len(members)
    if count < 2 or not resamples:
        return None
    drawn = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), size=resamples)
    alphas = _alphas(np.tensordot(drawn.astype(np.float64), members, axes=1), values, measurement)
    if np.isnan(alphas).any():
        return None
    low, high = np.quantile(alphas, [0.025, 0.975])
    return Interval(float(low), float(high), 0.95, "percentile bootstrap")


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


def _alphas(coincidences: Matrix, values: dict[float | str, int], measurement: Measurement) -> Matrix:
    """The alpha of each matrix of coincidences, [..., values, values] -> [...]; NaN where it is not defined."""
    totals = coincidences.sum(axis=-1)
    squares = _squared_differences(list(values), totals, measurement)
    expected = (totals[..., :, None] * totals[..., None, :] * squares).sum(axis=(-2, -1))
    observed = (totals.sum(axis=-1) - 1) * (coincidences * squares).sum(axis=(-2, -1))
    ratio: Matrix = np.divide(observed, expected, out=np.full(expected.shape, np.nan), where=expected > 0)
    return 1 - ratio


def _squared_differences(values: Sequence[float | str], totals: Matrix, measurement: Measurement) -> Matrix:
    """The squared difference of each pair of values, [..., values, values]; of ordinal ones it depends on `totals`."""
    if measurement == "nominal":
        return 1 - np.eye(len(values))
    if measurement == "ordinal":
        # ranks lie half of either value's number apart, and the whole number of every value between them
        positions = np.cumsum(totals, axis=-1) - totals / 2
        return (positions[..., :, None] - positions[..., None, :]) ** 2
    numbers = np.asarray(values, dtype=np.float64)
    differences = np.subtract.outer(numbers, numbers)
    if measurement == "interval":
        return differences**2
    sums = np.add.outer(numbers, numbers)
    ratios: Matrix = np.divide(differences, sums, out=np.zeros_like(differences), where=sums > 0)
    return ratios**2
