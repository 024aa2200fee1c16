"""Runs and policies for tests of the gate."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace

from evalkit.gating.policy import Policy
from evalkit.gating.policy_file import parse_policy
from evalkit.results import GroupResult, Run, TaskResult
from tests.result_examples import run, task_result


def values(n: int, share: float = 0.6, seed: int = 1) -> list[float]:
    """Scores of a baseline."""
    rng = random.Random(seed)
    return [float(rng.random() < share) for _ in range(n)]


def flipped(base: Sequence[float], lost: int, learned: int) -> list[float]:
    """The baseline's scores with so many documents lost and learned, spread over the file."""
    right = [place for place, value in enumerate(base) if value]
    wrong = [place for place, value in enumerate(base) if not value]
    changed = {*random.Random(2).sample(right, lost), *random.Random(3).sample(wrong, learned)}
    return [1 - value if place in changed else value for place, value in enumerate(base)]


def model(name: str, tasks: Mapping[str, TaskResult], groups: Mapping[str, GroupResult] | None = None) -> Run:
    """A run of a model of that name."""
    found = run(tasks, groups)
    return replace(found, model=replace(found.model, name=name, weights_sha256=name.ljust(64, "0")))


def pair(lost: int, learned: int, n: int = 1000) -> tuple[Run, Run]:
    """A baseline and a candidate with one task."""
    base = values(n)
    return model("base", {"quiz": task_result(base)}), model(
        "tuned", {"quiz": task_result(flipped(base, lost, learned))}
    )


def policy(text: str) -> Policy:
    """A policy from YAML."""
    return parse_policy(text, "gate.yaml")
