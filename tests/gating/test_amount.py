"""Amounts with units."""

from __future__ import annotations

import pytest

from evalkit.errors import UsageError
from evalkit.gating.amount import Amount

SHARE = (0.0, 1.0)


@pytest.mark.parametrize(
    ("text", "bounds", "expected"),
    [
        ("2pt", SHARE, 0.02),
        ("2 points", SHARE, 0.02),
        ("1 point", (0.0, 100.0), 1.0),
        ("2pt", (-1.0, 1.0), 0.04),
        ("2%", SHARE, 0.02),
        (0.02, SHARE, 0.02),
        ("0.02", None, 0.02),
        (".5pt", SHARE, 0.005),
        ("1e-3", None, 0.001),
        ("5% of base", None, 0.02),
        (0, SHARE, 0.0),
    ],
)
def test_in_the_unit_of_the_metric(text: str | float, bounds: tuple[float, float] | None, expected: float) -> None:
    assert Amount.parse(text).resolve("quiz", bounds, 0.4) == pytest.approx(expected)


@pytest.mark.parametrize(
    "text", ["", "pt", "two points", "2 pct", "nan", "inf", "2pt of base", "1e999", "0x10", "1_000"]
)
def test_what_is_no_amount(text: str) -> None:
    with pytest.raises(ValueError, match="is not"):
        Amount.parse(text)


@pytest.mark.parametrize(
    ("text", "bounds"), [("2%", (0.0, 100.0)), ("2%", None), ("1pt", None), ("1pt", (0.0, float("inf")))]
)
def test_units_that_could_be_misread_are_refused(text: str, bounds: tuple[float, float] | None) -> None:
    with pytest.raises(UsageError, match="task quiz") as caught:
        Amount.parse(text).resolve("quiz", bounds, 12.0)
    assert "% of base" in str(caught.value.hint)


def test_shares() -> None:
    assert Amount.parse("95%").share() == Amount.parse(0.95).share() == 0.95
    for text in ("120%", "5% of base", "-1%"):
        with pytest.raises(ValueError, match="no share"):
            Amount.parse(text).share()


def test_shown_as_it_is_written() -> None:
    assert [str(Amount.parse(text)) for text in ("2 points", "0.02", "1% of base")] == ["2pt", "0.02", "1% of base"]
