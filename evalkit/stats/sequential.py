"""May I stop now? Evidence that stays valid however often it is looked at, and whenever one stops.

An e-value has an expectation of at most 1 without an effect, at any stopping time; that it ever reaches 1 / alpha has
probability at most alpha (Ville 1939). The items must come in an order that was drawn at random before the run. The proof is
for items drawn anew each time; a finite benchmark in random order is measured in `docs/statistics.md`, and is safe there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from evalkit.stats.intervals import Interval
from evalkit.stats.special import positive

_HALVINGS = 100
"""More than a float has bits."""
_BETS = np.geomspace(0.05, 0.8, 6)
"""Shares of the largest bet that cannot lose everything; the wealth is spread evenly over them."""


def discordant_e_value(wins: int, losses: int, concentration: float = 1.0) -> float:
    """Evidence that wins and losses are not equally likely; ties say nothing.

    2^(b+c) B(a + b, a + c) / B(a, a): the likelihood of b wins and c losses, mixed over Beta(a, a), against that of a fair
    coin (Robbins 1970). Stop with "different" when it reaches 1 / alpha.

    Args:
        wins: b, items that only the second of the pair gets right.
        losses: c, items that only the first gets right.
        concentration: a. 1 gives all shares of wins the same weight; 10 to 50 find small effects earlier and large ones
            later. To be fixed before the run.

    Raises:
        ValueError: A count is negative, or the concentration not positive.
    """
    if not (wins >= 0 and losses >= 0 and concentration > 0):
        raise ValueError(f"not a paired count: {wins} wins, {losses} losses, concentration {concentration}")
    logarithm = (wins + losses) * math.log(2)
    logarithm += _log_beta(concentration + wins, concentration + losses) - _log_beta(concentration, concentration)
    return _exponential(logarithm)


def always_valid_p(largest_e_value: float) -> float:
    """The p that may be read at any time: 1 / the largest e-value so far, at most 1.

    Raises:
        ValueError: The e-value is negative or NaN.
    """
    if not largest_e_value >= 0:
        raise ValueError(f"not an e-value: {largest_e_value}")
    return positive(1 / largest_e_value) if largest_e_value > 1 else 1.0


def proportion_confidence_sequence(successes: int, n: int, alpha: float = 0.05) -> Interval:
    """The proportions that no look so far has rejected, were they all looked at like this one (Robbins 1970).

    {p: B(k + 1, n - k + 1) / (p^k (1 - p)^(n - k)) <= 1 / alpha}: it holds the truth at all n at once with probability
    1 - alpha, and is 1.6 to 1.8 times as wide as an interval for one n that was fixed before.

    Raises:
        ValueError: `n` is not positive, or there are more successes than items.
    """
    if not (n > 0 and 0 <= successes <= n and 0 < alpha < 1):
        raise ValueError(f"not a proportion: {successes} of {n} at alpha {alpha}")
    failures = n - successes
    mixture = _log_beta(successes + 1, failures + 1)

    def rejected(proportion: float) -> bool:
        gain = successes * math.log(proportion) if successes else 0.0
        gain += failures * math.log1p(-proportion) if failures else 0.0
        return mixture - gain > -math.log(alpha)

    def limit(inside: float, outside: float) -> float:
        for _ in range(_HALVINGS):
            middle = (inside + outside) / 2
            if middle in (inside, outside):
                break
            if rejected(middle):
                outside = middle
            else:
                inside = middle
        return inside

    estimate = successes / n
    low = 0.0 if successes == 0 else limit(estimate, 0.0)
    high = 1.0 if failures == 0 else limit(estimate, 1.0)
    return Interval(low, high, 1 - alpha, "confidence sequence")


def asymptotic_confidence_sequence_radius(deviation: float, n: int, rho: float, alpha: float = 0.05) -> float:
    """Half the width of a confidence sequence for any mean: mean ± radius, at all n at once, for large n.

    σ √((n ρ² + 1) / (n² ρ²) · ln((n ρ² + 1) / α²)) (Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas 2024, "Time-uniform
    central limit theory and asymptotic confidence sequences").

    Args:
        deviation: Standard deviation of an item's value, as seen so far.
        n: Items so far.
        rho: Where the sequence is tightest; `tightest_at` gives it.
        alpha: 1 - level.

    Raises:
        ValueError: A number is out of range.
    """
    if not (deviation >= 0 and n > 0 and rho > 0 and 0 < alpha < 1):
        raise ValueError(f"not a confidence sequence: deviation {deviation}, {n} items, rho {rho}, alpha {alpha}")
    scaled = n * rho**2 + 1
    return deviation * math.sqrt(2 * scaled / (n * rho) ** 2 * (math.log(scaled) / 2 - math.log(alpha)))


def tightest_at(n: int, alpha: float = 0.05) -> float:
    """The ρ whose confidence sequence is about tightest at n items: √((-2 ln α + ln(1 - 2 ln α)) / n), same source."""
    evidence = -2 * math.log(alpha)
    return math.sqrt((evidence + math.log1p(evidence)) / n)


class MeanBet:
    """Evidence, item by item, that the mean of bounded values is less (or greater) than a given one.

    A bettor starts with 1 and puts a share of the wealth on each coming value being on one side of the null mean. When the
    mean is on the other side, or the null mean itself, no bets make money on average: the wealth is an e-value. It is
    spread over six fixed shares, so that small and large differences are both found (Waudby-Smith & Ramdas 2024,
    "Estimating means of bounded random variables by betting", section 5).

    Args:
        null_mean: Against "the mean is at least this" for less, "at most" for greater; strictly between the bounds.
        direction: Where the mean is suspected.
        low: Lower bound of a value; -1 for differences of two scores within [0, 1].
        high: Upper bound.

    Attributes:
        e_value: The evidence now.
        largest: The largest so far, whenever it was; the first time it reaches 1 / alpha is the time to stop.
        n: Values so far.

    Raises:
        ValueError: The null mean is not between the bounds.
    """

    def __init__(self, null_mean: float, direction: Literal["less", "greater"], low: float, high: float) -> None:
        if not low < null_mean < high:
            raise ValueError(f"a null mean of {null_mean} is not between {low} and {high}")
        self._null, self._low, self._high = null_mean, low, high
        sign, furthest = (-1.0, high - null_mean) if direction == "less" else (1.0, null_mean - low)
        # a bet of 1 / furthest loses everything where a value falls on the furthest bound
        self._bets: npt.NDArray[np.float64] = sign * _BETS / furthest
        self._logarithms = np.zeros(len(_BETS))
        self.n = 0
        self.e_value = 1.0
        self.largest = 1.0

    def update(self, values: Sequence[float]) -> float:
        """Bets on further values, in their order; returns the evidence after the last.

        Raises:
            ValueError: A value is out of bounds or NaN; nothing is changed.
        """
        array = np.asarray(values, dtype=np.float64).reshape(-1)
        if not ((array >= self._low) & (array <= self._high)).all():
            raise ValueError(f"a value is not between {self._low} and {self._high}")
        if not len(array):
            return self.e_value
        gains = np.log1p(self._bets[:, None] * (array - self._null)).cumsum(axis=1) + self._logarithms[:, None]
        highest = gains.max(axis=0)
        wealth = highest + np.log(np.exp(gains - highest).mean(axis=0))
        self._logarithms = gains[:, -1]
        self.n += len(array)
        self.e_value = _exponential(float(wealth[-1]))
        self.largest = max(self.largest, _exponential(float(wealth.max())))
        return self.e_value

    @property
    def p(self) -> float:
        """The p that may be read at any time."""
        return always_valid_p(self.largest)


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def _exponential(logarithm: float) -> float:
    """Infinite where a float cannot hold it."""
    return math.exp(logarithm) if logarithm < 709 else math.inf
