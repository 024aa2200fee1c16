"""What the documents at hand could show, and how many more it would take."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evalkit.comparing.estimate import Estimate

POWER = 0.8
FEW_CLUSTERS = 6
"""With fewer, sign flips of whole clusters cannot have a p below 5 %: the test is then the interval's own t."""

T_TEST = "cluster-robust t interval and t test"

WHOLE_RANGE = "and the whole range of one without"


def whole_range(test: str) -> bool:
    """Whether a task without an interval counts with all that its difference can be, as `Change.test` names it."""
    return WHOLE_RANGE in test


def by_t(test: str) -> bool:
    """Whether a test, as `Change.test` names it, is the t test that few clusters have."""
    return T_TEST in test


def units_to_reject(level: float) -> int:
    """How many documents or clusters must move, all the same way, before flipping their signs has a p below the level.

    The smallest p of C flipped signs is 2 / 2^C.
    """
    return math.floor(1 - math.log2(level) + 1e-9) + 1


def detectable(estimate: Estimate, level: float) -> float | None:
    """The smallest true difference that would be seen with a power of 80 %.

    One rule for all commands: the level is that of the row's own test after the correction for its family, alpha / tests,
    which Holm's correction asks of the first test. Standard errors count with t(clusters - 1), or fewer degrees of freedom
    where few clusters are of unequal size; right-or-wrong documents as `evalkit.stats.power` says.

    Returns:
        None where it is not known, or where no difference whatever could be seen.
    """
    from evalkit.stats.power import detectable_binary_difference
    from evalkit.stats.special import t_quantile

    is_t, discordance = by_t(estimate.test), estimate.discordance
    if not is_t and estimate.clusters < units_to_reject(level) - (discordance is not None):
        return None
    if discordance is not None:
        return detectable_binary_difference(discordance, estimate.n, alpha=level, power=POWER)
    if estimate.stderr is None:
        return None
    degrees = estimate.degrees if is_t and estimate.degrees is not None else estimate.clusters - 1
    found = (t_quantile(1 - level / 2, degrees) + t_quantile(POWER, degrees)) * estimate.stderr
    return None if estimate.reach is not None and found > estimate.reach else found


def units_needed(variance: float, effect: float, tail: float, clustered: bool) -> int:
    """How many documents or clusters have (z_tail + z_power) standard errors within an effect; for clusters, by t.

    Args:
        variance: Of one unit's difference.
        effect: Positive.
        tail: Probability beyond the critical value.
        clustered: The units are clusters.
    """
    from evalkit.stats.power import items_needed
    from evalkit.stats.special import t_quantile

    needed = items_needed(variance, effect, alpha=2 * tail, power=POWER)
    if not clustered:
        return needed
    needed = max(2, needed)
    # from below: more units mean smaller quantiles, so the first that suffices is the smallest
    while needed < 1000:
        quantiles = t_quantile(1 - tail, needed - 1) + t_quantile(POWER, needed - 1)
        if quantiles * math.sqrt(variance / needed) <= effect:
            break
        needed += 1
    return needed
