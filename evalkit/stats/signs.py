"""Is a mean of paired differences more than chance? The sign-flip test, exact, simulated, or bounded in the far tail."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from evalkit.stats.clusters import cluster_sums
from evalkit.stats.special import normal_distribution, positive

Array = npt.NDArray[np.float64]

BLOCK = 256
"""Values whose signs are drawn at a time; with 9,999 patterns some 20 MB."""
_TAIL = 3.178
"""1 / (4 P(Z >= √2)), Z standard normal: the least constant with which `tail_bound` is true."""
_SLACK = 1e-12
"""Relative: sums that are equal on paper differ by rounding, and must count as equally extreme."""
_FEW_SETS = 4
"""Sets of differences up to which tables of sums are quicker than products of matrices."""
_STEPS = 50_000_000
"""Additions at most for the exact distribution of whole numbers, about 0.1 s."""
_EXACT = 15
"""Differences that are enumerated: 2^14 patterns of signs, the other half being their mirror image."""


def sign_flip(
    differences: Sequence[float] | Array,
    clusters: Sequence[Hashable] | None = None,
    *,
    resamples: int = 9999,
    seed: int = 0,
) -> float:
    """Two-sided p of the sign-flip test: without a difference, each sign is as likely as the other (Fisher 1935).

    The statistic is |Σ d|, of items or of whole clusters; those without a difference say nothing. p is exact where all
    are multiples of the smallest one (0/1 scores, alone or in clusters, or means of several of them) or where there are
    at most 15. On 0/1 scores it equals the sign test, McNemar's exact one. Otherwise it is Monte Carlo's,
    (1 + number at least as extreme) / (resamples + 1), which is never 0 and keeps the level (Phipson & Smyth 2010). Where
    no pattern is as extreme, p is at most `tail_bound`, which goes below 1 / (resamples + 1): the exact p is never above
    that bound, and so the level is kept there too.

    p depends on the sizes of the differences and on their sum alone, not on their order or on which side is first.

    Args:
        differences: Second minus first, one an item.
        clusters: What each item belongs to; the signs of a cluster change together.
        resamples: Random patterns of signs.
        seed: Of the patterns.

    Raises:
        ValueError: Not one cluster a difference, or a difference is NaN or infinite.
    """
    sums = cluster_sums(differences, range(len(differences)) if clusters is None else clusters)
    return sign_flips([sums], resamples=resamples, seed=seed)[0]


def sign_flips(sums: Sequence[Array], *, resamples: int = 9999, seed: int = 0) -> list[float]:
    """`sign_flip` of each of several sets of differences, which share the random patterns: the same p, sooner.

    Args:
        sums: Differences of independent items or clusters, finite; [items], of any number each.
        resamples: Random patterns of signs.
        seed: Of the patterns.
    """
    found: list[float] = []
    simulated: dict[int, Array] = {}
    for number, one in enumerate(sums):
        sizes = np.sort(np.abs(one))[::-1]
        sizes = sizes[sizes > _SLACK * sizes.max(initial=0.0)]
        p = _exact(sizes, abs(math.fsum(one)))
        found.append(1.0 if p is None else p)
        if p is None:
            simulated[number] = sizes
    distances = [abs(math.fsum(sums[number])) for number in simulated]
    for number, p in zip(simulated, _simulated(list(simulated.values()), distances, resamples, seed), strict=True):
        found[number] = p
    return found


def _exact(sizes: Array, distance: float) -> float | None:
    """P(|Σ ± size| >= distance) where it can be had exactly."""
    if not len(sizes):
        return 1.0
    ratios = sizes / sizes[-1]
    whole = np.rint(ratios)
    if np.abs(ratios - whole).max() < 1e-9 and float(whole.sum()) * len(whole) <= _STEPS:
        return _whole_numbers(whole, distance / float(sizes[-1]))
    if len(sizes) > _EXACT:
        return None
    signs = 1 - 2 * ((np.arange(2 ** (len(sizes) - 1))[:, None] >> np.arange(len(sizes))) & 1)
    return float(np.mean(np.abs(signs @ sizes) >= distance - _SLACK * float(sizes.sum())))


def _simulated(sizes: Sequence[Array], distances: Sequence[float], resamples: int, seed: int) -> list[float]:
    """The same for each of several sets, from random patterns of signs that they share, and the bound on their tail."""
    longest = max(map(len, sizes), default=0)
    padded = np.zeros((len(sizes), longest))
    for row, one in zip(padded, sizes, strict=True):
        row[: len(one)] = one
    totals = padded.sum(axis=1)
    if len(sizes) <= _FEW_SETS:
        plus = np.array([heads_sum(row, resamples, seed) for row in padded]).reshape(len(sizes), resamples)
    else:
        plus = np.zeros((len(sizes), resamples))
        for places, heads in coins(longest, resamples, seed):
            plus += padded[:, places] @ heads
    least = np.array(distances) - _SLACK * totals
    counts = (np.abs(2 * plus - totals[:, None]) >= least[:, None]).sum(axis=1)
    return [
        (1 + int(count)) / (resamples + 1)
        if count
        else positive(min(1 / (resamples + 1), tail_bound(distance, math.fsum(one**2))))
        for count, one, distance in zip(counts, sizes, distances, strict=True)
    ]


def _whole_numbers(values: Array, distance: float) -> float:
    """The exact p: the distribution of Σ ± v from that of the sum of those with a plus, one value after another."""
    total = int(np.abs(values).sum())
    chances = np.zeros(total + 1)
    chances[0] = 1.0
    reached = 0
    for size in np.abs(values).astype(np.int64):
        part = chances[: reached + 1] / 2
        chances[: reached + 1] = part
        chances[size : reached + size + 1] += part
        reached += int(size)
    return positive(float(chances[np.abs(2 * np.arange(total + 1) - total) >= round(distance) - 0.5].sum()))


def tail_bound(distance: float, variance: float) -> float:
    """At most this is P(|Σ ± a| >= distance), where Σ a² = variance and each sign is as likely as the other.

    2 · 3.178 P(Z >= distance / √variance), for any numbers a (Bentkus & Dzindzalieta 2015, "A tight Gaussian bound for
    weighted sums of Rademacher random variables"); from a distance of 1.4 √variance on it is below Hoeffding's
    2 exp(-distance² / 2 variance).
    """
    return 1.0 if variance <= 0 else min(1.0, 2 * _TAIL * normal_distribution(-distance / variance**0.5))


def coins(count: int, resamples: int, seed: int) -> Iterator[tuple[slice, Array]]:
    """Fair coins, block by block: places of the block and 0 or 1 for each of them, float64 [places, resamples].

    A place's coins depend on the place, `resamples` and `seed` alone, not on how many places there are.
    """
    for places, drawn in coin_bytes(count, resamples, seed):
        bits = np.unpackbits(drawn, axis=0)
        yield places, bits[: places.stop - places.start].astype(np.float64)


def coin_bytes(count: int, resamples: int, seed: int) -> Iterator[tuple[slice, npt.NDArray[np.uint8]]]:
    """The same coins, eight places a byte, the first place in the highest bit: [places / 8, resamples]."""
    for block, start in enumerate(range(0, count, BLOCK)):
        size = min(BLOCK, count - start)
        rows = -(-size // 8)
        drawn = np.random.default_rng([seed, block]).bytes(rows * resamples)
        yield slice(start, start + size), np.frombuffer(drawn, dtype=np.uint8).reshape(rows, resamples)


def heads_sum(values: Array, resamples: int, seed: int) -> Array:
    """Σ value · coin, [resamples], as with `coins`; by a table of the 256 sums of eight values, quicker for one set."""
    bits = np.unpackbits(np.arange(256, dtype=np.uint8)[None], axis=0).astype(np.float64)
    found = np.zeros(resamples)
    for places, drawn in coin_bytes(len(values), resamples, seed):
        padded = np.zeros(8 * len(drawn))
        padded[: places.stop - places.start] = values[places]
        for table, row in zip(padded.reshape(-1, 8) @ bits, drawn, strict=True):
            found += table[row]
    return found
