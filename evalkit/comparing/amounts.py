"""Numbers of a comparison or a gate as text, in the unit of their metric: percent and points for shares of 1."""

from __future__ import annotations

import math

from evalkit.comparison import Change


def is_share(change: Change) -> bool:
    """Whether the metric goes from 0 to 1, so that it is shown in percent and its differences in points."""
    return change.bounds == (0.0, 1.0)


def amount(change: Change, value: float, *, sign: bool = False) -> str:
    """A difference in words: "2.1 points" of percent for shares of 1, else 3 significant digits."""
    return size(value, is_share(change), sign=sign)


def size(value: float, share: bool, *, sign: bool = False) -> str:
    """`amount` of a metric that is, or is not, a share of 1."""
    if share:
        digits = f"{100 * value:{'+' if sign else ''}.1f}"
        if float(digits) == 0 and value:
            digits = f"{100 * value:{'+' if sign else ''}.2g}"
        return f"{digits} point{'' if digits.lstrip('+-') == '1.0' else 's'}"
    return number(value, sign=sign)


def span(change: Change, low: float, high: float) -> str:
    """Two limits with their unit once: "2.3 to 5.8 points"."""
    if not is_share(change):
        return f"{number(low)} to {number(high)}"
    return f"{100 * low:.1f} to {100 * high:.1f} points"


def score(value: float, share: bool) -> str:
    """A score: "38.2%" for shares of 1, else 3 significant digits."""
    return f"{100 * value:.1f}%" if share else number(value)


def step(value: float, share: bool) -> str:
    """A difference with its sign, for a table: "-2.1" points for shares of 1."""
    return f"{100 * value:+.1f}" if share else number(value, sign=True)


def limits(ends: tuple[float, float] | None, share: bool) -> str:
    """The confidence limits of a difference, for a table; empty where there are none."""
    return "" if ends is None else f"{step(ends[0], share)} to {step(ends[1], share)}"


def number(value: float, *, sign: bool = False) -> str:
    """Three significant digits."""
    plus = "+" if sign else ""
    if value != 0 and not 1e-4 <= abs(value) < 1e6:
        return f"{value:{plus}.2e}"
    digits = 3 if value == 0 else max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:{plus}.{digits}f}"


def p_value(p: float | None) -> str:
    """Two significant digits, and never 0."""
    if p is None:
        return "unknown"
    if p < 0.001:
        return "< 0.001"
    return f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def rough(count: int) -> str:
    """A count to two significant digits: it is an estimate."""
    if count < 100:
        return f"{count:,}"
    scale = 10 ** (len(str(count)) - 2)
    return f"{round(count / scale) * scale:,}"
