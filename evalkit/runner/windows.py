"""Runs with very many requests, a window of them at a time: no more prompts and tokens are held than one window has."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from itertools import accumulate, chain
from typing import TYPE_CHECKING, Protocol, cast, overload

from evalkit.backends.base import Answer, Backend, HasDigests, Prepared
from evalkit.errors import NonFiniteError
from evalkit.requests import Request

if TYPE_CHECKING:
    from evalkit.run_plan import Cost

WINDOW = 2**17
"""Requests whose prompts are held at once; a run with no more of them is one window."""


class HasRequests(Protocol):
    """A document, whose requests are built again whenever they are asked for."""

    count: int

    @property
    def requests(self) -> tuple[Request, ...]:
        """What is asked about it."""
        ...


class Requests(Sequence[Request]):
    """All requests of documents, built when they are looked at.

    Args:
        documents: The documents, in order.
    """

    def __init__(self, documents: Sequence[HasRequests]) -> None:
        self._documents = documents
        self._ends = list(accumulate(one.count for one in documents))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __iter__(self) -> Iterator[Request]:
        return chain.from_iterable(one.requests for one in self._documents)

    @overload
    def __getitem__(self, index: int) -> Request: ...

    @overload
    def __getitem__(self, index: slice) -> list[Request]: ...

    def __getitem__(self, index: int | slice) -> Request | list[Request]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        place = bisect_right(self._ends, range(len(self))[index])
        return self._documents[place].requests[range(len(self))[index] - (self._ends[place - 1] if place else 0)]


class Windows:
    """`Prepared` of very many requests: prepared a window at a time, and let go of again.

    Args:
        documents: What is asked, document by document; none is cut in two.
        backend: Prepares.

    Attributes:
        requests: What is asked.
        lengths: As `Prepared.lengths`.
        tokens: As `Prepared.tokens`.
    """

    def __init__(self, documents: Sequence[HasRequests], backend: Backend) -> None:
        self.requests = Requests(documents)
        self.lengths: list[int] = []
        self.tokens: list[int] = []
        self._documents, self._backend = documents, backend
        self._bounds = list(_bounds([one.count for one in documents]))
        self._starts = [0, *accumulate(sum(one.count for one in documents[a:b]) for a, b in self._bounds)]
        self._held: tuple[int, Prepared] | None = None
        for window in range(len(self._bounds)):
            prepared = self.window(window)
            self.lengths.extend(prepared.lengths)
            self.tokens.extend(prepared.tokens)

    def __len__(self) -> int:
        """Number of windows."""
        return len(self._bounds)

    def range(self, window: int) -> range:
        """The requests of a window."""
        return range(self._starts[window], self._starts[window + 1])

    def window(self, window: int) -> Prepared:
        """A window's requests in the backend's form; the last one that was asked for is kept."""
        if self._held is None or self._held[0] != window:
            self._held = None  # before the next one takes as much again
            first, stop = self._bounds[window]
            requests = [request for one in self._documents[first:stop] for request in one.requests]
            self._held = window, self._backend.prepare(requests)
        return self._held[1]

    def digest(self, index: int) -> bytes:
        """As `HasDigests.digest`."""
        window = bisect_right(self._starts, index) - 1
        return cast(HasDigests, self.window(window)).digest(index - self._starts[window])


def prepare(documents: Sequence[HasRequests], backend: Backend) -> Prepared:
    """All requests in the backend's form: at once, or as `Windows` where they are very many."""
    if sum(one.count for one in documents) > WINDOW:
        return Windows(documents, backend)
    return backend.prepare([request for one in documents for request in one.requests])


def compute(
    backend: Backend, prepared: Prepared, done: Collection[int], left_out: Collection[int]
) -> Iterator[list[Answer]]:
    """As `Backend.compute`, window after window."""
    if not isinstance(prepared, Windows):
        yield from _compute(backend, prepared, done, left_out)
        return
    for window in range(len(prepared)):
        places = prepared.range(window)
        own_done, own_left_out = (
            frozenset(index - places.start for index in places if index in some) for some in (done, left_out)
        )
        if len(own_done) + len(own_left_out) == len(places):
            continue
        try:
            for answers in _compute(backend, prepared.window(window), own_done, own_left_out):
                yield [(places.start + index, reply) for index, reply in answers]
        except NonFiniteError as error:
            if hasattr(error, "request"):
                error.request += places.start
            raise


def _compute(
    backend: Backend, prepared: Prepared, done: Collection[int], left_out: Collection[int]
) -> Iterator[list[Answer]]:
    others = {"left_out": left_out} if left_out else {}
    return backend.compute(prepared, done, **others)


def cost(backend: Backend, prepared: Prepared, seconds: float) -> Cost | None:
    """As `Backend.cost`; of windows the first one's, for as many tokens as all have."""
    if not isinstance(prepared, Windows):
        return backend.cost(prepared, seconds)
    first = prepared.range(0)
    found = backend.cost(prepared.window(0), seconds)
    if found is None:
        return None
    asked = sum(prepared.tokens)
    times = asked / max(1, sum(prepared.tokens[first.start : first.stop]))
    return replace(
        found,
        tokens_asked=asked,
        tokens_computed=round(found.tokens_computed * times),
        batches=round(found.batches * times),
        new_tokens=round(found.new_tokens * times),
    )


def _bounds(counts: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Documents first .. stop of each window."""
    first = requests = 0
    for place, count in enumerate(counts):
        if requests + count > WINDOW and place > first:
            yield first, place
            first, requests = place, 0
        requests += count
    if first < len(counts):
        yield first, len(counts)


Build = Callable[[int], tuple[Request, ...]]
"""Builds a document's requests, with so many examples left out."""
