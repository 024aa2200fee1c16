"""Numbers as people read them: percent and points for shares, significant digits for the rest."""

from __future__ import annotations

import math

MINUS = "\N{MINUS SIGN}"


def is_share(bounds: tuple[float, float] | None, higher_is_better: bool, *seen: float) -> bool:
    """Whether a score is shown in percent: its metric goes from 0 to 1, or seems to where the range is unknown."""
    if bounds is not None:
        return higher_is_better and bounds == (0.0, 1.0)
    return higher_is_better and all(0 <= value <= 1 for value in seen)


def score(value: float | None, share: bool) -> str:
    """A score: `61.5%`, `16.62`; empty for None."""
    if value is None:
        return ""
    return f"{100 * value:.1f}%" if share else plain(value)


def limits(ends: tuple[float, float] | None, share: bool) -> str:
    """The interval of a score: `58.1 to 64.9`; empty where unknown."""
    if ends is None:
        return ""
    low, high = ((f"{100 * end:.1f}" if share else plain(end)) for end in ends)
    return f"{low} to {high}".replace("-", MINUS)


def difference(value: float | None, share: bool) -> str:
    """A difference with its sign, in points for shares: `+1.9`; empty for None."""
    if value is None:
        return ""
    text = f"{100 * abs(value):.1f}" if share else plain(abs(value))
    sign = "" if float(f"{100 * value:.1f}" if share else value) == 0 else "+" if value > 0 else MINUS
    return sign + text


def difference_limits(ends: tuple[float, float] | None, share: bool) -> str:
    """The interval of a difference: `-0.5 to +4.3`; empty where unknown."""
    return "" if ends is None else " to ".join(difference(end, share) for end in ends)


def probability(value: float | None) -> str:
    """A p value: `0.031`, `< 0.001`; empty for None."""
    if value is None:
        return ""
    return f"{value:.3f}" if value >= 0.001 else "< 0.001"


def count(number: float) -> str:
    """A whole number with separators."""
    return f"{number:,.0f}"


def plain(value: float) -> str:
    """Four significant digits."""
    if value != 0 and not 1e-4 <= abs(value) < 1e6:
        return f"{value:.3e}".replace("-", MINUS)
    digits = 1 if value == 0 else max(0, 3 - math.floor(math.log10(abs(value))))
    return f"{value:.{digits}f}".replace("-", MINUS)


def size(characters: int) -> str:
    """A length of text: `812 characters`, `1.2 million characters`."""
    if characters >= 1_000_000:
        return f"{characters / 1e6:.1f} million characters"
    return f"{characters:,} character" + ("" if characters == 1 else "s")
