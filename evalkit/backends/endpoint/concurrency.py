"""How many requests are under way at once: more while the server answers, half as many when it says that it is too much.

The rule is TCP's (Jacobson 1988): slow start up to the first refusal, then additive increase and multiplicative decrease.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

START = 4


@dataclass(slots=True)
class Slot:
    """One request under way.

    Attributes:
        limiter: Whose it is.
        epoch: How often the limit had been cut when the request started.
    """

    limiter: Limiter
    epoch: int

    def succeeded(self) -> None:
        """The server answered."""
        self.limiter.grow()

    def overloaded(self) -> None:
        """The server said, or showed by silence, that it has too much to do."""
        self.limiter.shrink(self.epoch)


class Limiter:
    """Bounds how many requests are under way.

    Args:
        most: Upper bound.

    Attributes:
        limit: Requests allowed at once, as a fraction that grows.
        cuts: How often the limit was cut.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.limit = float(min(START, most))
        self.cuts = 0
        self._in_use = 0
        self._paused_until = 0.0
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[Slot]:
        """Waits until another request may start, and counts it until the block is left."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._in_use < math.floor(self.limit))
            self._in_use += 1
        try:
            while (rest := self._paused_until - time.monotonic()) > 0:
                await asyncio.sleep(rest)
            yield Slot(self, self.cuts)
        finally:
            async with self._changed:
                self._in_use -= 1
                self._changed.notify_all()

    def grow(self) -> None:
        """After an answer: one more each answer before the first cut, later one more for each full round."""
        self.limit = min(float(self.most), self.limit + (1 if self.cuts == 0 else 1 / self.limit))

    def shrink(self, epoch: int) -> None:
        """After a refusal: half as many, once for all requests that were under way together."""
        if epoch == self.cuts:
            self.limit = max(1.0, self.limit / 2)
            self.cuts += 1

    def pause(self, seconds: float) -> None:
        """Starts no request for so many seconds: the server asked for it."""
        self._paused_until = max(self._paused_until, time.monotonic() + seconds)
