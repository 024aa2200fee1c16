"""Workers on a Ray cluster: an actor each, which holds the model."""

from __future__ import annotations

import logging
import time
import warnings
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

import ray
import ray.exceptions

from evalkit.backends.workers.fleet import (
    MAX_DEATHS,
    Event,
    Failed,
    Finished,
    Joined,
    Lost,
    Piece,
    Setup,
)
from evalkit.backends.workers.jobs import Describe, Job
from evalkit.backends.workers.processes import portable
from evalkit.errors import EvaluationError, UsageError

LOOK = 5.0
"""Seconds between looks at whether the cluster has grown."""


class Worker:
    """The actor: loads the model when it is first asked for anything.

    Args:
        setup: What to load.
    """

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._backend: Any = None

    def do(self, job: Job) -> tuple[list[Any], Exception | None]:
        """All that comes of a job, and what went wrong."""
        try:
            if self._backend is None:
                self._backend = self._setup.open()
            return list(job.run(self._backend)), None
        except Exception as error:
            return [], portable(error)


@dataclass(slots=True, eq=False)
class _Actor:
    """A worker, which may wait for a place on the cluster.

    Attributes:
        handle: Ray's.
        calls: What it was asked and has not answered: Ray's reference -> ticket; -1 for its description.
        deaths: How often it died since it last finished anything.
    """

    handle: Any
    calls: dict[Any, int] = field(default_factory=dict)
    deaths: int = 0


class RayFleet:
    """Starts workers on a cluster. One that dies is started again, on another machine if need be.

    Args:
        address: `auto`, or `ray://HOST:PORT`.
        setup: What each is to load.
        workers: How many; those for which there is no room wait until there is. "auto" for one on each accelerator that
            there is or comes, or, where there are none, one on each machine.

    Raises:
        UsageError: There is no such cluster.
    """

    def __init__(self, address: str, setup: Setup, workers: int | str) -> None:
        self._joined_cluster = not ray.is_initialized()
        if self._joined_cluster:
            _connect(address)
        self._setup = setup
        self._workers = workers
        self._names = count(1)
        self._actors: dict[str, _Actor] = {}
        self._looked = 0.0
        self._given_up = 0
        self._grow()

    @property
    def size(self) -> int:
        """Workers that run, wait for room, or are being started."""
        return len(self._actors)

    def send(self, worker: str, ticket: int, job: Job) -> None:
        """Gives a worker a job; if it is gone, `events` will say so."""
        actor = self._actors.get(worker)
        if actor is not None:
            actor.calls[actor.handle.do.remote(job)] = ticket

    def events(self, seconds: float) -> list[Event]:
        """What the workers said, and which of them are gone."""
        self._grow()
        asked = {reference: name for name, actor in self._actors.items() for reference in actor.calls}
        if not asked:
            time.sleep(seconds)
            return []
        references = list(asked)
        ready, waiting = ray.wait(references, num_returns=1, timeout=seconds)
        if ready and waiting:
            others, _ = ray.wait(waiting, num_returns=len(waiting), timeout=0)
            ready.extend(others)
        order = {reference: place for place, reference in enumerate(references)}
        return [event for one in sorted(ready, key=lambda one: order[one]) for event in self._read(asked[one], one)]

    def _read(self, name: str, reference: Any) -> list[Event]:
        actor = self._actors[name]
        if reference not in actor.calls:
            return []  # its worker was found dead a moment ago
        ticket = actor.calls.pop(reference)
        try:
            pieces, error = ray.get(reference)
        except ray.exceptions.RayTaskError as failed:
            return [Failed(name, EvaluationError(f"a worker failed: {str(failed).splitlines()[-1]}"))]
        except ray.exceptions.RayError as lost:
            return [self._bury(name, lost)]
        if error is not None:
            return [Failed(name, error)]
        if ticket < 0:
            return [Joined(name, pieces[0])]
        actor.deaths = 0
        return [*(Piece(name, ticket, piece) for piece in pieces), Finished(name, ticket)]

    def _bury(self, name: str, error: Exception) -> Lost:
        """Takes note of a worker's end, and starts it again unless it ended too often without doing anything."""
        actor = self._actors.pop(name)
        ray.kill(actor.handle)
        reason = str(error).partition("\n")[0].rstrip(". ")  # the rest is Ray's advice, with names of machines
        returns = actor.deaths + 1 < MAX_DEATHS
        if returns:
            self._actors[name] = self._start(actor.deaths + 1)
        else:
            self._given_up += 1
        return Lost(name, reason, returns)

    def _start(self, deaths: int = 0) -> _Actor:
        handle = self._kind.remote(self._setup)
        return _Actor(handle, {handle.do.remote(Describe()): -1}, deaths)

    def _grow(self) -> None:
        """Starts the workers that are wanted and not there: at the beginning, and as the cluster grows."""
        now = time.monotonic()
        if self._looked and (self._workers != "auto" or now - self._looked < LOOK):
            return
        first, self._looked = not self._looked, now
        total = ray.cluster_resources()
        accelerators = int(total.get("GPU", 0)) if self._setup.model_options.device != "cpu" else 0
        machines = sum(bool(node["Alive"]) for node in ray.nodes())
        wanted = self._workers if isinstance(self._workers, int) else accelerators or machines
        if first:
            processors = max(1, int(total.get("CPU", 1)) // max(wanted, machines))
            self._kind = ray.remote(Worker).options(
                num_gpus=1 if accelerators else 0, num_cpus=1 if accelerators else processors, max_restarts=0
            )
            if not accelerators and self._setup.threads is None:
                self._setup = replace(self._setup, threads=processors)
        for _ in range(wanted - len(self._actors) - self._given_up):
            self._actors[str(next(self._names))] = self._start()

    def close(self) -> None:
        """Ends all workers, and leaves the cluster if it was joined here."""
        for actor in self._actors.values():
            ray.kill(actor.handle)
        self._actors.clear()
        if self._joined_cluster:
            ray.shutdown()


def _connect(address: str) -> None:
    # that jobs carry their prompts is meant
    warnings.filterwarnings("ignore", message="More than 10MB of messages")
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, TimeoutError, RuntimeError, ValueError) as error:
        raise UsageError(
            f"no Ray cluster answers at {address}: {' '.join(str(error).split())[:200]}",
            hint="`ray start --head` starts one on this machine; ray:// needs the address of its head and port 10001",
        ) from error
