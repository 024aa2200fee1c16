"""Every run of a leaderboard against every other: the paired difference of their mean scores, all at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations

from evalkit.comparing.changes import change_of
from evalkit.comparing.estimate import Estimate
from evalkit.comparing.groups import combined, is_pool, sum_units
from evalkit.comparing.means import values_estimate
from evalkit.comparing.score_matrix import Mean
from evalkit.comparing.sight import by_t
from evalkit.comparison import Change, Verdict

SHARE = (0.0, 1.0)


def pairwise(mean: Mean, metric: str, alpha: float) -> dict[tuple[int, int], Change]:
    """The change of the score from the worse to the better run, for every pair (better, worse) of places.

    Interval and p are those that `compare` has for the two runs: of one task `means.values_estimate`, of several
    `groups.combined`. p is adjusted for all pairs together (Holm).

    Args:
        mean: The runs' scores.
        metric: What the score is called.
        alpha: Level.
    """
    scores = mean.scores
    order = sorted(range(len(scores)), key=lambda run: -scores[run])
    pairs = [(better, worse) for better, worse in combinations(order, 2)]
    estimates = _estimates([_parts(mean, better, worse) for better, worse in pairs])
    changes = [
        change_of(one, metric, higher_is_better=True, bounds=SHARE, alpha=alpha, family=len(pairs)) for one in estimates
    ]
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


def _parts(mean: Mean, better: int, worse: int) -> list[tuple[float, Estimate]]:
    """Weight and difference of each task, from the worse to the better run, as `compare` has it; p is left out."""
    found = []
    for leaf, weight in mean.weights.items():
        task = mean.tasks[leaf]
        first, second = task.values[worse], task.values[better]
        one = values_estimate(first, second, task.clusters, SHARE, higher_is_better=True, tested=False)
        found.append((weight, one))
    return found


def _estimates(parts: Sequence[list[tuple[float, Estimate]]]) -> list[Estimate]:
    """The weighted sums of several pairs, whose sign-flip tests share their random patterns."""
    from evalkit.stats.signs import sign_flips

    units = {place: sum_units(one) for place, one in enumerate(parts) if not is_pool(one)}
    flipped = dict(zip(units, sign_flips([one for one in units.values() if one is not None]), strict=True))
    found = []
    for place, one in enumerate(parts):
        whole = combined(one, flipped.get(place))
        if len(one) == 1:
            # few clusters are not judged by flipped signs, and have their p already
            whole = one[0][1] if by_t(one[0][1].test) else replace(one[0][1], p=whole.p)
        found.append(whole)
    return found
