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
        digits = points(value, sign=sign)
        return f"{digits} point{'' if digits.lstrip('+-') == '1.0' else 's'}"
    return number(value, sign=sign)


def step(change: Change, value: float) -> str:
    """A difference with its sign and without unit: points for percent, else 3 significant digits."""
    return signed(value, is_share(change))


def span(change: Change, low: float, high: float, *, unit: bool = False) -> str:
    """Two limits of a difference as the table has them: "-2.3 to +5.8", with their unit "-2.3 to +5.8 points"."""
    return f"{step(change, low)} to {step(change, high)}{' points' if unit and is_share(change) else ''}"


def points(value: float, *, sign: bool = False) -> str:
    """A share of 1 in points of percent with one decimal; two significant digits where that would be 0 and is not."""
    plus = "+" if sign else ""
    digits = f"{100 * value:{plus}.1f}"
    if float(digits):
        return digits
    # a hundred thousandth of a point is rounding
    return f"{100 * value:{plus}.2g}" if abs(value) >= 1e-7 else "0.0"


def score(value: float, share: bool) -> str:
    """A score: "38.2%" for shares of 1, else 3 significant digits."""
    return f"{100 * value:.1f}%" if share else number(value)


def signed(value: float, share: bool) -> str:
    """A difference with its sign and without unit, of a metric that is, or is not, a share of 1."""
    return points(value, sign=True) if share else number(value, sign=True)


def limits(ends: tuple[float, float] | None, share: bool) -> str:
    """The confidence limits of a difference, for a table; empty where there are none."""
    return "" if ends is None else f"{signed(ends[0], share)} to {signed(ends[1], share)}"


def number(value: float, *, sign: bool = False) -> str:
    """Three significant digits, of whole numbers up to 9,999 all; 0 has no sign."""
    plus = "+" if sign and value else ""
    if value != 0 and not 1e-4 <= abs(value) < 1e4:
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
