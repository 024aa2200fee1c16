"""The difference of several tasks' scores together: a group, or the mean over tasks."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

from evalkit.comparing.attribution import weighted
from evalkit.comparing.estimate import Estimate, Limits, untested
from evalkit.comparing.sight import WHOLE_RANGE
from evalkit.results import Run
from evalkit.summaries import UNSCORED

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from evalkit.stats.stratified import Stratum

Leaf = tuple[str, str]
"""A task and the metric of it that counts."""
Parts = Sequence[tuple[float, Estimate]]
"""Weight and difference of each task of a sum."""


def group_weights(run: Run, name: str, sizes: Mapping[str, int]) -> dict[Leaf, float] | None:
    """What each task counts in a group's score; None where the run does not tell.

    The result file names a group's score, not its members' metrics: a member's metric of that name counts, else its main
    one, and with these weights the run's own scores must add up to the group's.

    Args:
        run: The run.
        name: The group.
        sizes: Task -> number of documents, for groups that weigh by these.
    """
    score_name, score = next(iter(run.groups[name].metrics.items()))
    own_sizes = {task: _scored(run, task) for task in run.leaves(name)}
    own = _weights(run, name, score_name, own_sizes)
    total = math.fsum(weight * run.tasks[task].metrics[metric].value for (task, metric), weight in own.items())
    if not math.isclose(total, score.value, rel_tol=1e-6, abs_tol=1e-9):
        return None
    return _weights(run, name, score_name, sizes)


def leaf_weights(run: Run, name: str, sizes: Mapping[str, int]) -> dict[Leaf, float]:
    """`group_weights` for a run whose group scores are still to be worked out: nothing is checked against them."""
    return _weights(run, name, next(iter(run.groups[name].metrics)), sizes)


def _weights(run: Run, name: str, wanted: str, sizes: Mapping[str, int]) -> dict[Leaf, float]:
    group = run.groups[name]
    shares: list[dict[Leaf, float]] = []
    for member in group.tasks:
        if member in run.groups:
            shares.append(_weights(run, member, next(iter(run.groups[member].metrics)), sizes))
        else:
            metrics = run.tasks[member].metrics
            shares.append({(member, wanted if wanted in metrics else next(iter(metrics))): 1.0})
    found: dict[Leaf, float] = {}
    if group.weighting == "tasks":
        for share in shares:
            for leaf, weight in share.items():
                found[leaf] = found.get(leaf, 0.0) + weight / len(shares)
        return found
    # as the group's own score does it, a task that is in two groups within the group counts twice
    leaves = [leaf for share in shares for leaf in share]
    total = sum(sizes[task] for task, _ in leaves)
    for leaf in leaves:
        found[leaf] = found.get(leaf, 0.0) + (sizes[leaf[0]] / total if total else 0.0)
    return found


def _scored(run: Run, task: str) -> int:
    return sum(sample.outcome not in UNSCORED for sample in run.tasks[task].samples)


def combined(parts: Parts, p: float | None = None) -> Estimate:
    """The weighted sum of several tasks' differences.

    Where all documents are right or wrong and independent, the interval is Tango's for strata; where they also count
    alike, the tasks are one pool of documents, with McNemar's mid-p. Otherwise the interval is recovered from the tasks'
    own (Zou & Donner 2008); a task that has none, as one of a single document, adds the whole range that its difference
    can have. But for the pool, p is that of the sign-flip test of all documents' weighted differences. The standard error
    is √(Σ w² SE²).

    Args:
        parts: Weight and difference of each task; the weights sum to 1.
        p: That of the sign-flip test of `sum_units`, where it is known already; unused where the tasks are one pool.
    """
    estimates = [estimate for _, estimate in parts]
    n = sum(one.n for one in estimates)
    fixed, broken = sum(one.fixed for one in estimates), sum(one.broken for one in estimates)
    before, after = (math.fsum(w * getattr(one, side) for w, one in parts) for side in ("before", "after"))
    unknown = next((one for one in estimates if one.reach is None and one.limits(0.95) is None), None)
    if unknown is not None:
        why = unknown.why or "one of its tasks has no interval"
        return untested(n, before, after, why, fixed, broken)
    strata = _strata(parts)
    stderr = _stderr(parts)
    limits = _recovered(parts) if strata is None else _stratified(strata)
    if strata is not None and is_pool(parts):
        p = _pooled_p(strata)
        test = "Tango score interval, McNemar mid-p"
    else:
        kind = _recovered_from(estimates) if strata is None else "stratified Tango score interval"
        found, test = _p(parts, after - before, stderr, p)
        p, test = found, f"{kind}, {test}"
    return Estimate(
        n=n,
        clusters=sum(one.clusters for one in estimates),
        before=before,
        after=after,
        stderr=stderr,
        limits=limits,
        p=p,
        test=test,
        fixed=fixed,
        broken=broken,
        same=all(one.same for one in estimates),
        discordance=None,
        units=sum_units(parts),
        attribution=weighted([(weight, one.attribution) for weight, one in parts]),
    )


def is_pool(parts: Parts) -> bool:
    """Whether the tasks are one pool of independent right-or-wrong documents that count alike."""
    n = sum(one.n for _, one in parts)
    return all(one.discordance is not None and math.isclose(weight * n, one.n, rel_tol=1e-9) for weight, one in parts)


def _strata(parts: Parts) -> list[Stratum] | None:
    """The tasks as strata of paired 0/1 values; None where one has others."""
    from evalkit.stats.stratified import Stratum

    found = [
        Stratum(weight, one.n, one.difference, one.discordance) for weight, one in parts if one.discordance is not None
    ]
    return found if len(found) == len(parts) else None


def _stratified(strata: Sequence[Stratum]) -> Callable[[float], Limits]:
    from evalkit.stats.stratified import stratified_tango

    @cache
    def limits(level: float) -> Limits:
        interval = stratified_tango(strata, level)
        return interval.low, interval.high

    return limits


def _pooled_p(strata: Sequence[Stratum]) -> float:
    from evalkit.stats.paired import mcnemar_mid_p

    up = round(sum(one.n * (one.discordance + one.difference) / 2 for one in strata))
    down = round(sum(one.n * (one.discordance - one.difference) / 2 for one in strata))
    return mcnemar_mid_p(up, down)


def _stderr(parts: Parts) -> float | None:
    """√(Σ w² SE²); None where a task has neither error nor interval."""
    if any(one.discordance is None and one.limits(0.95) is None for _, one in parts):
        return None
    squares = [0.0 if one.stderr is None else (weight * one.stderr) ** 2 for weight, one in parts]
    return math.sqrt(math.fsum(squares)) or None


def _recovered(parts: Parts) -> Callable[[float], Limits]:
    """Limits of the weighted sum from the tasks' own; of one without, from the range that its difference can have.

    That range says nothing of chance, so it moves the limits as a whole, not as one error among others.
    """
    from evalkit.stats.combine import Part, mover

    @cache
    def limits(level: float) -> Limits:
        each = [Part(weight, one.difference, one.stderr, one.limits(level)) for weight, one in parts]
        known = [part for part in each if part.interval is not None]
        whole = math.fsum(
            weight * (one.reach or 0.0)
            for part, (weight, one) in zip(each, parts, strict=True)
            if part.interval is None
        )
        interval = mover(known, level)
        return (-whole, whole) if interval is None else (interval.low - whole, interval.high + whole)

    return limits


def _recovered_from(estimates: Sequence[Estimate]) -> str:
    all_known = all(one.limits(0.95) is not None for one in estimates)
    return "interval from the tasks' own" + ("" if all_known else f" {WHOLE_RANGE}")


def _p(parts: Parts, difference: float, stderr: float | None, known: float | None) -> tuple[float | None, str]:
    from evalkit.stats.signs import sign_flip
    from evalkit.stats.special import normal_distribution, positive

    units = sum_units(parts)
    if units is not None:
        return sign_flip(units) if known is None else known, "sign-flip test of weighted documents"
    if stderr is None:
        return None, "no test"
    return positive(2 * normal_distribution(-abs(difference) / stderr)), "normal test"


def sum_units(parts: Parts) -> npt.NDArray[np.float64] | None:
    """Each independent unit's part of the sum, of all tasks, [units]; None where a task's score is no mean."""
    import numpy as np

    units = [None if one.units is None else weight * one.units for weight, one in parts]
    known = [one for one in units if one is not None]
    return np.concatenate(known) if len(known) == len(units) else None
