"""Gains that the policy requires and that are ruled out, with Holm's correction over all that are required."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from evalkit.comparison import Comparison
from evalkit.gating.measure import Measured, range_of
from evalkit.gating.policy import Judged


def required_gain(measured: Measured) -> float | None:
    """The gain that the policy requires, in the metric's unit; None for none."""
    amount, change = measured.judged.rule.require_gain, measured.change
    return None if amount is None or change is None else amount.difference(range_of(change), change.before)


def levels_of_gains(judged: Sequence[Judged]) -> list[float]:
    """The levels besides the rules' own that Holm's procedure may hold a gain against: alpha / 2, alpha / 3, ...

    Args:
        judged: The tasks that are judged.
    """
    alphas = [one.rule.alpha for one in judged if one.rule.require_gain is not None]
    return [alpha / count for alpha in dict.fromkeys(alphas) for count in range(2, len(alphas) + 1)]


def with_small_gains(found: Sequence[Measured], comparisons: Mapping[float, Comparison]) -> list[Measured]:
    """The same, where a gain as required is surely not there marked as `too_small`.

    Holm's procedure by limits instead of p: with k of m gains ruled out, the others are held against alpha / (m - k), until
    no more are ruled out. What decides is one family, what only informs another.

    Args:
        found: What was measured.
        comparisons: Alpha -> comparison at that level, for those of `levels_of_gains` too.
    """
    small = {name for decides in (True, False) for name in _small(found, comparisons, decides=decides)}
    return [replace(one, too_small=one.judged.task in small) for one in found]


def _small(found: Sequence[Measured], comparisons: Mapping[float, Comparison], *, decides: bool) -> set[str]:
    family = [
        (one, required)
        for one in found
        if one.judged.decides is decides and one.obstacle is None and (required := required_gain(one)) is not None
    ]
    small: set[str] = set()
    while len(small) < len(family):
        left = len(family) - len(small)
        now = {
            one.judged.task
            for one, required in family
            if (most := _largest(one, comparisons[one.judged.rule.alpha / left])) is not None and most < required
        }
        if len(now) <= len(small):
            break
        small = now
    return small


def _largest(measured: Measured, comparison: Comparison) -> float | None:
    """Upper limit of the gain at the comparison's level, one-sided; None where there are no limits."""
    assert measured.change is not None
    task, metric = comparison.tasks.get(measured.judged.task), measured.change.metric
    changes = [comparison.overall] if task is None else [task.change, *task.others.values()]
    limits = next((one.gain_margin_interval for one in changes if one is not None and one.metric == metric), None)
    return None if limits is None else limits[1]
