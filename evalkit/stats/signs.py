"""Random signs that many tests share, and the tail of a sum with random signs beyond what a simulation reaches."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from evalkit.stats.special import normal_distribution

Array = npt.NDArray[np.float64]

BLOCK = 256
"""Values whose signs are drawn at a time; with 9,999 patterns some 20 MB."""
_TAIL = 3.178
"""1 / (4 P(Z >= √2)), Z standard normal: the least constant with which `tail_bound` is true."""


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
