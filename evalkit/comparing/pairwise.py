"""Every run of a leaderboard against every other: the paired difference of their mean scores, all at once."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING

from evalkit.comparing.score_matrix import Mean
from evalkit.comparing.sight import detectable
from evalkit.comparison import Change, Verdict

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]

FEW = 60
"""Documents, or clusters, that differ between two runs, up to which signs are flipped one by one."""


def pairwise(mean: Mean, metric: str, alpha: float) -> dict[tuple[int, int], Change]:
    """The change of the score from the worse to the better run, for every pair (better, worse) of places.

    Independent right-or-wrong documents that count alike have Tango's score interval and McNemar's mid-p. Where tasks weigh
    differently, the interval is Tango's for strata; other values and clusters have a t interval from √(Σ w² SE²) over tasks,
    cluster-robust where documents come in clusters. p is then that of the sign-flip test of all documents' (or clusters')
    weighted differences, as in `evalkit.comparing.groups`. p is adjusted for all pairs together (Holm).

    Args:
        mean: The runs' scores.
        metric: What the score is called.
        alpha: Level.
    """
    scores = mean.scores
    order = sorted(range(len(scores)), key=lambda run: -scores[run])
    pairs = [(better, worse) for better, worse in combinations(order, 2)]
    changes = _pool(mean, metric, pairs, alpha) if mean.is_pool else _weighted(mean, metric, pairs, alpha)
    return judged(dict(zip(pairs, changes, strict=True)), alpha)


def judged(changes: Mapping[tuple[int, int], Change], alpha: float) -> dict[tuple[int, int], Change]:
    """The changes of all pairs with p adjusted for all of them together, verdict and reason."""
    from evalkit.stats.multiple import holm

    tested = [pair for pair, change in changes.items() if change.p is not None]
    adjusted = dict(zip(tested, holm([changes[pair].p or 0.0 for pair in tested]), strict=True))
    return {pair: _judged(change, adjusted.get(pair), alpha) for pair, change in changes.items()}


def _judged(change: Change, p: float | None, alpha: float) -> Change:
    told_apart = p is not None and p < alpha and change.gain > 0
    if told_apart:
        reason = "the better one is better beyond chance"
    elif p is None:
        reason = change.reason or "there is no test"
    elif change.fixed == change.broken == 0:
        reason = "the scores of all documents are the same"
    else:
        reason = "the difference may be chance"
    verdict = Verdict.IMPROVED if told_apart else Verdict.UNDECIDED
    return replace(change, p_adjusted=p, verdict=verdict, reason=reason)


def _pool(mean: Mean, metric: str, pairs: list[tuple[int, int]], alpha: float) -> Iterator[Change]:
    import numpy as np

    from evalkit.stats.paired import mcnemar_mid_p, tango

    values = np.concatenate([mean.tasks[leaf].values for leaf in mean.weights], axis=1)
    both = values @ values.T  # documents that two runs get right
    n, scores = mean.n, mean.scores.tolist()
    for better, worse in pairs:
        wins, losses = (int(both[run, run] - both[better, worse]) for run in (better, worse))
        at, at_margin = (tango(wins, losses, n, level) for level in (1 - alpha, 1 - 2 * alpha))
        variance = ((wins + losses) / n - ((wins - losses) / n) ** 2) / max(1, n - 1)
        yield _change(
            mean,
            metric,
            (scores[better], scores[worse]),
            stderr=math.sqrt(variance) or None,
            interval=(at.low, at.high),
            margin_interval=(at_margin.low, at_margin.high),
            p=mcnemar_mid_p(wins, losses),
            test="Tango score interval, McNemar mid-p",
            moved=(wins, losses),
            detectable=detectable(n, n, None, (wins + losses) / n, "", alpha / len(pairs)),
            alpha=alpha,
        )


def _weighted(mean: Mean, metric: str, pairs: list[tuple[int, int]], alpha: float) -> Iterator[Change]:
    import numpy as np

    units = np.concatenate([mean.tasks[leaf].units(weight) for leaf, weight in mean.weights.items()], axis=1)
    values = np.concatenate([mean.tasks[leaf].values for leaf in mean.weights], axis=1)
    slack = 1e-12 * max(1e-300, float(np.abs(units).max()))
    covariances = _covariances(mean)
    scores = mean.scores.tolist()
    for better, worse in pairs:
        steps = values[better] - values[worse]
        parts = units[better] - units[worse]
        parts = parts[np.abs(parts) > slack]
        variance, freedom = _spread(covariances, better, worse, parts)
        difference = scores[better] - scores[worse]
        if mean.is_binary:
            kind, intervals = "stratified Tango score interval", _tango(mean, better, worse, alpha)
        else:
            kind, intervals = "t interval from the tasks' errors", _t(difference, variance, freedom, alpha)
        yield _change(
            mean,
            metric,
            (scores[better], scores[worse]),
            stderr=None if freedom is None else math.sqrt(variance),
            interval=intervals[0],
            margin_interval=intervals[1],
            p=_sign_flip(parts, len(pairs), alpha),
            test=f"{kind}, sign-flip test of weighted documents",
            moved=(int((steps > 1e-9).sum()), int((steps < -1e-9).sum())),
            detectable=None
            if freedom is None
            else detectable(mean.n, mean.clusters, math.sqrt(variance), None, "", alpha / len(pairs)),
            alpha=alpha,
        )


def _spread(
    covariances: tuple[Array, Array] | None, better: int, worse: int, parts: Array
) -> tuple[float, float | None]:
    """Variance of the difference and its degrees of freedom; None where `parts`, the units that differ, show none."""
    if covariances is None or not len(parts):
        return 0.0, None
    total, squares = covariances
    variance = float(total[better, better] + total[worse, worse] - 2 * total[better, worse])
    if variance <= 1e-12 * math.fsum(parts**2):
        return 0.0, None
    return variance, variance**2 / float(squares[better, worse])


def _sign_flip(parts: Array, pairs: int, alpha: float) -> float:
    """P of the sign-flip test; of many documents by the normal distribution with the test's own variance, Σ part².

    Few documents get so many random patterns of signs that a p below alpha is in reach after Holm's correction.
    """
    from evalkit.stats.permutation import sign_flip
    from evalkit.stats.special import normal_distribution, positive

    if len(parts) > FEW:
        return positive(2 * normal_distribution(-abs(math.fsum(parts)) / math.sqrt(math.fsum(parts**2))))
    return sign_flip(parts.tolist(), resamples=min(99_999, max(9_999, round(20 * pairs / alpha))))


def _tango(mean: Mean, better: int, worse: int, alpha: float) -> list[tuple[float, float] | None]:
    """Limits at the levels 1 - alpha and 1 - 2 alpha, where every document is right or wrong."""
    from evalkit.stats.stratified import Stratum, stratified_tango

    strata = []
    for leaf, weight in mean.weights.items():
        task = mean.tasks[leaf]
        steps = task.values[better] - task.values[worse]
        strata.append(Stratum(weight, task.n, float(steps.sum()) / task.n, float((steps**2).sum()) / task.n))
    found = [stratified_tango(strata, level) for level in (1 - alpha, 1 - 2 * alpha)]
    return [(one.low, one.high) for one in found]


def _t(difference: float, variance: float, freedom: float | None, alpha: float) -> list[tuple[float, float] | None]:
    """The same from the standard error, with Welch's and Satterthwaite's degrees of freedom; None where there is none."""
    from evalkit.stats.special import t_quantile

    if freedom is None:
        return [None, None]
    halves = [t_quantile(level, freedom) * math.sqrt(variance) for level in (1 - alpha / 2, 1 - alpha)]
    return [(difference - half, difference + half) for half in halves]


def _covariances(mean: Mean) -> tuple[Array, Array] | None:
    """What the differences of all pairs need, from one pass over the documents.

    Of a task C / (C - 1) Σ_c (S_a - n_c a)(S_b - n_c b), the cluster-robust covariance of two runs' weighted scores.

    Returns:
        Covariance of the runs' scores, [runs, runs]; and Σ over tasks of (variance of the difference)² / degrees of freedom,
        [runs, runs]. None where a task has a single document or cluster, which says nothing of its spread.
    """
    import numpy as np

    runs = len(mean.scores)
    total, squares = np.zeros((runs, runs)), np.zeros((runs, runs))
    for leaf, weight in mean.weights.items():
        task = mean.tasks[leaf]
        centred = task.units(weight, centred=True)
        count = centred.shape[1]
        if count < 2:
            return None
        own = centred @ centred.T * (count / (count - 1))
        total += own
        variances = np.add.outer(np.diag(own), np.diag(own)) - 2 * own
        squares += variances**2 / (count - 1)
    return total, squares


def _change(
    mean: Mean,
    metric: str,
    scores: tuple[float, float],
    *,
    stderr: float | None,
    interval: tuple[float, float] | None,
    margin_interval: tuple[float, float] | None,
    p: float | None,
    test: str,
    moved: tuple[int, int],
    detectable: float | None,
    alpha: float,
) -> Change:
    better, worse = scores
    return Change(
        metric=metric,
        higher_is_better=True,
        n=mean.n,
        clusters=mean.clusters,
        before=worse,
        after=better,
        difference=better - worse,
        stderr=stderr,
        interval=interval,
        margin_interval=margin_interval,
        p=p,
        p_adjusted=None,
        test=test,
        fixed=moved[0],
        broken=moved[1],
        detectable=detectable,
        margin=0.0,
        verdict=Verdict.UNDECIDED,
        reason="",
        bounds=(0.0, 1.0),
        alpha=alpha,
    )
