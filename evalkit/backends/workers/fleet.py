"""What a fleet of workers is: a way to send jobs to processes that hold the model, and to hear of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from evalkit.backends.workers.jobs import Description, Job

if TYPE_CHECKING:
    from evalkit.backends.engine_backend import LocalOptions
    from evalkit.backends.local import LocalBackend
    from evalkit.models import ModelOptions

MAX_DEATHS = 3
"""How often a worker may die without having finished anything before it is given up, and a job's workers before that is."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What a worker loads.

    Attributes:
        model: As the user names it.
        model_options: How to load it.
        options: How to compute.
        threads: Threads of a CPU worker; None leaves them to torch.
        folder: The folder that relative paths start from.
        variables: Environment variables to set first.
    """

    model: str
    model_options: ModelOptions
    options: LocalOptions
    threads: int | None = None
    folder: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict)

    def open(self) -> LocalBackend:
        """Loads the model in this process."""
        import os
        from pathlib import Path

        os.environ.update(self.variables)
        if self.folder is not None and Path(self.folder).is_dir():
            os.chdir(self.folder)
        import torch

        from evalkit.backends.local import LocalBackend
        from evalkit.models import open_model

        if self.threads is not None:
            torch.set_num_threads(self.threads)
        return LocalBackend(open_model(self.model, self.model_options), self.options)


@dataclass(frozen=True, slots=True)
class Joined:
    """A worker has loaded the model and takes jobs; also one that was lost before."""

    worker: str
    description: Description


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of what comes of a job."""

    worker: str
    ticket: int
    value: Any


@dataclass(frozen=True, slots=True)
class Finished:
    """A job is done; all its pieces came before."""

    worker: str
    ticket: int


@dataclass(frozen=True, slots=True)
class Failed:
    """A job, or loading the model, raised an error, which any worker would raise."""

    worker: str
    error: Exception


@dataclass(frozen=True, slots=True)
class Lost:
    """A worker is gone, with all its jobs.

    Attributes:
        worker: Which.
        reason: What is known of why, for the user.
        returns: Whether it is started again.
    """

    worker: str
    reason: str
    returns: bool


Event = Joined | Piece | Finished | Failed | Lost


class Fleet(Protocol):
    """Workers, wherever they are."""

    def send(self, worker: str, ticket: int, job: Job) -> None:
        """Gives a worker a job, which it does after those it has."""
        ...

    def events(self, seconds: float) -> list[Event]:
        """What happened since the last call; waits so long for something to happen."""
        ...

    @property
    def size(self) -> int:
        """Workers that there are or may yet be."""
        ...

    def close(self) -> None:
        """Ends all workers."""
        ...
