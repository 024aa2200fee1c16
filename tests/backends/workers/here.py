"""A fleet in this process: real models, jobs that travel as pickles, and workers that are lost when a test says so."""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

from evalkit.backends.local import LocalBackend, LocalOptions
from evalkit.backends.workers.backend import FleetBackend
from evalkit.backends.workers.fleet import Event, Failed, Finished, Joined, Lost, Piece
from evalkit.backends.workers.jobs import Describe, Job, ScoreBatches
from evalkit.models import ModelOptions, open_model

Dies = Callable[[str, Job, int], bool]
"""Whether a worker is lost at a piece of a job: its name, the job, how many pieces came before of all jobs."""


class HereFleet:
    """Workers that take turns."""

    def __init__(self, backends: dict[str, LocalBackend], dies: Dies = lambda *_: False, returns: bool = True) -> None:
        self.backends = backends
        self.dies = dies
        self.returns = returns
        self.queues: dict[str, deque[tuple[int, Job]]] = {}
        self.joining = list(backends)
        self.turns: Iterator[str] = iter(())
        self.pieces = 0
        self.sent: list[tuple[str, Job]] = []
        self.closed = False

    @property
    def size(self) -> int:
        return len(self.queues) + len(self.joining)

    def send(self, worker: str, ticket: int, job: Job) -> None:
        job = pickle.loads(pickle.dumps(job))
        self.sent.append((worker, job))
        if worker in self.queues:
            self.queues[worker].append((ticket, job))

    def events(self, seconds: float) -> list[Event]:
        if self.joining:
            name = self.joining.pop(0)
            self.queues[name] = deque()
            (description,) = Describe().run(self.backends[name])
            return [Joined(name, pickle.loads(pickle.dumps(description)))]
        return next((found for name in list(self.queues) if (found := self._work(name))), [])

    def _work(self, name: str) -> list[Event]:
        queue = self.queues.pop(name)
        self.queues[name] = queue  # the next turn is another's
        if not queue:
            return []
        ticket, job = queue.popleft()
        found: list[Event] = []
        try:
            for value in job.run(self.backends[name]):
                if self.dies(name, job, self.pieces):
                    del self.queues[name]
                    if self.returns:
                        self.joining.append(name)
                    return [*found, Lost(name, "ended by signal 9", self.returns)]
                self.pieces += 1
                found.append(Piece(name, ticket, pickle.loads(pickle.dumps(value))))
        except Exception as error:
            return [*found, Failed(name, error)]
        return [*found, Finished(name, ticket)]

    def close(self) -> None:
        self.closed = True

    @property
    def batches(self) -> int:
        """Batches that were sent to be scored."""
        return sum(len(job.batches) for _, job in self.sent if isinstance(job, ScoreBatches))


def fleet_backend(
    model: Path,
    workers: int = 2,
    options: LocalOptions | None = None,
    dies: Dies = lambda *_: False,
    *,
    returns: bool = True,
) -> tuple[FleetBackend, HereFleet]:
    """A backend on so many workers in this process, each with a model of its own."""
    spec, model_options = str(model), ModelOptions(device="cpu")
    opened = [LocalBackend(open_model(spec, model_options), options) for _ in range(workers)]
    fleet = HereFleet({f"w{place}": one for place, one in enumerate(opened)}, dies, returns)
    return FleetBackend(open_model(spec, model_options, weights=False), fleet, options), fleet
