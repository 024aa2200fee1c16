"""What the steps of a fine-tuning share."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evalkit.runner.progress import Progress
from evalkit.sft.evaluations import release_memory
from evalkit.sft.request import FineTuningRequest
from evalkit.sft.workspace import Workspace

if TYPE_CHECKING:
    from evalkit.data import DataOptions
    from evalkit.models import ModelOptions

_USE_MODELS = ("base", "training", "tuned", "retrieval", "drift")
"""Steps that leave a model behind."""


@dataclass(slots=True)
class Work:
    """What the steps share.

    Attributes:
        request: What was asked.
        workspace: Where it lies.
        data: Where data may come from.
        progress: Told what happens.
    """

    request: FineTuningRequest
    workspace: Workspace
    data: DataOptions
    progress: Progress

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Takes the time of a step, and frees the memory of the models that it used."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.workspace.add_cost(name, time.perf_counter() - start)
            if name in _USE_MODELS:
                release_memory()

    def model_options(self) -> ModelOptions:
        """How models are loaded for training and for drift: their weights in float32."""
        from evalkit.models import ModelOptions

        given = self.request.evaluation
        return ModelOptions(
            dtype="float32",
            device=given.device,
            trust_remote_code=given.trust_remote_code,
            allow_pickle=given.allow_pickle,
            max_length=given.max_length,
            offline=self.data.offline,
        )
