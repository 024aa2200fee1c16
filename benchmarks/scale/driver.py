"""How many requests a second one driver can hand out and take in: a run whose workers answer at once, without computing.

    python -m benchmarks.scale.driver --data-dir ../shared/data/hub --limit 0.25
    python -m benchmarks.scale.driver --data-dir ../shared/data/hub --limit 0.25 --profile

Everything else is real: prompts, tokens, the plan, jobs and answers as they travel, the journal with its syncs, scores.
The seconds that workers would spend (reading a job, writing its answer) are measured and left out.
"""

from __future__ import annotations

import argparse
import cProfile
import pickle
import pstats
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil

import evalkit
from benchmarks.scale.workers import build
from evalkit.backends.engine_backend import LocalOptions
from evalkit.backends.local import LocalBackend
from evalkit.backends.workers.backend import FleetBackend
from evalkit.backends.workers.fleet import Event, Finished, Joined, Piece
from evalkit.backends.workers.jobs import Describe, Job, ScoreBatches, Scored
from evalkit.engine.plan import Batch, PackedBatch
from evalkit.engine.sequences import Sequence as TokenSequence
from evalkit.models import open_model


class IdleFleet:
    """Workers that answer at once, with zeros.

    Args:
        workers: How many.
        backend: Describes them.
    """

    def __init__(self, workers: int, backend: LocalBackend) -> None:
        self.size = workers
        (self._description,) = Describe().run(backend)
        self._waiting: deque[Event] = deque(Joined(str(place), self._description) for place in range(workers))
        self._sent: deque[tuple[str, int, bytes]] = deque()
        self.bytes = self.jobs = 0
        self.workers_seconds = 0.0

    def send(self, worker: str, ticket: int, job: Job) -> None:
        """Pickles it, as a pipe would."""
        content = pickle.dumps(job)
        self.bytes += len(content)
        self.jobs += 1
        self._sent.append((worker, ticket, content))

    def events(self, seconds: float) -> list[Event]:
        """All that was sent is answered."""
        found, self._waiting = list(self._waiting), deque()
        answers = []
        start = time.perf_counter()
        while self._sent:
            worker, ticket, content = self._sent.popleft()
            answers += [(worker, ticket, pickle.dumps(one)) for one in zeros(pickle.loads(content))]
            answers.append((worker, ticket, b""))
        self.workers_seconds += time.perf_counter() - start
        for worker, ticket, content in answers:
            self.bytes += len(content)
            found.append(Piece(worker, ticket, pickle.loads(content)) if content else Finished(worker, ticket))
        return found

    def close(self) -> None:
        """Nothing."""


def zeros(job: ScoreBatches) -> list[Scored]:
    """Answers of the right shape."""
    return [_zeros(job.sequences, batch) for batch in job.batches]


def _zeros(sequences: Sequence[TokenSequence], batch: Batch) -> Scored:
    if not isinstance(batch, PackedBatch):
        raise TypeError("the benchmark is for packed batches")
    pieces = [piece for piece in batch.pieces if piece.scored < piece.stop]
    counts = np.array([piece.stop - piece.scored for piece in pieces], dtype=np.int64)
    offsets = np.array([piece.scored - sequences[piece.sequence].first_scored for piece in pieces], dtype=np.int64)
    places = np.array([piece.sequence for piece in pieces], dtype=np.int64)
    total = int(counts.sum())
    return Scored(places, offsets, counts, np.zeros(total, np.float32), np.zeros(total, np.bool_), batch.tokens)


def measure(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """One run."""
    model = str(build("tiny", arguments.tokenizer, folder / "model"))
    options = LocalOptions(token_budget=arguments.budget)
    opened = open_model(model)
    fleet = IdleFleet(arguments.workers, LocalBackend(open_model(model), options))
    backend = FleetBackend(opened, fleet, options)
    start = time.perf_counter()
    run = evalkit.run(
        model=backend,
        tasks=arguments.tasks,
        limit=arguments.limit,
        data_dir=arguments.data_dir,
        offline=True,
        over_length="truncate",
        output=folder / "result.json",
    )
    whole = time.perf_counter() - start
    seconds = run.timing["seconds"]
    scoring = seconds["scoring"] - fleet.workers_seconds
    return {
        "requests": run.timing["requests"],
        "jobs": fleet.jobs,
        "scoring": scoring,
        "requests_per_second": run.timing["requests"] / scoring,
        "milliseconds_per_job": 1000 * scoring / fleet.jobs,
        "kilobytes_per_job": fleet.bytes / fleet.jobs / 1000,
        "stages": {name: round(one, 2) for name, one in seconds.items()},
        "whole": whole,
        "rss_mib": psutil.Process().memory_info().rss / 2**20,
    }


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", default="leaderboard")
    parser.add_argument("--limit")
    parser.add_argument("--data-dir")
    parser.add_argument("--tokenizer", default="smollm2")
    parser.add_argument("--workers", type=int, default=64)
    parser.add_argument("--budget", type=int, default=8192)
    parser.add_argument("--profile", action="store_true")
    arguments = parser.parse_args(argv)
    profile = cProfile.Profile()
    with tempfile.TemporaryDirectory() as folder:
        if arguments.profile:
            profile.enable()
        row = measure(arguments, Path(folder))
        profile.disable()
    for name, value in row.items():
        print(f"{name}: {value:,.4g}" if isinstance(value, float) else f"{name}: {value}")
    if arguments.profile:
        pstats.Stats(profile).sort_stats("cumtime").print_stats("evalkit|benchmarks|json|pickle", 70)


if __name__ == "__main__":
    main()
