"""What a run tells its user while it works. The command line shows it; the Python API is silent unless asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from evalkit.results import MetricValue


@dataclass(frozen=True, slots=True)
class Status:
    """Where a run stands.

    Attributes:
        documents: Documents finished.
        total_documents: Documents in all.
        requests: Requests answered.
        total_requests: Requests in all.
        resumed_requests: Those of the answered ones that an earlier process had answered.
        tokens_computed: Tokens put through the model by this process.
        seconds: Time spent computing by this process.
        scores: Task -> its main metric's name and value over the documents finished so far.
    """

    documents: int
    total_documents: int
    requests: int
    total_requests: int
    resumed_requests: int
    tokens_computed: int
    seconds: float
    scores: Mapping[str, tuple[str, MetricValue]]


class Progress(Protocol):
    """Receives what happens during a run."""

    def stage(self, text: str) -> None:
        """A new stage begins ("loading the model")."""
        ...

    def moved(self, text: str) -> None:
        """The stage goes on ("training, step 7 of 60"); called often, and a log shows some of it."""
        ...

    def note(self, text: str) -> None:
        """Something the user should know (an earlier part was found, memory ran short)."""
        ...

    def update(self, status: Status) -> None:
        """More answers are in."""
        ...

    def finish(self) -> None:
        """The run is over, however it ended."""
        ...


class Silent:
    """Shows nothing."""

    def stage(self, text: str) -> None:
        """Nothing."""

    def moved(self, text: str) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""

    def update(self, status: Status) -> None:
        """Nothing."""

    def finish(self) -> None:
        """Nothing."""
