"""Runs and policies for tests of the gate."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import SimpleNamespace

from evalkit.comparison import Side
from evalkit.gating.policy import Policy
from evalkit.gating.policy_file import parse_policy
from evalkit.gating.result import GateResult
from evalkit.gating.sequential import SequentialGate
from evalkit.gating.sequential_result import sequential_result
from evalkit.results import GroupResult, MetricValue, Run, Sample, TaskResult
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


def answered(outcomes: Sequence[str]) -> TaskResult:
    """A task with these outcomes, in this order; only `right` ones count, and `errored` ones have no value."""
    samples = tuple(
        Sample(
            f"{place:016x}",
            place,
            None,
            outcome,
            {} if outcome == "errored" else {"acc": float(outcome == "right")},
            {},
        )
        for place, outcome in enumerate(outcomes)
    )
    return of_samples(task_result([1.0]), samples)


def of_samples(task: TaskResult, samples: Sequence[Sample]) -> TaskResult:
    """The task with these samples and their scores."""
    scored = [one.metrics["acc"] for one in samples if one.metrics]
    mean = sum(scored) / len(scored)
    metrics = {"acc": MetricValue(mean, None, None, True, None, bounds=(0.0, 1.0))}
    outcomes = dict(sorted(Counter(one.outcome for one in samples).items()))
    return replace(task, samples=tuple(samples), n=len(samples), metrics=metrics, outcomes=outcomes)


def looked(before: Run, after: Run, asked: Policy, seed: int = 0) -> GateResult:
    """A sequential gate whose candidate's answers are known already."""
    gate = SequentialGate(before, asked, seed)
    gate.begin({name: _offer(task) for name, task in before.tasks.items()})  # type: ignore[misc]
    known = {name: {one.id: one for one in task.samples} for name, task in after.tasks.items()}
    taken: dict[str, set[str]] = {name: set() for name in known}
    answers: dict[str, list[Sample]] = {}
    while any((wanted := gate.choose(answers)).values()):
        answers = {name: [known[name][one] for one in ids] for name, ids in wanted.items()}
        for name, ids in wanted.items():
            taken[name] |= set(ids)
    tasks = {
        name: of_samples(task, [one for one in task.samples if one.id in taken[name]])
        for name, task in after.tasks.items()
    }
    run = replace(after, tasks=tasks, settings={**after.settings, **gate.described()})
    return sequential_result(gate, Side("base", before), Side("tuned", run))


def _offer(task: TaskResult) -> SimpleNamespace:
    items = [SimpleNamespace(id=one.id) for one in task.samples]
    return SimpleNamespace(items=items, version=task.version, shots=task.shots, prompt_sha256=task.prompt_sha256)
