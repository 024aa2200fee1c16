"""What can be said of a task's change, against the margin that the policy gives it."""

from __future__ import annotations

import math
from statistics import NormalDist

from evalkit.comparison import Verdict
from evalkit.gating.measure import Measured


def verdict_of(measured: Measured) -> Verdict:
    """Regressed, improved, within the margin, undecided or not comparable.

    Regressed: a loss that is sure after Holm's correction, and measured as large as the margin or larger. Improved: a sure
    gain. Within the margin: no loss as large as the margin is left possible (one-sided, at alpha), be there a sure smaller
    loss or none. That all tasks must be so needs no correction: each is tested at alpha (Berger 1982).
    """
    change, alpha = measured.change, measured.judged.rule.alpha
    if measured.obstacle is not None or change is None:
        return Verdict.NOT_COMPARABLE
    sure = measured.p is not None and measured.p < alpha
    # where nothing may be lost, any sure loss is too much
    if sure and change.gain < 0 and change.gain <= -measured.margin:
        return Verdict.REGRESSED
    if sure and change.gain > 0:
        return Verdict.IMPROVED
    limits = change.gain_margin_interval
    if limits is not None and limits[0] > -measured.margin:
        return Verdict.WITHIN_MARGIN
    return Verdict.UNDECIDED


def is_sure_loss(measured: Measured) -> bool:
    """Whether there is a loss beyond chance, however small."""
    change = measured.change
    return (
        change is not None and change.gain < 0 and measured.p is not None and measured.p < measured.judged.rule.alpha
    )


def more_items(measured: Measured) -> int | None:
    """About how many more documents would settle an undecided task; None where that cannot be said.

    So many that a candidate without any change would pass with a probability of 80 %, at the variance seen here.
    """
    change = measured.change
    if change is None or verdict_of(measured) is not Verdict.UNDECIDED:
        return None
    if not change.stderr or measured.margin <= 0:
        return None
    normal = NormalDist()
    reach = normal.inv_cdf(1 - measured.judged.rule.alpha) + normal.inv_cdf(0.8)
    needed = change.n * (reach * change.stderr / measured.margin) ** 2
    return max(1, math.ceil(needed - change.n))
