"""Training in several processes: `torchrun -m evalkit sft ...`, a process on each device.

The first process does everything: it reads, evaluates, compares, writes. The others wait for a training, take part in it,
and wait for the next. They may wait for hours, as long as an evaluation takes. If any process fails, its launcher ends the
others.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

from evalkit.errors import UsageError

T = TypeVar("T")

_PATIENCE = timedelta(days=7)
"""How long a process waits for the others: an evaluation may take that long."""


def launched() -> int:
    """Processes that a launcher has started, by its environment; 1 without one."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "RANK" in os.environ else 1


def size() -> int:
    """Processes that train together."""
    distributed = _distributed()
    return 1 if distributed is None else int(distributed.get_world_size())


def rank() -> int:
    """Which of them this is, from 0."""
    distributed = _distributed()
    return 0 if distributed is None else int(distributed.get_rank())


def agreed(compute: Callable[[], T]) -> T:
    """What the first process computes, in all of them. To be called by all."""
    distributed = _distributed()
    if distributed is None:
        return compute()
    box: list[Any] = [compute() if rank() == 0 else None]
    distributed.broadcast_object_list(box, src=0, device=_cpu())
    return box[0]  # type: ignore[no-any-return]


def wait() -> None:
    """Waits until all processes are here."""
    distributed = _distributed()
    if distributed is not None:
        import torch

        distributed.all_reduce(torch.zeros(1))  # on the processor, where waiting has no limit of its own


@contextmanager
def gathered(device: str) -> Iterator[None]:
    """Brings the launcher's processes together, each on its own device.

    Args:
        device: As `--device`.

    Raises:
        UsageError: They would all use the same accelerator.
    """
    if launched() == 1:
        yield
        return
    import torch

    local = int(os.environ.get("LOCAL_RANK", "0"))
    on_cpu = device == "cpu" or not torch.cuda.is_available()
    if not on_cpu:
        if device not in ("auto", "cuda"):
            raise UsageError(
                f"--device {device} is one device, and {launched()} processes were started",
                hint="leave it out: each process takes the device of its number",
            )
        torch.cuda.set_device(local)
    torch.distributed.init_process_group("gloo" if on_cpu else "cpu:gloo,cuda:nccl", timeout=_PATIENCE)
    try:
        yield
    finally:
        torch.distributed.destroy_process_group()


def call(job: Callable[[], object] | None) -> None:
    """The first process has the others do a job with it, which can be pickled; None sends them home."""
    agreed(lambda: job)


def follow() -> None:
    """What all but the first process do: jobs, until they are sent home."""

    def nothing() -> Callable[[], object] | None:
        return None

    while (job := agreed(nothing)) is not None:
        job()


def _distributed() -> Any:
    """`torch.distributed` where processes are together."""
    if launched() == 1:
        return None
    import torch

    return torch.distributed if torch.distributed.is_initialized() else None


def _cpu() -> Any:
    import torch

    return torch.device("cpu")
