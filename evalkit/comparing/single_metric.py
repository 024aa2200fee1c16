"""Ranks runs by one task's metric that is no share of 1, such as a perplexity or BLEU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from evalkit.comparing.changes import change_of
from evalkit.comparing.common_tasks import main_metric
from evalkit.comparing.estimate import Estimate, Limits
from evalkit.comparing.kinds import estimate_metric
from evalkit.comparing.pairing import Pairs, pair
from evalkit.comparing.pairwise import judged
from evalkit.comparison import Change
from evalkit.results import Run


@dataclass(frozen=True, slots=True)
class SingleMetric:
    """What the ranking needs of such a metric.

    Attributes:
        scores: Of each run, over the documents that all have.
        pairs: (better, worse) places of runs -> the change of the score from the worse to the better.
        n: Documents.
    """

    scores: tuple[float, ...]
    pairs: Mapping[tuple[int, int], Change]
    n: int


def single_metric(runs: Sequence[Run], task: str, alpha: float) -> SingleMetric | None:
    """Every run against every other, by the task's main metric.

    Args:
        runs: All have the task, with the same main metric.
        task: Which; not a group.
        alpha: Level, after Holm's correction for all pairs.

    Returns:
        None where no document is in all runs.
    """
    metric, value = main_metric(runs[0], task)
    common = set.intersection(*({sample.id for sample in run.tasks[task].samples} for run in runs))
    estimates: dict[tuple[int, int], Estimate] = {}
    for one, other in combinations(range(len(runs)), 2):
        first, second = runs[one].tasks[task], runs[other].tasks[task]
        estimates[one, other] = estimate_metric(metric, first, second, _only(pair(first, second), common))
    n = min(estimate.n for estimate in estimates.values())
    if n == 0:
        return None
    scores = (estimates[0, 1].before, *(estimates[0, place].after for place in range(1, len(runs))))
    sign = 1 if value.higher_is_better else -1
    order = sorted(range(len(runs)), key=lambda place: -sign * scores[place])
    changes: dict[tuple[int, int], Change] = {}
    for better, worse in combinations(order, 2):
        estimate = estimates[min(better, worse), max(better, worse)]
        change = change_of(
            estimate,
            metric,
            higher_is_better=value.higher_is_better,
            bounds=value.bounds,
            alpha=alpha,
            family=len(estimates),
            chance=value.chance,
        )
        changes[better, worse] = change if worse < better else _turned(change)
    return SingleMetric(scores, judged(changes, alpha), n)


def _only(pairs: Pairs, common: set[str]) -> Pairs:
    kept = [(one, two) for one, two in zip(pairs.before, pairs.after, strict=True) if one.id in common]
    return Pairs(pairs.pairing, tuple(one for one, _ in kept), tuple(two for _, two in kept))


def _turned(change: Change) -> Change:
    """The same seen from the other run."""

    def mirrored(limits: Limits) -> Limits:
        return None if limits is None else (-limits[1], -limits[0])

    return replace(
        change,
        before=change.after,
        after=change.before,
        difference=-change.difference,
        interval=mirrored(change.interval),
        margin_interval=mirrored(change.margin_interval),
        fixed=change.broken,
        broken=change.fixed,
    )
