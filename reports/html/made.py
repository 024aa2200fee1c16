"""How a run was made: model, settings, environment, timings, data: what somebody needs to do it again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalkit.reports.text import visible
from evalkit.results import Run


@dataclass(frozen=True, slots=True)
class Fact:
    """One line: what, and its value in each run.

    Attributes:
        name: What.
        values: One a run.
        differs: Whether they are not all the same.
        is_code: Whether they are hashes, paths or other text to copy.
    """

    name: str
    values: tuple[str, ...]
    differs: bool
    is_code: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """Lines under a heading."""

    heading: str
    facts: tuple[Fact, ...]


def facts(runs: Sequence[Run]) -> list[Facts]:
    """Everything that a run says of itself, side by side for several."""
    parts = (
        ("Model", [_model(run) for run in runs]),
        ("Settings", [_flat(run.settings) for run in runs]),
        ("Environment", [{**_flat(run.environment), **_version(run)} for run in runs]),
        ("Timing", [_flat(run.timing, skip=("loss_curve",)) for run in runs]),
    )
    return [Facts(heading, tuple(_facts(columns))) for heading, columns in parts if any(columns)]


def _facts(columns: Sequence[Mapping[str, str]]) -> Iterable[Fact]:
    names = dict.fromkeys(name for column in columns for name in column)
    for name in names:
        found = tuple(column.get(name, "") for column in columns)
        yield Fact(name, found, len(set(found)) > 1, is_code="sha256" in name or name == "revision")


def _model(run: Run) -> dict[str, str]:
    model = run.model
    found = {
        "name": model.name,
        "source": model.source,
        "revision": model.revision,
        "adapter": model.adapter,
        "parameters": None if model.parameters is None else f"{model.parameters:,}",
        "dtype": model.dtype,
        "weights sha256": model.weights_sha256,
        "tokenizer sha256": model.tokenizer_sha256,
    }
    return {**{name: visible(value) for name, value in found.items() if value}, **_flat(model.extra)}


def _version(run: Run) -> dict[str, str]:
    return {"evalkit": visible(run.evalkit_version), "created": visible(run.created)}


def _flat(values: Mapping[str, Any], prefix: str = "", skip: Sequence[str] = ()) -> dict[str, str]:
    """Nested JSON values as lines: `decoding temperature: 0.7`."""
    found: dict[str, str] = {}
    for name, value in values.items():
        label = visible(f"{prefix}{name}".replace("_", " "))
        if name in skip:
            continue
        if isinstance(value, Mapping):
            found.update(_flat(value, f"{prefix}{name} "))
        else:
            found[label] = _word(value)
    return found


def _word(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return visible(text if len(text) <= 400 else f"{text[:400]} … ({len(text):,} characters)")


@dataclass(frozen=True, slots=True)
class TaskFacts:
    """Where a task's rows came from, and what was made of them."""

    name: str
    version: str
    shots: str
    n: str
    dataset: str
    sha256: str
    prompts: str


def task_facts(run: Run) -> list[TaskFacts]:
    """A line a task."""
    return [
        TaskFacts(
            name=visible(name),
            version=str(task.version),
            shots=str(task.shots),
            n=f"{task.n:,}",
            dataset=visible(
                " ".join(
                    str(part)
                    for part in (
                        task.dataset.id,
                        task.dataset.config,
                        task.dataset.split,
                        task.dataset.revision and task.dataset.revision[:12],
                        f"({task.dataset.source})",
                    )
                    if part
                )
            ),
            sha256=visible(task.dataset.sha256),
            prompts=visible(task.prompt_sha256),
        )
        for name, task in run.tasks.items()
    ]


def command(*words: str | Path | None) -> str:
    """A command as one would type it."""
    return visible(shlex.join(str(word) for word in ("evalkit", *words) if word))


def loss_curve(run: Run) -> list[tuple[float, float]]:
    """(step, loss) of the training that the model comes from, where the run has them; else empty."""
    found = run.timing.get("loss_curve")
    if not isinstance(found, list | tuple):
        return []
    points = [tuple(point) for point in found if isinstance(point, list | tuple) and len(point) == 2]
    return [(float(step), float(loss)) for step, loss in points if _is_number(step) and _is_number(loss)]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
