"""Keeps a fleet at work: hands out what a schedule grants, and gives what a lost worker had to others."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from typing import Any

from evalkit.backends.workers.fleet import MAX_DEATHS, Failed, Finished, Fleet, Joined, Lost, Piece
from evalkit.backends.workers.jobs import Description, Job
from evalkit.backends.workers.schedule import Chain, Grant, Schedule
from evalkit.errors import EvaluationError

logger = logging.getLogger(__name__)

DEPTH = 2
"""Jobs that a worker has at a time, so that it need not wait for the next one."""

TICK = 1.0
"""Seconds after which it is looked whether workers have come."""


class Crew:
    """The workers of one model.

    Args:
        fleet: The workers.

    Attributes:
        descriptions: What each worker that takes jobs has loaded.
        joined: Number of workers that ever took jobs.
        lost: Number of times that a worker was lost.
        kinds: What the workers compute with, each kind once (`Environment.computing`).
    """

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.descriptions: dict[str, Description] = {}
        self.joined: set[str] = set()
        self.lost = 0
        self.kinds: list[Mapping[str, Any]] = []
        self._first: Description | None = None
        self._tickets = count()
        self._deaths: Counter[tuple[Any, int]] = Counter()

    @property
    def first(self) -> Description:
        """What the first worker has loaded; waits for it.

        Raises:
            EvalkitError: No worker could load the model.
        """
        while self._first is None:
            for event in self._events():
                if isinstance(event, Lost) and not event.returns:
                    self._check_any(event)
        return self._first

    def ask(self, job: Job) -> list[Any]:
        """Has one worker do a job, another one if the first is lost; returns all that comes of it."""
        schedule = Schedule([Chain.of("job", [1])], 1)
        return [value for found in self.run(schedule, lambda _: job, whole=True) for _, value in found]

    def run(
        self, schedule: Schedule, job: Callable[[Grant], Job], *, whole: bool = False
    ) -> Iterator[list[tuple[Grant, Any]]]:
        """Has all of a schedule done.

        Args:
            schedule: What is to be done.
            job: Makes a job of a grant.
            whole: Hand a job's pieces out only once it is finished, so that none comes twice.

        Yields:
            What came of it since the last time: a grant, and a piece of what its job gave. After a worker was lost the same
            piece may come again.

        Raises:
            EvalkitError: A job failed, or no worker is left.
        """
        _ = self.first
        self._deaths.clear()  # of another schedule's chains, which may have the same names
        granted: dict[int, tuple[str, Grant]] = {}
        kept: dict[int, list[Any]] = {}
        while not schedule.done:
            self._hand_out(schedule, job, granted)
            found: list[tuple[Grant, Any]] = []
            for event in self._events():
                if isinstance(event, Piece) and event.ticket in granted:
                    if whole:
                        kept.setdefault(event.ticket, []).append(event.value)
                    else:
                        found.append((granted[event.ticket][1], event.value))
                elif isinstance(event, Finished) and event.ticket in granted:
                    name, grant = granted.pop(event.ticket)
                    schedule.finished(name, grant.number)
                    found.extend((grant, value) for value in kept.pop(event.ticket, ()))
                elif isinstance(event, Lost):
                    for ticket in [ticket for ticket, (name, _) in granted.items() if name == event.worker]:
                        del granted[ticket]
                        kept.pop(ticket, None)
                    self._take_back(event, schedule.lost(event.worker))
            if found:
                self._hand_out(schedule, job, granted)  # before the caller takes its time with what was found
                yield found

    def _hand_out(self, schedule: Schedule, job: Callable[[Grant], Job], granted: dict[int, tuple[str, Grant]]) -> None:
        """Gives every worker something to do that has room for it: each one job before any has two."""
        busy = Counter(name for name, _ in granted.values())
        for depth in range(1, DEPTH + 1):
            for name in list(self.descriptions):
                if busy[name] < depth and (grant := schedule.next(name)) is not None:
                    ticket = next(self._tickets)
                    granted[ticket] = (name, grant)
                    busy[name] += 1
                    self.fleet.send(name, ticket, job(grant))

    def _events(self) -> Iterator[Any]:
        """What happened; keeps the list of workers.

        Raises:
            EvalkitError: A job failed, or a worker has loaded something else than the others.
        """
        for event in self.fleet.events(TICK):
            if isinstance(event, Failed):
                raise event.error
            if isinstance(event, Joined):
                self._join(event)
            if isinstance(event, Lost):
                self.lost += 1
                self.descriptions.pop(event.worker, None)
                logger.warning(
                    "worker %s is lost (%s)%s",
                    event.worker,
                    event.reason,
                    "; it is started again" if event.returns else "",
                )
            yield event

    def _join(self, event: Joined) -> None:
        own = event.description
        if self._first is None:
            self._first = own
        elif difference := _difference(self._first, own):
            raise EvaluationError(
                f"worker {event.worker} has {difference}",
                hint="install the same evalkit and put the same model in the same place on all machines",
            )
        self.descriptions[event.worker] = own
        self.joined.add(event.worker)
        if own.environment.computing not in self.kinds:
            self.kinds.append(own.environment.computing)

    def _take_back(self, event: Lost, grants: list[Grant]) -> None:
        """Sees to it that what kills workers is not given to one after another for ever."""
        if grants:
            oldest = min(grants, key=lambda grant: grant.number)
            key = (oldest.chain.name, oldest.first)
            self._deaths[key] += 1
            if self._deaths[key] == MAX_DEATHS:
                raise EvaluationError(
                    f"{MAX_DEATHS} workers were lost on the same part of the work; the last: {event.reason}",
                    hint="the machine may be short of memory: give fewer --workers, or a smaller --batch-tokens",
                )
        if not event.returns:
            self._check_any(event)

    def _check_any(self, event: Lost) -> None:
        if not self.descriptions and not self.fleet.size:
            raise EvaluationError(
                f"no worker is left; the last was lost: {event.reason}",
                hint="what is computed is kept; the same command continues",
            )


def _difference(first: Description, other: Description) -> str | None:
    """What of two workers would give other answers, for a message."""
    if first.version != other.version:
        return f"evalkit {other.version}, not {first.version}"
    if first.info.content() != other.info.content():
        return "another model than the first worker: the hashes of weights, configuration or tokenizer differ"
    if (type(first.planner.path), first.rounds) != (type(other.planner.path), other.rounds):
        return f"found another way to compute ({other.check.path}, not {first.check.path}) on its hardware"
    return None
