"""The real schedule with simulated workers: efficiency, tail and the driver's memory, up to 1,024 workers and 10^8 requests.

    python -m benchmarks.scale.simulation benchmarks/scale/units.npz                    # the suite once, 1 to 1,024 workers
    python -m benchmarks.scale.simulation benchmarks/scale/units.npz --requests 1e8 --workers 1024

Batches take the seconds that were recorded, times a factor of each worker's own and one of each grant's own. The driver is
one thread: handing out takes what the real code takes here, timed, and `--job-seconds` more for what makes a job of a grant
and takes its answers in. Loading the model is left out: all workers begin at 0.
"""

from __future__ import annotations

import argparse
import heapq
import json
import random
import time
import tracemalloc
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import psutil

from benchmarks.scale.units import Units
from evalkit.backends.workers.backend import GRANT
from evalkit.backends.workers.crew import DEPTH
from evalkit.backends.workers.schedule import Grant, Schedule


@dataclass(frozen=True, slots=True)
class Conditions:
    """What is simulated.

    Attributes:
        workers: How many.
        times: How often the suite is done, one after another, in one schedule.
        latency: Seconds that a message takes from driver to worker, or back.
        job: Seconds of the driver's time that a grant takes besides the schedule.
        spread: Standard deviation of the logarithm of a worker's speed, and of a grant's.
        deaths: Workers lost on the way, each for good and replaced by a new one a minute later.
        seed: Of all draws.
    """

    workers: int
    times: int = 1
    latency: float = 0.001
    job: float = 0.002
    spread: float = 0.03
    deaths: int = 0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it.

    Attributes:
        workers: Number of workers.
        requests: Number of requests.
        seconds: Until the last answer was in.
        efficiency: Seconds of one worker of mean speed for the plan, over `seconds` times workers.
        tail: Seconds from when the first worker had nothing left to do until the end.
        repeated: Share of the tokens that was computed twice: prefixes of shared subtrees, and what lost workers had.
        stolen: Number of subtrees that were shared.
        grants: Number of grants.
        driver: Share of the time in which the driver was busy.
        peak_mib: Most memory that the schedule and its chains took, MiB.
        real_seconds: Time that the simulation took.
    """

    workers: int
    requests: int
    seconds: float
    efficiency: float
    tail: float
    repeated: float
    stolen: int
    grants: int
    driver: float
    peak_mib: float
    real_seconds: float


class Simulation:
    """Workers, a driver, and the messages between them, as events in time."""

    def __init__(self, units: Units, conditions: Conditions, budget: int) -> None:
        self.units, self.conditions = units, conditions
        self.draw = random.Random(conditions.seed)
        self.schedule = Schedule(units.chains(conditions.times), GRANT * budget)
        self.events: list[tuple[float, int, str, str, Grant | None]] = []
        self.numbers = 0
        self.driver_free = self.driver_busy = 0.0
        self.speeds: dict[str, float] = {}
        self.queues: dict[str, deque[Grant]] = {}
        self.working: dict[str, Grant | None] = {}
        self.ended: dict[str, float] = {}
        self.granted = 0
        self.now = self.last = 0.0

    def run(self) -> float:
        """Seconds until everything is done."""
        for place in range(self.conditions.workers):
            self._join(f"w{place}")
        expected = self.units.seconds.sum() * self.conditions.times / self.conditions.workers
        for _ in range(self.conditions.deaths):
            self._at(self.draw.uniform(0.1, 0.9) * expected, "dies", "")
        while not self.schedule.done:
            self.now, _, kind, name, grant = heapq.heappop(self.events)
            if kind == "arrives" and name in self.queues and grant is not None:
                self.queues[name].append(grant)
                self._work(name)
            elif kind == "computed" and name in self.queues and grant is not None:
                self.working[name], self.ended[name] = None, self.now
                self._work(name)
                self._at(self.now + self.conditions.latency, "answers", name, grant)
            elif kind == "answers" and name in self.queues and grant is not None:
                self.last = self._driver(self.conditions.job)
                self.schedule.finished(name, grant.number)
                self._hand_out(name)
            elif kind == "joins":
                self._join(name)
            elif kind == "dies":
                self._lose(self.draw.choice(list(self.queues)))
        return self.last

    def _at(self, when: float, kind: str, name: str, grant: Grant | None = None) -> None:
        self.numbers += 1
        heapq.heappush(self.events, (when, self.numbers, kind, name, grant))

    def _driver(self, seconds: float) -> float:
        """When the driver is done with something that takes so long."""
        self.driver_free = max(self.driver_free, self.now) + seconds
        self.driver_busy += seconds
        return self.driver_free

    def _join(self, name: str) -> None:
        self.speeds[name] = self.draw.lognormvariate(0.0, self.conditions.spread)
        self.queues[name], self.working[name] = deque(), None
        for _ in range(DEPTH):
            self._hand_out(name)

    def _hand_out(self, name: str) -> None:
        start = time.perf_counter()
        grant = self.schedule.next(name)
        sent = self._driver(time.perf_counter() - start)
        if grant is not None:
            self.granted += 1
            self._at(sent + self.conditions.latency, "arrives", name, grant)

    def _work(self, name: str) -> None:
        if self.working[name] is not None:
            return
        if not self.queues[name]:
            return
        grant = self.working[name] = self.queues[name].popleft()
        steps = [*grant.again, *range(grant.first, grant.stop)]
        seconds = self.units.seconds[[grant.chain.name + step for step in steps]].sum()
        own = self.draw.lognormvariate(0.0, self.conditions.spread)
        self._at(self.now + float(seconds) * self.speeds[name] * own, "computed", name, grant)

    def _lose(self, name: str) -> None:
        del self.queues[name], self.working[name], self.speeds[name]
        self.schedule.lost(name)
        self._at(self.now + 60.0, "joins", f"{name}'")
        for other in list(self.queues):  # what came back is for those with nothing to do
            if self.working[other] is None and not self.queues[other]:
                self._hand_out(other)


def simulate(units: Units, conditions: Conditions, budget: int, *, memory: bool = False) -> Outcome:
    """One simulation.

    Args:
        units: What the batches take.
        conditions: What is simulated.
        budget: Tokens in a batch.
        memory: Also trace the memory of the schedule, which makes everything some times slower.
    """
    start = time.perf_counter()
    if memory:
        tracemalloc.start()
    one = Simulation(units, conditions, budget)
    seconds = one.run()
    peak = tracemalloc.get_traced_memory()[1] / 2**20 if memory else float("nan")
    if memory:
        tracemalloc.stop()
    alone = float(units.seconds.sum()) * conditions.times
    return Outcome(
        workers=conditions.workers,
        requests=units.requests * conditions.times,
        seconds=seconds,
        efficiency=alone / (seconds * conditions.workers),
        tail=seconds - min((one.ended.get(name, 0.0) for name in one.queues), default=seconds),
        repeated=one.schedule.repeated / (int(units.tokens.sum()) * conditions.times),
        stolen=one.schedule.stolen,
        grants=one.granted,
        driver=one.driver_busy / seconds,
        peak_mib=peak,
        real_seconds=time.perf_counter() - start,
    )


COLUMNS = ("workers", "requests", "seconds", "efficiency", "tail", "repeated", "stolen", "grants", "driver", "peak_mib")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("units", type=Path)
    parser.add_argument("--workers", type=lambda text: [int(one) for one in text.split(",")])
    parser.add_argument("--requests", type=float, help="about so many, by doing the suite several times")
    parser.add_argument("--deaths", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0.001)
    parser.add_argument("--job-seconds", type=float, default=0.002)
    parser.add_argument(
        "--slower", type=float, default=1.0, help="all batches take so many times as long: a larger model"
    )
    parser.add_argument("--memory", action="store_true", help="trace memory")
    arguments = parser.parse_args(argv)
    units = Units.read(arguments.units)
    units = Units(
        **{**{name: getattr(units, name) for name in units.__slots__}, "seconds": units.seconds * arguments.slower}
    )
    budget = int(np.percentile(units.tokens, 90))
    times = 1 if arguments.requests is None else max(1, round(arguments.requests / units.requests))
    alone = f"{units.seconds.sum():.0f} s on one worker"
    print(f"{units.device}, {units.model}: {units.requests:,} requests, {alone}, times {times}")
    print("| " + " | ".join(COLUMNS) + " |\n|" + "---:|" * len(COLUMNS))
    for workers in arguments.workers or [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]:
        conditions = Conditions(workers, times, arguments.latency, arguments.job_seconds, deaths=arguments.deaths)
        row = asdict(simulate(units, conditions, budget, memory=arguments.memory))
        print("| " + " | ".join(_cell(row[name]) for name in COLUMNS) + " |", flush=True)
    print(json.dumps({"rss_mib": psutil.Process().memory_info().rss / 2**20}))


def _cell(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


if __name__ == "__main__":
    main()
