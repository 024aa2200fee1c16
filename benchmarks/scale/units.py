"""Seconds of every batch of the leaderboard suite, measured on this machine: what the simulation hands out.

    python -m benchmarks.gpu pack --data-dir ../shared/data/hub -o build/gpu-requests.npz     # where the data is
    python -m benchmarks.scale.units build/gpu-requests.npz --model 1b -o build/units.npz     # where the device is

All four benchmarks go into one plan, as in `evalkit run --tasks leaderboard`. The model has random weights.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.gpu import BENCHMARKS, MAX_LENGTH, MODELS, Requests, build_model, to_sequences
from evalkit.backends.workers.backend import chains
from evalkit.backends.workers.schedule import Chain
from evalkit.engine.engine import Engine


@dataclass(frozen=True, slots=True, eq=False)
class Units:
    """Batches of a suite and how long each took.

    Attributes:
        device: Where they were computed.
        model: The model's shape, as `benchmarks.gpu` calls it.
        requests: Number of requests of the suite.
        starts: int64 [chains + 1], the first batch of each subtree, and the number of batches.
        tokens: int64 [batches].
        providers: int64 [batches], as `Chain.providers`.
        seconds: float64 [batches].
    """

    device: str
    model: str
    requests: int
    starts: npt.NDArray[np.int64]
    tokens: npt.NDArray[np.int64]
    providers: npt.NDArray[np.int64]
    seconds: npt.NDArray[np.float64]

    @classmethod
    def read(cls, path: Path) -> Units:
        """What `save` wrote."""
        with np.load(path) as file:
            texts = {name: str(file[name]) for name in ("device", "model")}
            arrays = {name: file[name] for name in ("starts", "tokens", "providers", "seconds")}
            return cls(**texts, requests=int(file["requests"]), **arrays)

    def save(self, path: Path) -> None:
        """Writes one small file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = {"starts": self.starts, "tokens": self.tokens, "providers": self.providers, "seconds": self.seconds}
        np.savez_compressed(path, device=self.device, model=self.model, requests=self.requests, **kept)

    def chains(self, times: int = 1) -> Iterator[Chain]:
        """The suite's subtrees, so many times; a chain's name is its first batch."""
        bounds = list(pairwise(self.starts.tolist()))
        for _ in range(times):
            for start, stop in bounds:
                yield Chain.of(start, self.tokens[start:stop], self.providers[start:stop])


def measure(engine: Engine, requests: Sequence[Requests], limit: int | None, device: str, model: str) -> Units:
    """Computes every batch once, after a few that choose and load kernels."""
    sequences = to_sequences([pair for one in requests for pair in one.sample(limit)])
    batches = engine.planner.batches(sequences, engine.token_budget)
    list(engine.compute(sequences, batches[:4]))
    found = list(chains(sequences, batches))
    seconds = []
    for batch in batches:
        start = time.perf_counter()
        for _ in engine.compute(sequences, [batch]):
            pass
        seconds.append(time.perf_counter() - start)
    weights = [np.diff(one.ends, prepend=0) for one in found]
    starts = np.cumsum([0, *(len(own) for own in weights)])
    providers = np.concatenate([one.providers for one in found])
    return Units(device, model, len(sequences), starts, np.concatenate(weights), providers, np.array(seconds))


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("requests", type=Path)
    parser.add_argument("--model", choices=MODELS, default="1b")
    parser.add_argument("--limit", type=int, help="documents of each benchmark; all by default")
    parser.add_argument("--budget", type=int, help="tokens in a batch; by default what suits the device")
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args(argv)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = build_model(arguments.model, device)
    requests = [Requests.read(arguments.requests, name, model.config.vocab_size) for name in BENCHMARKS]
    name = torch.cuda.get_device_name() if device.type == "cuda" else "cpu"
    units = measure(
        Engine(model, MAX_LENGTH, token_budget=arguments.budget), requests, arguments.limit, name, arguments.model
    )
    units.save(arguments.output)
    print(
        f"{name}, {arguments.model}: {units.requests:,} requests, {len(units.seconds):,} batches in "
        f"{len(units.starts) - 1:,} subtrees, {units.tokens.sum():,} tokens, {units.seconds.sum():.1f} s; "
        f"{arguments.output}: {arguments.output.stat().st_size / 1e3:.0f} kB"
    )


if __name__ == "__main__":
    main()
