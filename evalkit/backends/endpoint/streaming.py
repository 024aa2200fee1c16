"""An asynchronous producer behind an ordinary iterator: what it puts arrives while it goes on producing."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from typing import Any, TypeVar

Item = TypeVar("Item")


class _End:
    """The producer is done.

    Args:
        error: What it raised, if anything.
    """

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def stream(produce: Callable[[Callable[[Item], None]], Coroutine[Any, Any, None]]) -> Iterator[list[Item]]:
    """Runs a producer in a thread with an event loop of its own and yields what it puts.

    All that has arrived is yielded together; none of it is lost when the producer fails. Leaving the iterator early cancels
    the producer.

    Args:
        produce: Is given the function that puts an item.

    Raises:
        Exception: What the producer raised, after all that it had put.
    """
    arrived: queue.SimpleQueue[Item | _End] = queue.SimpleQueue()
    loop = asyncio.new_event_loop()
    task = loop.create_task(produce(arrived.put))
    thread = threading.Thread(target=_run, args=(loop, task, arrived), daemon=True)
    thread.start()
    try:
        end = None
        while end is None:
            items: list[Item] = []
            waiting = True
            while end is None and (waiting or not arrived.empty()):
                found = arrived.get()
                waiting = False
                if isinstance(found, _End):
                    end = found
                else:
                    items.append(found)
            if items:
                yield items
        if end.error is not None:
            raise end.error
    finally:
        if thread.is_alive():
            _cancel(loop, task)
            thread.join(timeout=10)


def call(coroutine: Coroutine[Any, Any, Item]) -> Item:
    """What a coroutine returns, also where the caller's thread already runs an event loop, as in a notebook."""

    async def produce(put: Callable[[Item], None]) -> None:
        put(await coroutine)

    ((result,),) = stream(produce)
    return result


def _run(loop: asyncio.AbstractEventLoop, task: asyncio.Task[None], arrived: queue.SimpleQueue[Any]) -> None:
    error: BaseException | None = None
    try:
        loop.run_until_complete(task)
    except BaseException as raised:  # handed over to the thread that iterates
        error = raised
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
        arrived.put(_End(error))


def _cancel(loop: asyncio.AbstractEventLoop, task: asyncio.Task[None]) -> None:
    with suppress(RuntimeError):  # it came to its end meanwhile
        loop.call_soon_threadsafe(task.cancel)
