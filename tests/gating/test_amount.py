"""Amounts with units."""

from __future__ import annotations

import math
import re

import pytest

from evalkit.cli.compare import parse_margin
from evalkit.errors import UsageError
from evalkit.gating.amount import Amount

SHARE = (0.0, 1.0)
BLEU = (0.0, 100.0)


@pytest.mark.parametrize(
    ("text", "bounds", "expected"),
    [
        ("2pt", SHARE, 0.02),
        ("2 points", SHARE, 0.02),
        ("1 point", BLEU, 1.0),
        ("2pt", (-1.0, 1.0), 0.04),
        ("2%", SHARE, 0.02),
        (0.02, SHARE, 0.02),
        ("0.02", BLEU, 2.0),
        (".5pt", SHARE, 0.005),
        ("1e-3", SHARE, 0.001),
        ("5% of base", SHARE, 0.02),
        ("5%", None, 0.02),
        ("5pt", (0.0, math.inf), 0.02),
        (0, SHARE, 0.0),
    ],
)
def test_differences(text: str | float, bounds: tuple[float, float] | None, expected: float) -> None:
    assert Amount.parse(text).difference(bounds, 0.4) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["2", 2, "1", "1.0", "100pt", "150%", "-1pt", "two"])
def test_a_size_is_no_share_by_accident(text: str | int) -> None:
    with pytest.raises(ValueError, match=r"unit|whole range|less than 0|examples"):
        Amount.size(text)
    with pytest.raises(UsageError, match="is no loss"):
        parse_margin(str(text))


def test_of_the_first_score_is_for_the_gate_only() -> None:
    assert Amount.size("150% of base").difference(None, 2.0) == 3.0
    with pytest.raises(UsageError, match="not of the range"):
        parse_margin("1% of base")


@pytest.mark.parametrize("text", ["2pt", "0.02", "2%"])
@pytest.mark.parametrize("bounds", [SHARE, BLEU, (1.0, math.inf)])
def test_differences_are_those_of_compare(text: str, bounds: tuple[float, float]) -> None:
    expected = parse_margin(text) * (bounds[1] - bounds[0] if math.isfinite(bounds[1]) else 12.0)
    assert Amount.parse(text).difference(bounds, 12.0) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "bounds", "expected"),
    [
        ("40pt", SHARE, 0.4),
        ("40%", BLEU, 40.0),
        (0.4, SHARE, 0.4),
        (30, BLEU, 30.0),
        ("95% of base", None, 0.38),
    ],
)
def test_scores(text: str | float, bounds: tuple[float, float] | None, expected: float) -> None:
    assert Amount.parse(text).score("quiz", bounds, 0.4) == pytest.approx(expected)


def test_a_score_in_points_needs_a_range() -> None:
    with pytest.raises(UsageError, match="task text: a score of 40pt has no meaning"):
        Amount.parse("40pt").score("text", (1.0, math.inf), 12.0)


@pytest.mark.parametrize(("text", "meant"), [("300% of base", "1.2"), ("110pt", "1.1"), ("-1pt", "-0.01")])
def test_no_score_is_beyond_the_range(text: str, meant: str) -> None:
    message = f"task quiz: a score of {text} ({meant}) is none that this metric can have (0 to 1)"
    with pytest.raises(UsageError, match=re.escape(message)) as caught:
        Amount.parse(text).score("quiz", SHARE, 0.4)
    assert caught.value.hint == "write a score within these"
    assert Amount.parse("300% of base").score("text", (1.0, math.inf), 12.0) == 36.0
    assert Amount.parse("250% of base").score("quiz", SHARE, 0.4) == 1.0


@pytest.mark.parametrize(
    "text", ["", "pt", "two points", "2 pct", "nan", "inf", "2pt of base", "1e999", "0x10", "1_000"]
)
def test_what_is_no_amount(text: str) -> None:
    with pytest.raises(ValueError, match="is not"):
        Amount.parse(text)


def test_shares() -> None:
    assert Amount.parse("95%").share() == Amount.parse(0.95).share() == 0.95
    for text in ("120%", "5% of base", "-1%"):
        with pytest.raises(ValueError, match="no share"):
            Amount.parse(text).share()


def test_shown_as_it_is_written() -> None:
    assert [str(Amount.parse(text)) for text in ("2 points", "0.02", "1% of base")] == ["2pt", "0.02", "1% of base"]
