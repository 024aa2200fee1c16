"""Whose doing a difference is: knowledge, or answers that could not be read."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from evalkit.comparing.pairing import Pairs
from evalkit.comparison import Attribution, Cause, Flip

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_UNREADABLE = {cause.value: cause for cause in Cause if cause is not Cause.KNOWLEDGE}


def cause_of(outcome_before: str, outcome_after: str, gain: float) -> Cause:
    """Why a document's score changed: what was wrong with the worse of its two answers.

    For a loss that is the answer after, for a gain the one before. Where the worse answer could be read, the change is of
    knowledge, whatever the better one was: a truncated answer that still had points explains none of those lost later.
    """
    return _UNREADABLE.get(outcome_after if gain < 0 else outcome_before, Cause.KNOWLEDGE)


def attribute(pairs: Pairs, moved: npt.NDArray[np.float64], *, higher_is_better: bool) -> Attribution:
    """The difference of a mean, split by cause.

    Args:
        pairs: The documents.
        moved: after - before of each, float64 [documents]; exactly 0 where nothing changed.
        higher_is_better: Direction.
    """
    parts: dict[Cause, list[float]] = {Cause.KNOWLEDGE: []}
    fixed: Counter[Cause] = Counter()
    broken: Counter[Cause] = Counter()
    for place in moved.nonzero()[0].tolist():
        step = float(moved[place])
        gain = step if higher_is_better else -step
        cause = cause_of(pairs.before[place].outcome, pairs.after[place].outcome, gain)
        parts.setdefault(cause, []).append(step)
        (fixed if gain > 0 else broken)[cause] += 1
    return Attribution({cause: math.fsum(steps) / len(moved) for cause, steps in parts.items()}, fixed, broken)


def weighted(parts: Sequence[tuple[float, Attribution | None]]) -> Attribution | None:
    """The attributions of several tasks as one; None where one has none."""
    shares: dict[Cause, float] = {}
    fixed: Counter[Cause] = Counter()
    broken: Counter[Cause] = Counter()
    for weight, attribution in parts:
        if attribution is None:
            return None
        for cause, part in attribution.parts.items():
            shares[cause] = shares.get(cause, 0.0) + weight * part
        fixed.update(attribution.fixed)
        broken.update(attribution.broken)
    return Attribution(shares, fixed, broken)


def flips(metric: str, pairs: Pairs, *, higher_is_better: bool) -> tuple[Flip, ...]:
    """The documents whose value changed: the largest change first, and of equal ones what changed with most conviction.

    For choices that is how far the right answer's lead in log-probability (`margin`) moved.
    """
    from evalkit.comparing.means import SLACK

    found = []
    for first, second in zip(pairs.before, pairs.after, strict=True):
        if metric not in first.metrics or metric not in second.metrics:
            continue
        before, after = first.metrics[metric], second.metrics[metric]
        if abs(after - before) <= SLACK * max(1.0, abs(before), abs(after)):
            continue
        gain = after - before if higher_is_better else before - after
        cause = cause_of(first.outcome, second.outcome, gain)
        moved = _number(second.fields.get("margin")) - _number(first.fields.get("margin"))
        found.append((-abs(gain), -abs(moved), Flip(first.id, gain, cause, first.outcome, second.outcome)))
    found.sort(key=lambda one: (one[0], one[1], one[2].id))
    return tuple(flip for _, _, flip in found)


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
