"""Does a model know what it knows? Stated confidences beside what was right."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evalkit.stats.intervals import Interval

Array = npt.NDArray[np.float64]

_TINY = 1e-15
"""Confidences of 0 and 1 that prove wrong are counted as this far from them: their logarithm is not infinite."""


@dataclass(frozen=True, slots=True)
class Bin:
    """Items of similar confidence.

    Attributes:
        low: Confidences are above this; the lowest bin also holds its own lower end.
        high: They are at most this.
        n: Items.
        confidence: Their mean confidence.
        accuracy: Share of them that are right.
    """

    low: float
    high: float
    n: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """How far confidences are from what is right.

    Attributes:
        n: Items.
        expected_error: ECE, Σ n_b / n |accuracy_b - confidence_b| (Naeini, Cooper & Hauskrecht 2015). Never negative, so
            that chance alone makes it positive: with few items it is biased upwards.
        largest_error: Of any bin.
        brier: Mean of (confidence - right)² (Brier 1950); no bins, no bias.
        negative_log_likelihood: Mean of -log of the probability given to what happened, in nats.
        area_under_curve: Probability that a right item has a higher confidence than a wrong one, ties counting half; None
            where all are right or all wrong.
        bins: Those with items, in ascending order.
    """

    n: int
    expected_error: float
    largest_error: float
    brier: float
    negative_log_likelihood: float
    area_under_curve: float | None
    bins: tuple[Bin, ...]


def calibration(
    confidences: Sequence[float], correct: Sequence[float], bins: int = 10, equal_mass: bool = False
) -> Calibration:
    """Calibration of confidences, in bins (low, high] of equal width, or of equal numbers of items (ACE).

    Args:
        confidences: Probability that an item is right, one each.
        correct: 1 where it is right, else 0.
        bins: Number of bins; those without an item are left out.
        equal_mass: Bins hold about the same number of items (Nixon et al. 2019); their limits are the confidences in them.

    Raises:
        ValueError: There are no items, lengths differ, or values are no probabilities or not 0 or 1.
    """
    stated, right = _checked(confidences, correct, bins)
    parts = _equal_mass(stated, bins) if equal_mass else _equal_width(stated, bins)
    found = tuple(
        Bin(low, high, len(places), float(stated[places].mean()), float(right[places].mean()))
        for low, high, places in parts
        if len(places)
    )
    errors = [abs(each.accuracy - each.confidence) for each in found]
    likely = np.clip(np.where(right == 1, stated, 1 - stated), _TINY, 1)
    return Calibration(
        n=len(stated),
        expected_error=math.fsum(each.n * error for each, error in zip(found, errors, strict=True)) / len(stated),
        largest_error=max(errors),
        brier=float(((stated - right) ** 2).mean()),
        negative_log_likelihood=float(-np.log(likely).mean()),
        area_under_curve=_area_under_curve(stated, right),
        bins=found,
    )


def expected_error_interval(
    confidences: Sequence[float],
    correct: Sequence[float],
    bins: int = 10,
    equal_mass: bool = False,
    *,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval | None:
    """Bootstrap interval of the ECE, its bias taken off (Efron & Tibshirani 1993, 10.2: 2 estimate - resample, from 0 on).

    Resamples of the ECE are biased upwards once more; a plain percentile interval would lie above what it shall hold. Near
    0 that does not suffice: where `perfect_calibration_p` rejects nothing, the interval begins at 0. Simulated coverage of
    95 %: 0.97 without an error, about 0.9 with one of 0.03 or 0.1 (n = 100 to 2,000).

    Returns:
        None for fewer than two items, and where the resamples show no variance.
    """
    stated, right = _checked(confidences, correct, bins)
    if len(stated) < 2:
        return None
    generator = np.random.default_rng(seed)
    estimate = calibration(confidences, correct, bins, equal_mass).expected_error
    drawn = np.empty(resamples)
    for number in range(resamples):
        places = generator.integers(0, len(stated), size=len(stated))
        parts = _equal_mass(stated[places], bins) if equal_mass else _equal_width(stated[places], bins)
        gap = (right - stated)[places]
        drawn[number] = math.fsum(abs(float(gap[part].sum())) for _, _, part in parts) / len(stated)
    low, high = (float(end) for end in np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2]))
    if math.isclose(low, high, rel_tol=1e-12, abs_tol=1e-12):
        return None
    perfect = perfect_calibration_p(confidences, correct, bins, equal_mass, resamples=resamples, seed=seed)
    lower = 0.0 if perfect > (1 - level) / 2 else max(0.0, 2 * estimate - high)
    return Interval(lower, max(0.0, 2 * estimate - low), level, "basic bootstrap")


def perfect_calibration_p(
    confidences: Sequence[float],
    correct: Sequence[float],
    bins: int = 10,
    equal_mass: bool = False,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> float:
    """Tests perfect calibration: its ECE against those of outcomes drawn with the stated confidences (Bröcker & Smith 2007).

    Returns:
        p, (1 + number at least as large) / (resamples + 1).
    """
    stated, right = _checked(confidences, correct, bins)
    generator = np.random.default_rng(seed)
    parts = [part for _, _, part in (_equal_mass(stated, bins) if equal_mass else _equal_width(stated, bins))]

    def error(outcomes: Array) -> float:
        return math.fsum(abs(float((outcomes - stated)[part].sum())) for part in parts)

    observed = error(right) - 1e-9
    extreme = sum(
        error((generator.random(len(stated)) < stated).astype(np.float64)) >= observed for _ in range(resamples)
    )
    return (1 + extreme) / (resamples + 1)


def temperature(logits: npt.ArrayLike, gold: Sequence[int]) -> float:
    """The temperature that makes softmax(logits / T) most likely for what is right (Guo et al. 2017).

    To be found on items that are not the ones it is then judged by.

    Args:
        logits: Scores of the choices, [items, choices].
        gold: The right choice of each item.

    Returns:
        T, searched from 0.01 to 100 to a relative accuracy of 1e-6.

    Raises:
        ValueError: Not one right choice an item.
    """
    table, answers = np.asarray(logits, dtype=np.float64), np.asarray(gold, dtype=np.intp)
    if table.ndim != 2 or len(table) != len(answers) or not len(answers):
        raise ValueError(f"logits of shape {table.shape} for {len(answers)} items")
    centred = table - table.max(axis=1, keepdims=True)
    gap = centred[np.arange(len(answers)), answers]

    def loss(sharpness: float) -> float:
        return float((np.log(np.exp(sharpness * centred).sum(axis=1)) - sharpness * gap).mean())

    # the loss is convex in 1 / T: golden-section search on its logarithm, where it still has one minimum
    low, high, ratio = math.log(0.01), math.log(100.0), (math.sqrt(5) - 1) / 2
    while high - low > 1e-7:
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if loss(math.exp(left)) < loss(math.exp(right)):
            high = right
        else:
            low = left
    return math.exp(-(low + high) / 2)


def _checked(confidences: Sequence[float], correct: Sequence[float], bins: int) -> tuple[Array, Array]:
    stated, right = np.asarray(confidences, dtype=np.float64), np.asarray(correct, dtype=np.float64)
    if len(stated) != len(right) or not len(stated) or bins < 1:
        raise ValueError(f"{len(stated)} confidences, {len(right)} outcomes, {bins} bins")
    if not ((stated >= 0) & (stated <= 1)).all() or not ((right == 0) | (right == 1)).all():
        raise ValueError("a confidence is no probability, or an outcome is neither 0 nor 1")
    return stated, right


def _equal_width(stated: Array, bins: int) -> list[tuple[float, float, npt.NDArray[np.intp]]]:
    edges = np.arange(bins + 1) / bins
    numbers = np.clip(np.searchsorted(edges, stated, side="left") - 1, 0, bins - 1)
    return [(float(edges[b]), float(edges[b + 1]), np.flatnonzero(numbers == b)) for b in range(bins)]


def _equal_mass(stated: Array, bins: int) -> list[tuple[float, float, npt.NDArray[np.intp]]]:
    parts = np.array_split(np.argsort(stated, kind="stable"), bins)
    return [(float(stated[part].min()), float(stated[part].max()), part) for part in parts if len(part)]


def _area_under_curve(stated: Array, right: Array) -> float | None:
    """From the ranks (Mann & Whitney 1947)."""
    ones = int(right.sum())
    if ones in (0, len(right)):
        return None
    _, inverse, counts = np.unique(stated, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return float((ranks[right == 1].sum() - ones * (ones + 1) / 2) / (ones * (len(right) - ones)))
