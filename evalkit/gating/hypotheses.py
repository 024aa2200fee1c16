"""What a sequential gate tests: a candidate fails where one of some hypotheses is refuted, and passes where the rest are."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Direction = Literal["less", "greater"]

NO_LOSS = "nothing is lost"
NO_GAIN = "nothing is gained"
WITHIN = "the loss is within the margin"
BEYOND = "the loss is the margin or more"
GAINED = "the gain is as required"
NOT_GAINED = "the gain is less than required"
HELD = "the score is not below the floor"
BROKEN = "the score is below the floor"
FEW_UNREADABLE = "no more answers are unreadable than allowed"
MANY_UNREADABLE = "more answers are unreadable than allowed"
SMALL_RISE = "unreadable answers rise by no more than allowed"
LARGE_RISE = "unreadable answers rise by more than allowed"

# NO_LOSS and NO_GAIN decide nothing: they say whether a tolerated loss, or a gain, is real

FAILING = (WITHIN, GAINED, HELD, FEW_UNREADABLE, SMALL_RISE)
"""Hypotheses that a candidate fails by, once they are refuted."""
PASSING = (BEYOND, NOT_GAINED, BROKEN, MANY_UNREADABLE, LARGE_RISE)
"""Hypotheses that must all be refuted before it passes. Documents that could not be answered count as the worst value there;
elsewhere they say nothing."""

Quantity = Literal["gain", "score", "unreadable", "rise"]
"""What a hypothesis is about: the mean gain or score, weighted as in the score; or, each document alike, the share of
answers that are unreadable, or by how much that is above the baseline's."""


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """The mean of a quantity against a number."""

    name: str
    of: Quantity
    mean: float
    direction: Direction


def hypotheses(
    margin: float, required: float | None, floor: float | None, *, higher_is_better: bool
) -> list[Hypothesis]:
    """What must be refuted for a candidate to fail, or to pass.

    Args:
        margin: Loss that is tolerated.
        required: Gain that is required; None for none.
        floor: Score that must be reached, as the metric counts; None for none.
        higher_is_better: Direction of the metric.
    """
    found = [
        Hypothesis(NO_LOSS, "gain", 0.0, "less"),
        Hypothesis(NO_GAIN, "gain", 0.0, "greater"),
        Hypothesis(WITHIN, "gain", -margin, "less"),
        Hypothesis(BEYOND, "gain", -margin, "greater"),
    ]
    if required is not None:
        found += [Hypothesis(GAINED, "gain", required, "less"), Hypothesis(NOT_GAINED, "gain", required, "greater")]
    if floor is not None:
        worse, better = ("less", "greater") if higher_is_better else ("greater", "less")
        found += [
            Hypothesis(HELD, "score", floor, worse),  # type: ignore[arg-type]
            Hypothesis(BROKEN, "score", floor, better),  # type: ignore[arg-type]
        ]
    return [one for one in found if math.isfinite(one.mean)]


def unreadable_hypotheses(rate: float | None, rise: float | None) -> list[Hypothesis]:
    """The same for answers that are unreadable or could not be had.

    Args:
        rate: Share that is allowed; None for any.
        rise: By how much the share may be above the baseline's; None for any.
    """
    found = []
    if rate is not None:
        found += [
            Hypothesis(FEW_UNREADABLE, "unreadable", rate, "greater"),
            Hypothesis(MANY_UNREADABLE, "unreadable", rate, "less"),
        ]
    if rise is not None:
        found += [Hypothesis(SMALL_RISE, "rise", rise, "greater"), Hypothesis(LARGE_RISE, "rise", rise, "less")]
    return found
