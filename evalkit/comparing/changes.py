"""From an estimate to a change: where a difference gets its limits, its smallest visible effect and its row."""

from __future__ import annotations

from evalkit.comparing.estimate import Estimate, Limits
from evalkit.comparing.sight import detectable
from evalkit.comparison import Change, Verdict

Bounds = tuple[float, float] | None


def change_of(
    estimate: Estimate,
    metric: str,
    *,
    higher_is_better: bool,
    bounds: Bounds,
    alpha: float,
    family: int,
    chance: float | None = None,
    margin: float = 0.0,
    p_adjusted: float | None = None,
    blocked: str = "",
) -> Change:
    """The change that an estimate makes, undecided as yet (`evalkit.comparing.verdict.decide`).

    Args:
        estimate: The difference.
        metric: Its name.
        higher_is_better: Direction.
        bounds: Range that the metric can have; None where unknown.
        alpha: Level of the tests.
        family: Number of tests that p is adjusted for.
        chance: What guessing gives.
        margin: Loss that is tolerated, in the metric's unit.
        p_adjusted: p after the correction, where that is known by now.
        blocked: Why the runs cannot be compared; empty where they can.
    """
    tested = not blocked and estimate.n > 1 and estimate.clusters > 1
    return Change(
        metric=metric,
        higher_is_better=higher_is_better,
        n=estimate.n,
        clusters=estimate.clusters,
        before=estimate.before,
        after=estimate.after,
        difference=estimate.difference,
        stderr=estimate.stderr if tested else None,
        interval=_within(estimate.limits(1 - alpha), bounds) if tested else None,
        margin_interval=_within(estimate.limits(1 - 2 * alpha), bounds) if tested else None,
        p=estimate.p if tested else None,
        p_adjusted=p_adjusted if tested else None,
        test=estimate.test if tested else "none",
        fixed=estimate.fixed,
        broken=estimate.broken,
        detectable=detectable(estimate, alpha / family) if tested else None,
        margin=margin,
        verdict=Verdict.NOT_COMPARABLE if blocked else Verdict.UNDECIDED,
        reason=blocked or estimate.why,
        attribution=estimate.attribution,
        bounds=bounds,
        chance=chance,
        alpha=alpha,
    )


def _within(limits: Limits, bounds: Bounds) -> Limits:
    """The limits, cut where a difference of two scores within the metric's range must end."""
    if limits is None or bounds is None:
        return limits
    width = bounds[1] - bounds[0]
    return max(limits[0], -width), min(limits[1], width)
