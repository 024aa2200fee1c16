"""Amounts in a policy: `2pt`, `0.02`, `2%`, `1% of base`."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

from evalkit.errors import UsageError

Unit = Literal["", "pt", "%", "% of base"]

_FORM = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)\s*(pt|pts|pp|points?|%|% of base)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Amount:
    """A size that people write with a unit.

    A difference without a unit is a share of the metric's range (0.02 is two points of accuracy, or two BLEU), and of the
    baseline's score where a metric has no range (2 % of a perplexity), as for `evalkit compare --margin`.

    Attributes:
        number: As written.
        unit: Empty: a share, for a difference, or a score in the metric's own unit. `pt` and `%`: hundredths of the range.
            `% of base`: hundredths of the baseline's score.
    """

    number: float
    unit: Unit = ""

    @classmethod
    def parse(cls, text: str | int | float) -> Amount:
        """Reads `2pt`, `2 points`, `0.02`, `2%` or `1% of base`.

        Raises:
            ValueError: It is none of these.
        """
        found = _FORM.fullmatch(str(text).strip())
        if found is None or isinstance(text, bool):
            raise ValueError(f"{text!r} is not an amount")
        number = float(found[1])
        if not math.isfinite(number):
            raise ValueError(f"{text!r} is not finite")
        unit = (found[2] or "").lower()
        return cls(number, unit if unit in ("", "%", "% of base") else "pt")  # type: ignore[arg-type]

    @classmethod
    def size(cls, text: str | int | float) -> Amount:
        """Reads the size of a loss, gain or rise: what `evalkit compare --margin`, `evalkit gate` and a policy all take.

        A number from 1 on without a unit is most likely points, and as a share would tolerate any loss: it is refused.

        Raises:
            ValueError: It is none, is less than 0, or as large as the whole range; the message says what to write.
        """
        try:
            amount = cls.parse(text)
        except ValueError:
            raise ValueError("examples: 2pt, 0.02, 1% of base") from None
        if amount.number < 0:
            raise ValueError("it is less than 0; write losses and gains as positive numbers")
        if amount.unit == "" and amount.number >= 1:
            raise ValueError(f"without a unit it is a share of the whole range; write {amount.number:g}pt for points")
        if amount.unit in ("pt", "%") and amount.number >= 100:
            raise ValueError("it is the whole range of the metric; write less than 100pt")
        return amount

    def difference(self, bounds: tuple[float, float] | None, before: float) -> float:
        """The amount as a difference of two scores, in the metric's unit.

        Args:
            bounds: Range of the metric; None or infinite where it has none.
            before: The baseline's score.
        """
        share = self.number if self.unit == "" else self.number / 100
        if self.unit == "% of base" or bounds is None or not math.isfinite(bounds[1] - bounds[0]):
            return share * abs(before)
        return share * (bounds[1] - bounds[0])

    def score(self, task: str, bounds: tuple[float, float] | None, before: float) -> float:
        """The amount as a score, in the metric's unit.

        Raises:
            UsageError: It is in points, and the metric has no range; or it is beyond that range.
        """
        if self.unit == "":
            return self._within(task, bounds, self.number)
        if self.unit == "% of base":
            return self._within(task, bounds, self.number / 100 * before)
        if bounds is None or not math.isfinite(bounds[1] - bounds[0]):
            raise UsageError(
                f"task {task}: a score of {self} has no meaning, as this metric has no largest value",
                hint="write the score itself, or 95% of base",
            )
        return self._within(task, bounds, bounds[0] + self.number / 100 * (bounds[1] - bounds[0]))

    def _within(self, task: str, bounds: tuple[float, float] | None, score: float) -> float:
        if bounds is None or bounds[0] <= score <= bounds[1]:
            return score
        meant = "" if self.unit == "" else f" ({score:g})"
        percent = self.unit == "" and bounds[1] < score <= 100
        raise UsageError(
            f"task {task}: a score of {self}{meant} is none that this metric can have ({bounds[0]:g} to {bounds[1]:g})",
            hint=f"write {self}% for percent" if percent else "write a score within these",
        )

    def share(self) -> float:
        """The amount as a part of 1: `5%`, `5pt` and `0.05` are the same.

        Raises:
            ValueError: It is not between 0 and 1.
        """
        value = self.number if self.unit == "" else self.number / 100
        if self.unit == "" and 1 < value <= 100:
            raise ValueError(f"write {self}% for percent")
        if self.unit == "% of base" or not 0 <= value <= 1:
            raise ValueError(f"{self} is no share between 0 and 1")
        return value

    def __str__(self) -> str:
        return f"{self.number:g}{self.unit}"


def parse_margin(text: str) -> Amount:
    """The tolerated loss that `--margin` names, for `evalkit compare` and `evalkit gate` alike.

    Raises:
        UsageError: See `Amount.size`.
    """
    try:
        return Amount.size(text)
    except ValueError as error:
        raise UsageError(f"--margin {text!r} is no loss", hint=str(error)) from None
