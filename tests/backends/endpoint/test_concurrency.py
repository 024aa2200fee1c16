"""How many requests are under way: TCP's rule."""

from __future__ import annotations

import asyncio
from time import monotonic

from evalkit.backends.endpoint.concurrency import START, Limiter


def test_it_doubles_each_round_until_the_first_cut_and_then_grows_by_one() -> None:
    limiter = Limiter(100)
    for _ in range(START):
        limiter.grow()
    assert limiter.limit == 2 * START
    limiter.shrink(0)
    assert limiter.limit == START
    for _ in range(START):
        limiter.grow()
    assert START + 0.8 < limiter.limit < START + 1


def test_requests_that_were_under_way_together_cut_once() -> None:
    limiter = Limiter(64)
    limiter.limit = 32.0
    for _ in range(10):
        limiter.shrink(0)
    assert limiter.limit == 16.0
    limiter.shrink(1)
    assert limiter.limit == 8.0
    for epoch in range(2, 10):
        limiter.shrink(epoch)
    assert limiter.limit == 1.0


def test_it_never_passes_the_bound() -> None:
    limiter = Limiter(2)
    for _ in range(50):
        limiter.grow()
    assert limiter.limit == 2.0


def test_so_many_are_under_way_and_no_more() -> None:
    async def run() -> int:
        limiter = Limiter(3)
        under_way = most = 0

        async def one() -> None:
            nonlocal under_way, most
            async with limiter.slot():
                under_way += 1
                most = max(most, under_way)
                await asyncio.sleep(0.001)
                under_way -= 1

        await asyncio.gather(*(one() for _ in range(20)))
        return most

    assert asyncio.run(run()) == 3


def test_a_pause_holds_back_what_would_start() -> None:
    async def run() -> float:
        limiter = Limiter(3)
        limiter.pause(0.05)
        start = monotonic()
        async with limiter.slot():
            return monotonic() - start

    assert asyncio.run(run()) >= 0.05
