"""The tests of one task in a sequential gate: what a document counts, what is bet on, and what is certain by now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from evalkit.errors import UsageError
from evalkit.gating.checks import READABLE
from evalkit.gating.evidence import Document, Key, TaskEvidence
from evalkit.gating.hypotheses import hypotheses, unreadable_hypotheses
from evalkit.gating.measure import leaves, margin_of
from evalkit.gating.policy import Judged
from evalkit.gating.result import Status
from evalkit.gating.subset import bounds_of, is_mean
from evalkit.results import MetricValue, Run

SEQUENTIAL_SHARE = 0.5
"""Part of alpha that the looks may spend; the rest is for the test at the end of the data."""


@dataclass(slots=True)
class Watched:
    """A deciding task or group.

    Attributes:
        judged: By what rule.
        metrics: Task beneath it -> its metric.
        margin: Loss that is tolerated, in the metric's unit.
        evidence: What the answers say; None where the score cannot be bet on, so that all documents are asked.
        settled: What is certain.
        refuted: The hypotheses that it failed by.
        keys: Documents still to be asked, where all are asked at once.
    """

    judged: Judged
    metrics: Mapping[str, str]
    margin: float
    evidence: TaskEvidence | None
    settled: Status | None = None
    refuted: set[str] = field(default_factory=set)
    keys: list[Key] = field(default_factory=list)

    @property
    def alpha(self) -> float:
        """Level of the looks."""
        return self.judged.rule.alpha * SEQUENTIAL_SHARE

    @property
    def finished(self) -> bool:
        """Whether every document was asked."""
        return self.evidence.finished if self.evidence is not None else not self.keys


def watch(base: Run, judged: Judged, there: Mapping[str, frozenset[str]], seed: int) -> Watched:
    """Sets up the tests of a task or group.

    Args:
        base: The baseline.
        judged: The task, and by what rule it is judged.
        there: Task -> ids of the documents that can be asked.
        seed: Of the order in which they are.

    Raises:
        UsageError: The baseline lacks the metric, or does not say how a group's score is made up.
    """
    name, rule = judged.task, judged.rule
    weights, metrics = _weights(base, name, rule.metric)
    documents = [
        Document(
            (leaf, sample.id), sample.cluster, weight, sample.metrics[metrics[leaf]], sample.outcome not in READABLE
        )
        for leaf, weight in weights.items()
        for sample in base.tasks[leaf].samples
        if sample.id in there[leaf] and metrics[leaf] in sample.metrics
    ]
    score = _score(base, name, rule.metric)
    bounds = _bounds(base, metrics)
    watched = Watched(judged, metrics, margin_of(rule.margin, bounds, score.value), None)
    if bounds is None or not documents:
        watched.keys = [(leaf, identity) for leaf in leaves(base, name) for identity in sorted(there[leaf])]
        return watched
    required = None if rule.require_gain is None else rule.require_gain.difference(bounds, score.value)
    floor = None if rule.floor is None else rule.floor.score(name, bounds, score.value)
    tested = hypotheses(watched.margin, required, floor, higher_is_better=score.higher_is_better)
    tested += unreadable_hypotheses(rule.max_unreadable_rate, rule.max_unreadable_rise)
    watched.evidence = TaskEvidence(documents, bounds, score.higher_is_better, tested, seed)
    return watched


def _score(base: Run, name: str, metric: str | None) -> MetricValue:
    metrics = base.groups[name].metrics if name in base.groups else base.tasks[name].metrics
    return next(iter(metrics.values())) if metric is None or metric not in metrics else metrics[metric]


def _bounds(base: Run, metrics: Mapping[str, str]) -> tuple[float, float] | None:
    """The range of the score; None where it is no mean of values within one."""
    if not all(is_mean(base.tasks[leaf], metric) for leaf, metric in metrics.items()):
        return None
    ranges = {bounds_of(base.tasks[leaf], metric) for leaf, metric in metrics.items()}
    return ranges.pop() if len(ranges) == 1 else None


def _weights(base: Run, name: str, metric: str | None) -> tuple[dict[str, float], dict[str, str]]:
    """Task beneath -> what a document of it counts in the score, 1 on average; and task -> metric."""
    if name in base.tasks:
        chosen = metric or next(iter(base.tasks[name].metrics))
        if chosen not in base.tasks[name].metrics:
            has = ", ".join(base.tasks[name].metrics)
            raise UsageError(f"the baseline has no {chosen} of {name}", hint=f"it has {has}")
        return {name: 1.0}, {name: chosen}
    from evalkit.comparing.groups import group_weights

    sizes = {leaf: sum(bool(one.metrics) for one in base.tasks[leaf].samples) for leaf in base.leaves(name)}
    shares = group_weights(base, name, sizes)
    if shares is None or metric not in (None, next(iter(base.groups[name].metrics))):
        raise UsageError(
            f"the baseline does not say how {metric or 'the score'} of group {name} is made up",
            hint="name its tasks in the policy instead of the group",
        )
    total = sum(sizes.values())
    weights = {leaf: share * total / sizes[leaf] for (leaf, _), share in shares.items() if sizes[leaf]}
    return weights, {leaf: own for leaf, own in shares if leaf in weights}
