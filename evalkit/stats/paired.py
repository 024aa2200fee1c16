"""Two models on the same items: the difference with its interval, and tests of no difference."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from evalkit.stats.clusters import cluster_sums, sized_error
from evalkit.stats.intervals import Interval
from evalkit.stats.special import normal_quantile, positive, t_quantile, t_tails

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
    tail, _, all_ways = _sign_counts(wins, losses)
    return positive(2 * tail / all_ways)


def mcnemar_mid_p(wins: int, losses: int) -> float:
    """Two-sided mid-p of McNemar's test: the default for paired 0/1 scores.

    The exact p counts the observed table in full and so rejects too rarely; here it counts half in either tail:
    2 Σ_{k <= m} C(t, k) / 2^t - C(t, m) / 2^t with t = wins + losses and m = min(wins, losses) (Fagerland, Lydersen &
    Laake 2013). Not exact: at a nominal 5 % it may reject slightly more often. 1 for equal counts, also for none.

    Raises:
        ValueError: A count is negative.
    """
    tail, last, all_ways = _sign_counts(wins, losses)
    return positive((2 * tail - last) / all_ways)


def _sign_counts(wins: int, losses: int) -> tuple[int, int, int]:
    """Σ_{k <= m} C(t, k), C(t, m) and 2^t, for t = wins + losses and m = min(wins, losses)."""
    if wins < 0 or losses < 0:
        raise ValueError(f"negative counts: {wins} wins, {losses} losses")
    trials = wins + losses
    tail = ways = 1
    for k in range(min(wins, losses)):
        ways = ways * (trials - k) // (k + 1)
        tail += ways
    return tail, ways, int(2**trials)


@dataclass(frozen=True, slots=True)
class PairedMean:
    """The mean of paired differences.

    Attributes:
        n: Items.
        mean: Of the differences, second minus first.
        stderr: Standard error; None where the differences show no variance to judge it by.
        interval: Confidence interval; None likewise.
        p: Two-sided p of no difference; None for a single item or cluster.
        method: How interval and p were made.
        degrees: Degrees of freedom of Student's t; None where there is no standard error.
    """

    n: int
    mean: float
    stderr: float | None
    interval: Interval | None
    p: float | None
    method: str
    degrees: float | None = None


def paired_t(differences: Sequence[float], level: float = 0.95) -> PairedMean:
    """Student's paired t: mean ± t(n - 1) standard errors, and its p (Student 1908).

    Differences that are all the same show no variance: there is neither standard error nor interval, and p is that of
    the exact sign-flip test, 2 / 2^n, or 1 where they are all 0.

    Raises:
        ValueError: There is no difference, or one is NaN or infinite.
    """
    return _paired_mean(differences, range(len(differences)), level, "paired t")


def paired_clusters(differences: Sequence[float], clusters: Sequence[Hashable], level: float = 0.95) -> PairedMean:
    """As `paired_t` for items that come in clusters: standard error and degrees of freedom are those of `sized_error`.

    With clusters of the same size that is CR1 and t(C - 1). Where a few clusters hold most items, the interval is wide
    and covers more than it says: `docs/statistics.md` measures by how much. Where the clusters' means are all the same, p
    is that of the exact sign-flip test of whole clusters.

    Raises:
        ValueError: There is no difference, not one cluster a difference, or one is NaN or infinite.
    """
    return _paired_mean(differences, clusters, level, "cluster-robust paired t")


def _paired_mean(differences: Sequence[float], clusters: Sequence[Hashable], level: float, method: str) -> PairedMean:
    array = np.asarray(differences, dtype=np.float64)
    if not len(array):
        raise ValueError("no differences")
    sums = cluster_sums(array, clusters)
    mean, count = float(array.mean()), len(sums)
    if count < 2:
        return PairedMean(len(array), mean, None, None, None, method)
    error = sized_error(differences, clusters)
    assert error is not None
    stderr, degrees = error.stderr, error.degrees
    if stderr <= 1e-12 * float(np.abs(array).max()):
        moved = abs(mean) > 1e-12 * float(np.abs(array).max())
        return PairedMean(
            len(array), mean, None, None, positive(2.0 ** (1 - count)) if moved else 1.0, "exact sign flip"
        )
    half = t_quantile(0.5 + level / 2, degrees) * stderr
    interval = Interval(mean - half, mean + half, level, method)
    return PairedMean(len(array), mean, stderr, interval, t_tails(mean / stderr, degrees), method, degrees)
