"""Amounts in a policy: `2pt`, `0.02`, `2%`, `1% of base`."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

from evalkit.errors import UsageError

Unit = Literal["", "pt", "%", "% of base"]

_FORM = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)\s*(pt|pts|points?|%|% of base)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Amount:
    """A size that people write with a unit.

    Attributes:
        number: As written.
        unit: Empty: in the metric's own unit. `pt`: hundredths of the metric's range. `%`: the same, for metrics that are
            shown in percent. `% of base`: hundredths of the baseline's score.
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

    def resolve(self, task: str, bounds: tuple[float, float] | None, before: float) -> float:
        """The amount in the metric's unit.

        Args:
            task: For messages.
            bounds: Range of the metric; None where it is not known.
            before: The baseline's score.

        Raises:
            UsageError: The unit has no meaning for this metric.
        """
        if self.unit == "":
            return self.number
        if self.unit == "% of base":
            return self.number / 100 * abs(before)
        low, high = bounds or (-math.inf, math.inf)
        if self.unit == "%" and (low, high) != (0.0, 1.0):
            raise UsageError(
                f"task {task}: {self} could mean points or a part of the baseline's score, as this metric is no percentage",
                hint=f"write {self.number:g}% of base, or a number in the metric's own unit",
            )
        if not math.isfinite(high - low):
            raise UsageError(
                f"task {task}: {self} has no meaning, as this metric has no largest value",
                hint=f"write {self.number:g}% of base, or a number in the metric's own unit",
            )
        # a point is of the size of a difference: where the range begins does not matter
        return self.number / 100 * (high - low)

    def share(self) -> float:
        """The amount as a part of 1: `5%`, `5pt` and `0.05` are the same.

        Raises:
            ValueError: It is not between 0 and 1.
        """
        value = self.number if self.unit == "" else self.number / 100
        if self.unit == "% of base" or not 0 <= value <= 1:
            raise ValueError(f"{self} is no share between 0 and 1")
        return value

    def __str__(self) -> str:
        return f"{self.number:g}{self.unit}"
