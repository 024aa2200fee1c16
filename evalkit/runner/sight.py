"""The smallest difference that two runs could show, before either has run.

What decides it is the variance of one document's paired difference. Without an earlier run it is assumed to be that of two
models whose answers have nothing to do with each other: 1/2, the most it can be for scores between 0 and 1 unless one
model is right just where the other is wrong (2 p (1 - p) is largest at p = 1/2). A model and its fine-tune agree far more
often, so that smaller differences show than the plan says. With the result of an earlier run its own accuracy and clusters
are used; with two, the share of documents on which they disagree.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

from evalkit.registry import ResolvedGroup
from evalkit.results import Run, TaskResult
from evalkit.run_plan import Sight

UNRELATED = 0.5
"""Variance of a document's difference between two unrelated models, at most, where scores go from 0 to 1."""
INTRACLUSTER = 0.2
"""Correlation assumed within a cluster of documents before any run: passages of reading comprehension have 0.1 to 0.3."""
POINTS = (0.02, 0.01)
"""Differences for which the needed number of documents is said."""


@dataclass(frozen=True, slots=True)
class PairSpread:
    """How one document's paired difference varies.

    Attributes:
        variance: Under no true difference, in the metric's unit squared; None where it is not known.
        design_effect: Clustered documents that say as much as one independent document.
        is_binary: Whether documents are right or wrong, or are taken to be: then `variance` is the share on which two
            models disagree.
        is_share: Whether the metric goes from 0 to 1.
        basis: In words.
    """

    variance: float | None
    design_effect: float
    is_binary: bool
    is_share: bool
    basis: str


def assumed_spread(clusters: Sequence[Hashable | None], bounds: tuple[float, float] | None) -> PairSpread:
    """What is taken for a task that has not been run.

    Args:
        clusters: Of each document.
        bounds: Range of the main metric; None where it is not known.
    """
    is_share = bounds == (0.0, 1.0)
    sizes = Counter(cluster for cluster in clusters if cluster is not None)
    # a document alone is a cluster of one
    squares = sum(size**2 for size in sizes.values()) + sum(cluster is None for cluster in clusters)
    size = squares / max(1, len(clusters))
    basis = "unrelated answers assumed" if is_share else "the metric's spread is not known before a run"
    if size > 1 and is_share:
        basis += f", correlation {INTRACLUSTER} within clusters"
    return PairSpread(UNRELATED if is_share else None, 1 + (size - 1) * INTRACLUSTER, is_share, is_share, basis)


def observed_spread(base: TaskResult, other: TaskResult | None) -> PairSpread:
    """What earlier runs show: of one, the variance if another model's answers had nothing to do with its own.

    Args:
        base: The task in an earlier run.
        other: The same task in a second run, of a model as different as the one that is planned.
    """
    metric, value = next(iter(base.metrics.items()))
    scored = [sample for sample in base.samples if metric in sample.metrics]
    others = {} if other is None else {s.id: s.metrics[metric] for s in other.samples if metric in s.metrics}
    if other is not None:
        scored = [sample for sample in scored if sample.id in others]
    first = [sample.metrics[metric] for sample in scored]
    clusters = [index if sample.cluster is None else sample.cluster for index, sample in enumerate(scored)]
    is_share = value.bounds in (None, (0.0, 1.0)) and value.higher_is_better and all(0 <= one <= 1 for one in first)
    own = [sample.metrics[metric] for sample in base.samples if metric in sample.metrics]
    is_mean = bool(own) and math.isclose(math.fsum(own) / len(own), value.value, rel_tol=1e-6, abs_tol=1e-9)
    if len(first) < 2 or not is_mean:
        return PairSpread(None, 1.0, False, is_share, "no spread of single documents in the earlier run")
    is_binary = {*first, *others.values()} <= {0.0, 1.0}
    if other is None:
        variance = 2 * _variance(first)
        return PairSpread(
            variance, _design_effect(first, clusters), is_binary, is_share, "answers unrelated to the baseline's"
        )
    differences = [others[sample.id] - one for sample, one in zip(scored, first, strict=True)]
    effect = _design_effect(differences, clusters)
    if not is_binary:
        return PairSpread(_variance(differences), effect, False, is_share, f"{len(first):,} pairs of the baselines")
    disagreed = sum(difference != 0 for difference in differences)
    # one more of each kind: few pairs that all agree are no proof that models never disagree
    share = (disagreed + 1) / (len(differences) + 2)
    basis = f"the baselines disagree on {disagreed:,} of {len(differences):,}"
    return PairSpread(share, effect, True, is_share, basis)


def task_sight(documents: int, spread: PairSpread) -> Sight:
    """What n documents of one task show."""
    return _sight(documents, documents / spread.design_effect, [(1.0, spread)])


def mean_sight(parts: Sequence[tuple[float, int, PairSpread]]) -> Sight:
    """What the weighted mean of several tasks shows.

    Args:
        parts: Weight, documents and spread of each task; the weights sum to 1.
    """
    documents = sum(count for _, count, _ in parts)
    known = [(weight, count / spread.design_effect, spread) for weight, count, spread in parts]
    if any(spread.variance is None or count <= 0 for _, count, spread in known):
        return _sight(documents, float(documents), [(weight, spread) for weight, _, spread in known])
    total = math.fsum(weight * (spread.variance or 0.0) for weight, _, spread in known)
    variance = math.fsum(weight**2 * (spread.variance or 0.0) / count for weight, count, spread in known)
    effective = total / variance if variance else float(documents)
    return _sight(documents, effective, [(weight, spread) for weight, _, spread in known])


def _sight(documents: int, effective: float, parts: Sequence[tuple[float, PairSpread]]) -> Sight:
    from evalkit.stats.power import (
        binary_difference_variance,
        detectable_binary_difference,
        detectable_difference,
        items_needed,
    )

    spreads = [spread for _, spread in parts]
    is_share = all(spread.is_share for spread in spreads)
    bases = list(dict.fromkeys(spread.basis for spread in spreads))
    basis = bases[0] if len(bases) == 1 else "as its tasks"
    if any(spread.variance is None for spread in spreads) or effective <= 0:
        return Sight(documents, effective, None, is_share, {}, basis)
    variance = math.fsum(weight * (spread.variance or 0.0) for weight, spread in parts)
    is_binary = all(spread.is_binary for spread in spreads)
    if is_binary:
        difference = detectable_binary_difference(min(1.0, variance), effective)
    else:
        difference = detectable_difference(variance, effective)
    needed = {}
    if is_share and variance:
        for points in POINTS:
            # models that differ by so much disagree at least as often
            own = binary_difference_variance(max(variance, points), points) if is_binary else variance
            needed[points] = math.ceil(items_needed(own, points) * documents / effective - 1e-6)
    return Sight(documents, effective, difference, is_share, needed, basis)


def sights(
    documents: Mapping[str, int], spreads: Mapping[str, PairSpread], groups: Mapping[str, ResolvedGroup]
) -> tuple[dict[str, Sight], Sight | None]:
    """What every task and group shows, and the mean over those that are in no group.

    Args:
        documents: Task -> documents to be evaluated.
        spreads: Task -> how its difference varies.
        groups: Inner ones first, as `Selection.groups`.

    Returns:
        Task or group -> sight, and that of the mean: None for a single one, or where not all are shares of 1.
    """
    weights: dict[str, dict[str, float]] = {name: {name: 1.0} for name in documents}
    for name, group in groups.items():
        weights[name] = _group_weights(group, weights, documents)

    def sight(shares: Mapping[str, float]) -> Sight:
        return mean_sight([(weight, documents[task], spreads[task]) for task, weight in shares.items()])

    inner = {member for group in groups.values() for member in group.members}
    roots = [name for name in weights if name not in inner]
    place = {name: position for position, name in enumerate(documents)}
    roots.sort(key=lambda name: min((place[task] for task in weights[name]), default=len(place)))
    found: dict[str, Sight] = {}
    waiting = roots[::-1]
    while waiting:
        name = waiting.pop()
        found.setdefault(
            name, task_sight(documents[name], spreads[name]) if name in documents else sight(weights[name])
        )
        waiting += reversed(groups[name].members if name in groups else ())
    if len(roots) < 2 or not all(spread.is_share for spread in spreads.values()):
        return found, None
    shares: dict[str, float] = {}
    for root in roots:
        for task, weight in weights[root].items():
            shares[task] = shares.get(task, 0.0) + weight / len(roots)
    return found, sight(shares)


def spread_of(
    name: str, clusters: Sequence[Hashable | None], bounds: tuple[float, float] | None, baselines: Sequence[Run]
) -> tuple[PairSpread, bool]:
    """A task's spread: from the baselines where they have the task, else assumed; and whether it is from them."""
    results = [run.tasks[name] for run in baselines if name in run.tasks]
    if len(results) < len(baselines) or not results:
        return assumed_spread(clusters, bounds), False
    return observed_spread(results[0], results[1] if len(results) > 1 else None), True


def _group_weights(
    group: ResolvedGroup, weights: Mapping[str, Mapping[str, float]], documents: Mapping[str, int]
) -> dict[str, float]:
    """Weight of each task in a group's score; see `evalkit.aggregate`."""
    if group.group.weighting == "items":
        leaves = dict.fromkeys(task for member in group.members for task in weights[member])
        total = sum(documents[task] for task in leaves)
        return {task: documents[task] / max(1, total) for task in leaves}
    found: dict[str, float] = {}
    for member in group.members:
        for task, weight in weights[member].items():
            found[task] = found.get(task, 0.0) + weight / len(group.members)
    return found


def _variance(values: Sequence[float]) -> float:
    mean = math.fsum(values) / len(values)
    return math.fsum((value - mean) ** 2 for value in values) / len(values)


def _design_effect(values: Sequence[float], clusters: Sequence[Hashable]) -> float:
    """How much larger the variance of the mean is than that of independent documents, at least 1."""
    from evalkit.stats.clusters import cluster_robust

    plain = _variance(values) / (len(values) - 1)
    stderr, _ = cluster_robust(values, clusters)
    return max(1.0, stderr**2 / plain) if stderr is not None and plain > 0 else 1.0
