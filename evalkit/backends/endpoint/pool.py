"""Many requests at once: each is answered, or fails for good by itself, until the endpoint shows that it is dead."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from evalkit.backends.base import Answer
from evalkit.backends.endpoint.client import CONTINUE, Unanswered
from evalkit.backends.endpoint.jobs import Worker
from evalkit.backends.endpoint.wire import Api
from evalkit.engine.sequences import Sequence as TokenSequence
from evalkit.errors import ModelError
from evalkit.requests import Failure, Request

PATIENCE = 8
"""Requests in a row that get no reply at all, each after all its tries, before the endpoint counts as dead; and requests
that are refused before a single one was answered."""

Job = tuple[int, Request, Api | None, Sequence[TokenSequence] | None]


class _Vigil:
    """Watches whether the endpoint is alive."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.answered = 0
        self.silent = 0
        self.refused = 0

    def saw_answer(self) -> None:
        self.answered += 1
        self.silent = 0

    def saw_failure(self, error: Unanswered) -> None:
        self.silent = self.silent + 1 if error.lost else 0
        self.refused += not error.lost
        if self.silent >= PATIENCE:
            raise ModelError(f"{self.name} no longer answers: {error.reason}", hint=CONTINUE)
        if not self.answered and self.refused >= PATIENCE:
            raise ModelError(
                f"{self.name} has answered none of {self.refused} requests, the last one because {error.reason}",
                hint="check what the server's message names",
            )


async def answer_all(worker: Worker, jobs: Sequence[Job], put: Callable[[Answer], None]) -> None:
    """Answers all jobs, as many at once as the server bears, and puts each answer as it comes.

    Raises:
        ModelError: The endpoint is dead, or refuses everything.
    """
    waiting = iter(jobs)
    vigil = _Vigil(worker.client.address.name)

    async def work() -> None:
        for index, request, api, sequences in waiting:
            try:
                reply = await worker.answer(request, api, sequences)
            except Unanswered as error:
                put((index, Failure(error.reason)))
                vigil.saw_failure(error)
            else:
                put((index, reply))
                vigil.saw_answer()

    workers = [asyncio.create_task(work()) for _ in range(min(worker.client.limiter.most, len(jobs)))]
    try:
        await asyncio.gather(*workers)
    finally:
        for one in workers:
            one.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
