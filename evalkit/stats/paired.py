"""Two paired proportions: the difference with its interval, and the exact test of no difference."""

from __future__ import annotations

import math

from evalkit.stats.intervals import Interval
from evalkit.stats.special import normal_quantile

_HALVINGS = 100
"""More than a float has bits."""


def tango(wins: float, losses: float, n: float, level: float = 0.95) -> Interval:
    """Tango's score interval for the difference of two paired proportions, (wins - losses) / n.

    The differences D that the score test does not reject (Tango 1998, "Equivalence test and confidence interval for the
    difference in proportions for the paired-sample design"). At D = 0 it is McNemar's test. Where every item is won or
    lost, it is Wilson's interval for the share of wins, stretched from [0, 1] to [-1, 1].

    Args:
        wins: Items that only the second of the pair gets right.
        losses: Items that only the first gets right.
        n: All items, ties included.
        level: Nominal coverage.

    Raises:
        ValueError: `n` is not positive, or wins and losses are negative or more than `n`.
    """
    if not (n > 0 and wins >= 0 and losses >= 0 and wins + losses <= n and 0 < level < 1):
        raise ValueError(f"not a paired table: {wins} wins, {losses} losses of {n} at level {level}")
    z = normal_quantile(0.5 + level / 2)
    estimate = (wins - losses) / n

    def statistic(difference: float) -> float:
        a = 2 * n
        b = -wins - losses + (2 * n - wins + losses) * difference
        c = -losses * difference * (1 - difference)
        lost = (math.sqrt(max(0.0, b * b - 4 * a * c)) - b) / (2 * a)
        variance = n * (2 * lost + difference * (1 - difference))
        distance = wins - losses - n * difference
        return distance / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, distance)

    def limit(end: float) -> float:
        inside, outside = estimate, end
        for _ in range(_HALVINGS):
            middle = (inside + outside) / 2
            if abs(statistic(middle)) < z:
                inside = middle
            else:
                outside = middle
        return inside

    # at the ends there is nothing left to search
    return Interval(-1.0 if estimate == -1 else limit(-1.0), 1.0 if estimate == 1 else limit(1.0), level, "tango score")


def sign_test(wins: int, losses: int) -> float:
    """Two-sided exact p of the sign test: wins and losses are equally likely; ties say nothing.

    min(1, 2 Σ_{k <= min(wins, losses)} C(wins + losses, k) / 2^(wins + losses)); McNemar's exact test is the same.

    Raises:
        ValueError: A count is negative.
    """
    if wins < 0 or losses < 0:
        raise ValueError(f"negative counts: {wins} wins, {losses} losses")
    trials = wins + losses
    tail = sum(math.comb(trials, k) for k in range(min(wins, losses) + 1))
    return min(1.0, 2 * tail / int(2**trials))
