"""From a difference to a verdict: the rules that `compare` and `gate` share."""

from __future__ import annotations

import math
from dataclasses import replace

from evalkit.comparing.amounts import amount, p_value, rough, span
from evalkit.comparing.sight import FEW_CLUSTERS, by_t, units_needed, units_to_reject, whole_range
from evalkit.comparison import Change, Verdict

_MOST = 10_000_000
"""More documents than any benchmark has: no such number is named."""


def decide(change: Change, *, family: int = 1, exhausted: bool = False) -> Change:
    """The change with verdict, reason and the number of further documents that would settle it.

    Rules, in this order, on gains (positive is better), at the change's `alpha` and `margin`:

    - `within margin`: the same model (known weights and tokenizer) gave every document the same score, in which there is
      no chance. With other weights the same scores are judged by their interval as any others.
    - `regressed`: the loss is real (adjusted p < alpha) and at least the margin as estimated. So without a difference at
      most alpha / 2 of all families of tests have a false `regressed` in them, and as many a false `improved`.
    - `improved`: the gain is real.
    - `within margin`: the lower limit of `margin_interval` is above -margin. Each row has this test at alpha by itself:
      a gate passes only where all rows do, and that needs no correction (intersection-union test; Berger 1982).
    - `undecided`: none of these. Where all documents moved alike there is no interval, but there can be a p: the first
      two rules go by p alone.

    The sentence names the interval of the table, `interval`, with its signs; only the limit that decides `within margin`
    is one-sided, and is said to be.

    Args:
        change: With estimate, intervals, p values and margin; its verdict, reason and `more_items` are replaced. One that
            is not comparable stays so.
        family: Number of tests that p was adjusted for, for the words.
        exhausted: The benchmark has no further documents.
    """
    if change.verdict is Verdict.NOT_COMPARABLE:
        return change
    found = _decided(change, family, exhausted)
    return found if change.identical else replace(found, reason=found.reason + _few_clusters(found))


def _decided(change: Change, family: int, exhausted: bool) -> Change:
    limits, p = change.gain_margin_interval, change.p_adjusted
    if change.identical:
        return replace(change, verdict=Verdict.WITHIN_MARGIN, reason=_IDENTICAL, more_items=None)
    if p is None:
        return replace(change, verdict=Verdict.UNDECIDED, reason=change.reason or _no_test(change), more_items=None)
    real = p < change.alpha
    if real and change.gain < 0 and change.gain <= -change.margin:
        return replace(change, verdict=Verdict.REGRESSED, reason=_regressed(change), more_items=None)
    if real and change.gain > 0:
        return replace(change, verdict=Verdict.IMPROVED, reason=_improved(change), more_items=None)
    if limits is None:
        return replace(change, verdict=Verdict.UNDECIDED, reason=_without_interval(change), more_items=None)
    if limits[0] > -change.margin:
        return replace(change, verdict=Verdict.WITHIN_MARGIN, reason=_within(change, family), more_items=None)
    more = more_items(change, family)
    reason = _undecided(change, family) + _further(change, more, change.n if exhausted else change.available)
    return replace(change, verdict=Verdict.UNDECIDED, reason=reason, more_items=more)


_JUST = 0.1
"""Of an interval's width: 0 is so near to an end that interval and test nearly agree."""

_IDENTICAL = "the same model gave the same score on every document"


def more_items(change: Change, family: int = 1) -> int | None:
    """About how many further documents would settle an undecided change with a power of 80 %.

    Settled is either way: shown to be no worse than the margin, or shown to be real at the level alpha / family. The true
    difference is taken to be the observed one, and further documents to vary as these do. Where documents come in clusters,
    these are counted, and are taken to have as many documents as those at hand. None where none would do, or more than 10
    million; where a task without an interval counts with its whole range, which more documents of the others do not
    narrow; and where as many as there are should have sufficed already, so that the reckoning does not hold.
    """
    limits, units = change.margin_interval, change.clusters
    if limits is None or units < 2 or whole_range(change.test):
        return None
    needed = _same_needed(change) if _same(change) else _moved_needed(change, limits, family)
    if needed is None or needed <= units:
        return None
    more = math.ceil((needed - units) * change.n / units - 1e-9)
    return None if more > _MOST else more


def _same_needed(change: Change) -> int | None:
    """Documents, or clusters, without a change that show that none of the margin's size is likely."""
    from evalkit.stats.special import normal_quantile

    if change.bounds is None or not all(map(math.isfinite, change.bounds)) or not change.margin:
        return None
    z = normal_quantile(1 - change.alpha)
    # no change seen: the score interval for none narrows as 1 / n
    return math.ceil(z * z * (change.bounds[1] - change.bounds[0]) / change.margin)


def _moved_needed(change: Change, limits: tuple[float, float], family: int) -> int | None:
    """Documents, or clusters, that settle a change either way."""
    from evalkit.stats.special import normal_quantile

    units, level = change.clusters, change.alpha / family
    clustered = units < change.n
    z = normal_quantile(1 - change.alpha)
    error = change.stderr if change.stderr is not None else (limits[1] - limits[0]) / (2 * z)
    variance = units * error**2
    needed = []
    if change.gain > -change.margin:
        needed.append(units_needed(variance, change.gain + change.margin, change.alpha, clustered))
    if abs(change.gain) > 1e-12:
        real = units_needed(variance, abs(change.gain), level / 2, clustered)
        if not (by_t(change.test) and real < FEW_CLUSTERS):
            # those that do not move say nothing to a test of signs
            moved = 1.0 if clustered else (change.fixed + change.broken) / change.n or 1.0
            real = max(real, math.ceil(units_to_reject(level) / moved))
        needed.append(real)
    return min(needed, default=None)


def _same(change: Change) -> bool:
    return change.fixed == change.broken == 0 and change.difference == 0


def _no_test(change: Change) -> str:
    if change.n < 2:
        return "one document says nothing of chance: the error is undefined"
    if change.clusters < 2:
        return "all documents belong together, which says nothing of chance: the error is undefined"
    return "there is no test for this score"


def _evidence(change: Change) -> str:
    """Interval and p in brackets: the interval of the table, with the table's signs."""
    level = f"{100 * (1 - change.alpha):g}% interval"
    limits = f"no {level}" if change.interval is None else f"{level} {span(change, *change.interval)}"
    return f"({limits}, p {p_value(change.p_adjusted)})"


def _improved(change: Change) -> str:
    return f"better by {amount(change, change.gain)} {_evidence(change)}{_touches_zero(change)}"


def _regressed(change: Change) -> str:
    tolerated = f", tolerated was {amount(change, change.margin)}" if change.margin else ""
    return f"worse by {amount(change, -change.gain)} {_evidence(change)}{tolerated}{_touches_zero(change)}"


def _touches_zero(change: Change) -> str:
    limits = change.gain_interval
    if limits is None or not limits[0] <= 0 <= limits[1]:
        return ""
    if whole_range(change.test):
        return (
            "; the interval holds 0: a task without an interval of its own counts with the whole range that it can have"
        )
    if min(-limits[0], limits[1]) <= _JUST * (limits[1] - limits[0]):
        return "; the interval, of another method than the test, just holds 0"
    if change.clusters < change.n:
        return "; the interval holds 0: it is wide where few clusters hold most documents, which the test does not mind"
    return "; the interval, of another method than the test, holds 0"


def _within(change: Change, family: int) -> str:
    limits = change.gain_margin_interval
    assert limits is not None
    level = f"one-sided {100 * (1 - change.alpha):g}% limit"
    if change.is_real_loss:
        return (
            f"worse by {amount(change, -change.gain)} {_evidence(change)}, a real loss, but surely smaller than the "
            f"tolerated {amount(change, change.margin)} ({level}: {amount(change, -limits[0])})"
        )
    lost = f"at most {amount(change, -limits[0])} may be lost" if limits[0] < 0 else "nothing may be lost"
    return f"no loss of {amount(change, change.margin)} or more: {lost} ({level})" + _correction(change, family)


def _undecided(change: Change, family: int) -> str:
    if change.is_real_loss:
        text = (
            f"a loss, size unclear: worse by {amount(change, -change.gain)} {_evidence(change)}, "
            f"tolerated is {amount(change, change.margin)}"
        )
    elif change.interval is None:
        text = "how much was lost or gained is not known"
    else:
        text = f"anything from {span(change, *change.interval, unit=True)} is possible"
    return text + _correction(change, family)


def _correction(change: Change, family: int) -> str:
    """Why an interval that excludes 0 stands beside a verdict that does not say so."""
    limits, p, adjusted = change.gain_interval, change.p, change.p_adjusted
    if p is None or adjusted is None or adjusted < change.alpha:
        return ""
    excludes = limits is not None and not limits[0] <= 0 <= limits[1]
    if p < change.alpha:
        return f" (p {p_value(p)} alone, {p_value(adjusted)} after Holm's correction for {family} tests)"
    if excludes:
        return f" (the interval just excludes 0, the test just does not: p {p_value(p)})"
    return ""


def _without_interval(change: Change) -> str:
    """Why a difference with a p, but without an interval, decides nothing."""
    if _same(change):
        return (
            f"all {change.n:,} documents have the same score in both runs, and nothing shows how far scores of other "
            "documents would move"
        )
    if change.is_real_loss:
        return (
            f"worse by {amount(change, -change.gain)} (p {p_value(change.p_adjusted)}), a real loss of less than the "
            f"tolerated {amount(change, change.margin)} as measured; without an interval it is not known to be"
        )
    direction = "better" if change.gain > 0 else "worse"
    return (
        f"{direction} by {amount(change, abs(change.gain))}, which may be chance (p {p_value(change.p_adjusted)}); there "
        "is no interval"
    )


def _further(change: Change, more: int | None, available: int | None) -> str:
    """How many more documents there would have to be, and whether the benchmark has as many."""
    if more is None:
        return ""
    clusters = (
        "" if change.clusters == change.n else f" ({rough(math.ceil(more * change.clusters / change.n))} clusters)"
    )
    text = f"; about {rough(more)} more documents{clusters} would settle it"
    if available is not None and change.n + more > available:
        return (
            f"{text}, but the benchmark has {'no more' if available <= change.n else f'only about {rough(available)}'}"
        )
    return text


def _few_clusters(change: Change) -> str:
    """That a test by so few clusters is not exact."""
    if change.p is None or not by_t(change.test):
        return ""
    return f"; with {change.clusters} clusters the test is approximate"
