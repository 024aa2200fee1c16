"""Which word n-grams of items stand in training rows: found by a rolling hash, then compared word by word.

A text is a run of numbers, one a word of the items' vocabulary; words that no item has are 0, and no n-gram with one can be
shared. So most of a training row is out of the question before anything is looked up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]
    Hashes = npt.NDArray[np.uint64]

LONGEST = 13
"""Words of the longest n-grams that are sought (Brown et al. 2020, appendix C)."""
_FACTOR = 0x9E3779B97F4A7C15 | 1
_FILTER_BITS = 24


class Texts(NamedTuple):
    """Texts one after the other.

    Attributes:
        numbers: Of the words, a 0 after each text, int32 [words].
        starts: Where each text begins, [texts].
    """

    numbers: npt.NDArray[np.int32]
    starts: Integers


class Vocabulary:
    """Numbers of words, from 1."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def learn(self, words: Sequence[str]) -> list[int]:
        """The words' numbers; new ones get one."""
        numbers = self._numbers
        return [numbers.setdefault(word, len(numbers) + 1) for word in words]

    def look_up(self, words: Sequence[str]) -> list[int]:
        """The words' numbers, 0 for those never learned."""
        get = self._numbers.get
        return [get(word, 0) for word in words]


def joined(texts: Sequence[Sequence[int]]) -> Texts:
    """Texts one after the other."""
    import numpy as np

    lengths = np.fromiter((len(text) + 1 for text in texts), np.int64, len(texts))
    starts = np.concatenate([[0], np.cumsum(lengths)])[:-1].astype(np.int64)
    flat = (number for text in texts for number in (*text, 0))
    return Texts(np.fromiter(flat, np.int32, int(lengths.sum())), starts)


def hashes(numbers: npt.NDArray[np.int32], wanted: Sequence[int]) -> Iterator[tuple[int, Integers, Hashes]]:
    """For each wanted n the places where an n-gram without a 0 begins, and its hash.

    The hash is a polynomial of the words' mixed numbers modulo 2^64.
    """
    import numpy as np

    mixed = _mixed(numbers.astype(np.uint64))
    gaps = np.concatenate([[0], np.cumsum(numbers == 0)])
    rolling = mixed.copy()
    for n in range(1, max(wanted, default=0) + 1):
        count = len(numbers) - n + 1
        if count <= 0:
            break
        if n > 1:
            rolling = rolling[:count] * np.uint64(_FACTOR) + mixed[n - 1 :]
        if n in wanted:
            places = np.flatnonzero(gaps[n:] == gaps[:-n])
            yield n, places, rolling[places]


def _mixed(numbers: Hashes) -> Hashes:
    """splitmix64: small numbers become ones that look random, the same on every machine."""
    import numpy as np

    z = numbers + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@dataclass(frozen=True)
class Index:
    """The n-grams of items that are looked for, of one length.

    Attributes:
        n: Words an n-gram.
        hashes: Sorted, one a place.
        places: Where each begins in the items' texts.
        numbers: The items' texts.
        filter: Which upper bits of a hash any n-gram has: most look-ups end here.
    """

    n: int
    hashes: Hashes
    places: Integers
    numbers: npt.NDArray[np.int32]
    filter: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, n: int, places: Integers, found: Hashes, numbers: npt.NDArray[np.int32]) -> Index:
        """The index of n-grams at these places."""
        import numpy as np

        order = np.lexsort((places, found))
        known = np.zeros(1 << _FILTER_BITS, dtype=np.bool_)
        known[_upper(found)] = True
        return cls(n, found[order], places[order], numbers, known)

    def find(self, numbers: npt.NDArray[np.int32], places: Integers, found: Hashes) -> tuple[Integers, Integers]:
        """The n-grams of other texts that stand in the items.

        Args:
            numbers: The other texts.
            places: Where their n-grams begin.
            found: Their hashes.

        Returns:
            For each shared n-gram its place in the other texts and its place in the items, as often as it stands there.
        """
        import numpy as np

        maybe = self.filter[_upper(found)]
        places, found = places[maybe], found[maybe]
        first = np.searchsorted(self.hashes, found, side="left")
        counts = np.searchsorted(self.hashes, found, side="right") - first
        theirs = np.repeat(places, counts)
        offsets = np.arange(len(theirs)) - np.repeat(np.cumsum(counts) - counts, counts)
        mine = self.places[np.repeat(first, counts) + offsets]
        same = np.ones(len(theirs), dtype=np.bool_)
        for step in range(self.n):  # equal hashes are no proof
            same &= numbers[theirs + step] == self.numbers[mine + step]
        return theirs[same], mine[same]


def _upper(found: Hashes) -> Integers:
    import numpy as np

    return (found >> np.uint64(64 - _FILTER_BITS)).astype(np.int64)


Indexes = Mapping[int, Index]
