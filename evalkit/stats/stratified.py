"""The difference of two paired proportions, averaged over strata: tasks of a group, each with a weight of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from evalkit.stats.intervals import Interval
from evalkit.stats.paired import tango


class Stratum(NamedTuple):
    """One stratum of paired 0/1 values.

    Attributes:
        weight: Its weight; the weights of all sum to 1.
        n: Pairs.
        difference: (wins - losses) / n.
        discordance: (wins + losses) / n.
    """

    weight: float
    n: int
    difference: float
    discordance: float


def stratified_tango(strata: Sequence[Stratum], level: float = 0.95) -> Interval:
    """Tango's score interval for Σ w (difference), from the table of an effective number of pairs.

    With D = Σ w d and N = 1 / Σ (w² / n), the number of pairs that say as much with equal weights (Kish 1965), the table
    has wins - losses = N D and wins + losses = N (N V + D²), where V = Σ (w² / n) (discordance - 2 d D + D²) is the
    variance of the sum about the common difference: strata of a single pair, which show no variance of their own, then
    count as well. Where every pair has the same weight it is `tango` of all pairs together.

    Simulated coverage of 95 %, with 6 % wins and 4 % losses: 0.944 for 57 strata of 100 pairs (1,000 draws), 0.948 for 57
    of 20 (2,000 draws), 0.977 for two of 20 and 1,000. Limits recovered from the strata's own (`mover`) cover 0.99 for 57
    of 20 (300 draws), being 1.4 times as wide.

    Raises:
        ValueError: There is no stratum, or one has no pairs.
    """
    if not strata or any(one.n <= 0 for one in strata):
        raise ValueError("a stratum without pairs, or no stratum")
    difference = math.fsum(one.weight * one.difference for one in strata)
    shares = [one.weight**2 / one.n for one in strata]
    pairs = 1 / math.fsum(shares)
    variance = math.fsum(
        share * (one.discordance - 2 * one.difference * difference + difference**2)
        for share, one in zip(shares, strata, strict=True)
    )
    discordant = min(1.0, max(pairs * variance + difference**2, abs(difference)))
    wins, losses = pairs * (discordant + difference) / 2, pairs * (discordant - difference) / 2
    found = tango(min(wins, pairs), max(0.0, min(losses, pairs - wins)), pairs, level)
    return Interval(found.low, found.high, level, "stratified tango score")
