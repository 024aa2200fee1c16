"""From `--workers` and `--cluster` to a backend."""

from __future__ import annotations

import os
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from evalkit.backends.engine_backend import LocalOptions
from evalkit.backends.workers.backend import FleetBackend
from evalkit.backends.workers.fleet import Setup
from evalkit.errors import UsageError
from evalkit.models import ModelOptions, open_model

Workers = int | Literal["auto"]


def device_count(device: str) -> int:
    """Accelerators that `--device` means on this machine; 0 where it means none."""
    import torch

    if device == "auto":
        return int(torch.cuda.device_count())
    return int(torch.device(device).type == "cuda") if device.startswith("cuda") else 0


def open_processes(model: str, model_options: ModelOptions, options: LocalOptions, workers: int) -> FleetBackend:
    """A backend with workers on this machine: on its accelerators in turn, or on its processor.

    Args:
        model: As for `open_model`.
        model_options: How to load it.
        options: How to compute.
        workers: Number of processes.

    Raises:
        ModelError: As `open_model`.
    """
    from evalkit.backends.workers.processes import ProcessFleet

    opened = open_model(model, replace(model_options, device="cpu"), weights=False)
    count = device_count(model_options.device)
    threads = None if count else threads_of(workers)
    setups = []
    for place in range(workers):
        device = f"cuda:{place % count}" if count and model_options.device == "auto" else model_options.device
        setups.append(Setup(model, replace(model_options, device=device), options, threads))
    return FleetBackend(opened, ProcessFleet(setups), options)


def open_cluster(
    model: str, model_options: ModelOptions, options: LocalOptions, cluster: str, workers: Workers
) -> FleetBackend:
    """A backend with workers on a Ray cluster.

    Args:
        model: As for `open_model`; on every machine of the cluster it must mean the same.
        model_options: How to load it.
        options: How to compute.
        cluster: `auto`, or `ray://HOST:PORT`.
        workers: How many; "auto" for one on each accelerator, and on each machine of a cluster without any.

    Raises:
        UsageError: Ray is not installed, or there is no such cluster.
        ModelError: As `open_model`.
    """
    if cluster != "auto" and not cluster.startswith("ray://"):
        raise UsageError(
            f"--cluster {cluster!r} is not an address", hint="use --cluster auto, or --cluster ray://HOST:10001"
        )
    if find_spec("ray") is None:
        raise UsageError("--cluster needs Ray", hint="install it: pip install 'evalkit[ray]'")
    from evalkit.backends.workers.ray_fleet import RayFleet

    opened = open_model(model, replace(model_options, device="cpu"), weights=False)
    variables = {name: value for name, value in os.environ.items() if name.startswith(("HF_", "EVALKIT_"))}
    setup = Setup(model, model_options, options, folder=str(Path.cwd()), variables=variables)
    return FleetBackend(opened, RayFleet(cluster, setup, workers), options)


def threads_of(workers: int) -> int | None:
    """Threads of each of several workers on one processor; None leaves them as the user set them."""
    if "OMP_NUM_THREADS" in os.environ:
        return None
    return max(1, (os.cpu_count() or 1) // workers)
