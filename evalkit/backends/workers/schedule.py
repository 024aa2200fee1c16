"""Who computes what: subtrees of the prefix tree are handed out the heaviest first, and shared when nothing else is left.

A worker that has begun a subtree goes on with it, a grant at a time, so that the prefix its batches stand on is computed
once. One with nothing to do takes the second half of what another still has before it, where that is more than the other's
share of all that is left, or nothing else is left; it computes the prefix again. Grants become smaller towards the end, so
that all workers end at about the same time. What a lost worker was given goes back.

Nothing here computes or waits: the same code hands out real work and that of the simulation in `benchmarks/scale`.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count, islice
from typing import Any

import numpy as np
import numpy.typing as npt

WINDOW = 4096
"""Chains that are looked at to find the heaviest."""

SHARE = 4
"""A grant is at most one part in so many of what each worker would still have to do."""


@dataclass(frozen=True, slots=True, eq=False)
class Chain:
    """Steps that one worker best computes one after another: the batches of a subtree.

    Attributes:
        name: The caller's.
        ends: int64 [steps], weight of all steps up to and with each: tokens, or whatever time grows with.
        providers: int64 [steps], the earlier step whose state each stands on; -1 where it stands on none.
    """

    name: Any
    ends: npt.NDArray[np.int64]
    providers: npt.NDArray[np.int64]

    @classmethod
    def of(cls, name: Any, weights: npt.ArrayLike, providers: npt.ArrayLike | None = None) -> Chain:
        """A chain of steps with these weights."""
        ends = np.cumsum(np.asarray(weights, dtype=np.int64))
        stands_on = np.full(len(ends), -1) if providers is None else np.asarray(providers)
        return cls(name, ends, stands_on.astype(np.int64))

    def weight(self, first: int, stop: int) -> int:
        """Weight of steps first .. stop."""
        return int(self.ends[stop - 1] - (self.ends[first - 1] if first else 0)) if stop > first else 0

    def context(self, step: int) -> tuple[int, ...]:
        """Earlier steps that `step` stands on, in order: a worker that has computed none of the chain begins with them."""
        found: list[int] = []
        while (step := int(self.providers[step])) >= 0:
            found.append(step)
        return tuple(reversed(found))

    def within(self, first: int, stop: int, weight: float) -> int:
        """The end of the longest run of steps from `first` that weighs no more; one step in any case."""
        before = int(self.ends[first - 1]) if first else 0
        return min(stop, max(first + 1, int(np.searchsorted(self.ends, before + weight, side="right"))))


@dataclass(frozen=True, slots=True, eq=False)
class Grant:
    """What a worker is to compute next.

    Attributes:
        number: Counted from 0, in the order of granting.
        chain: Of which chain.
        again: Steps that were computed elsewhere, and on which the others stand.
        first: First of its steps.
        stop: One past the last.
    """

    number: int
    chain: Chain
    again: tuple[int, ...]
    first: int
    stop: int

    @property
    def weight(self) -> int:
        """Weight of all that is computed."""
        return self.chain.weight(self.first, self.stop) + sum(self.chain.weight(one, one + 1) for one in self.again)


@dataclass(slots=True, eq=False)
class _Claim:
    """Steps first .. stop of a chain, which are one worker's; `begun` once it was given the steps before."""

    chain: Chain
    first: int
    stop: int
    begun: bool = False

    @property
    def weight(self) -> int:
        return self.chain.weight(self.first, self.stop)


@dataclass(slots=True, eq=False)
class _Worker:
    claim: _Claim | None = None
    granted: dict[int, Grant] = field(default_factory=dict)


class Schedule:
    """Hands out chains to workers that come, ask and go.

    Args:
        chains: All that is to be done. No more of them than `window` are held at a time.
        largest: Weight of a grant, at most (or one step).
        window: Chains that are looked at to find the heaviest.

    Attributes:
        stolen: Number of times a worker took over what another had before it.
        repeated: Weight of steps granted a second time.
    """

    def __init__(self, chains: Iterable[Chain], largest: int, window: int = WINDOW) -> None:
        self._source: Iterator[Chain] = iter(chains)
        self._window = window
        self._largest = largest
        self._order = count()
        self._pool: list[tuple[int, int, _Claim]] = []
        self._left = 0  # weight of all that is known and not granted
        self._granted = self._grants = 0  # weight and number of all grants
        self._workers: dict[str, _Worker] = {}
        self._open: dict[str, _Claim] = {}  # the claims that are not empty
        self._numbers = count()
        self.stolen = 0
        self.repeated = 0
        self._fill()

    @property
    def done(self) -> bool:
        """Whether all that was to be done is finished."""
        return not self._pool and all(not one.granted and _is_empty(one.claim) for one in self._workers.values())

    def next(self, name: str) -> Grant | None:
        """What the worker is to compute next; None when all is handed out, or what is left is better kept for others.

        Args:
            name: The worker's; one that was not heard of before is welcome.
        """
        worker = self._workers.setdefault(name, _Worker())
        if worker.granted and self._is_nearly_over():
            return None
        if _is_empty(worker.claim):
            worker.claim = self._claim()
        claim = worker.claim
        if claim is None:
            return None
        chain, first = claim.chain, claim.first
        self._open[name] = claim
        claim.first = chain.within(first, claim.stop, self._size())
        again = () if claim.begun else chain.context(first)
        claim.begun = True
        weight = chain.weight(first, claim.first)
        self._left, self._granted, self._grants = self._left - weight, self._granted + weight, self._grants + 1
        if _is_empty(claim):
            del self._open[name]
        grant = Grant(next(self._numbers), chain, again, first, claim.first)
        self.repeated += sum(chain.weight(one, one + 1) for one in again)
        worker.granted[grant.number] = grant
        return grant

    def finished(self, name: str, number: int) -> None:
        """Takes note that a grant is computed."""
        self._workers[name].granted.pop(number)

    def lost(self, name: str) -> list[Grant]:
        """Takes back all that a worker had; returns what it was given and has not finished."""
        worker = self._workers.pop(name, _Worker())
        self._open.pop(name, None)
        for grant in worker.granted.values():
            self._put(_Claim(grant.chain, grant.first, grant.stop))
            self._left += grant.chain.weight(grant.first, grant.stop)
            self.repeated += grant.weight
        if worker.claim is not None and not _is_empty(worker.claim):
            self._put(_Claim(worker.claim.chain, worker.claim.first, worker.claim.stop))
        return list(worker.granted.values())

    def _is_nearly_over(self) -> bool:
        """Whether each worker will come by at most once more: then nobody gets anything in advance."""
        return self._left * self._grants <= self._granted * len(self._workers)

    def _size(self) -> float:
        """Weight of the next grant: smaller towards the end."""
        return min(self._largest, self._left / (SHARE * len(self._workers)))

    def _fill(self) -> None:
        for chain in islice(self._source, max(0, self._window - len(self._pool))):
            claim = _Claim(chain, 0, len(chain.ends))
            self._put(claim)
            self._left += claim.weight

    def _put(self, claim: _Claim) -> None:
        if claim.stop > claim.first:
            heapq.heappush(self._pool, (-claim.weight, next(self._order), claim))

    def _take(self) -> _Claim | None:
        """The heaviest chain that nobody has begun, or what came back."""
        if not self._pool:
            return None
        *_, claim = heapq.heappop(self._pool)
        if len(self._pool) <= self._window // 2:
            self._fill()
        return claim

    def _claim(self) -> _Claim | None:
        """Steps for a worker that has none: a chain of its own, or half of another's that is more than the other's share."""
        longest = max(self._open.values(), key=lambda one: one.weight, default=None)
        if longest is not None and longest.weight > self._left / len(self._workers):
            return self._steal(longest)
        return self._take() or (None if longest is None else self._steal(longest))

    def _steal(self, claim: _Claim) -> _Claim:
        """The second half of what another worker has before it, so that both end at the same time."""
        chain, stop = claim.chain, claim.stop
        again = sum(chain.weight(one, one + 1) for one in chain.context(claim.first))
        kept = (claim.weight + again) / 2  # the thief has the prefix to compute besides
        middle = claim.first if stop - claim.first == 1 else chain.within(claim.first, stop - 1, kept)
        claim.stop = middle
        self._open = {name: one for name, one in self._open.items() if not _is_empty(one)}
        self.stolen += 1
        return _Claim(chain, middle, stop)


def _is_empty(claim: _Claim | None) -> bool:
    return claim is None or claim.first >= claim.stop
