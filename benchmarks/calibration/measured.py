"""One measured rate beside what is promised, and the table of all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Measured:
    """How often something happened in simulated runs.

    Attributes:
        method: The interval, test or rule.
        case: The data.
        kind: `coverage`: an interval held the truth, 0.95 nominal. `alarms`: a test said "different" and nothing was,
            0.05 nominal. `power`: it said so and was right.
        rate: Share of the draws.
        draws: Number of draws; 0 where the rate is exact.
        promised: Least coverage or most false alarms that evalkit stands for; None where it promises nothing.
        remark: What else was measured.
    """

    method: str
    case: str
    kind: Literal["coverage", "alarms", "power"]
    rate: float
    draws: int
    promised: float | None = None
    remark: str = ""

    @property
    def error(self) -> float:
        """Standard error of the simulation, never 0: an extreme rate is taken to be one draw away from it."""
        if not self.draws:
            return 0.0
        rate = min(max(self.rate, 1 / self.draws), 1 - 1 / self.draws)
        return math.sqrt(rate * (1 - rate) / self.draws)

    @property
    def kept(self) -> bool:
        """Whether the promise is kept, as far as two standard errors tell."""
        if self.promised is None:
            return True
        if self.kind == "coverage":
            return self.rate + 2 * self.error + 1e-9 >= self.promised
        return self.rate - 2 * self.error - 1e-9 <= self.promised


def covered(method: str, case: str, held: Sequence[bool], promised: float | None, remark: str = "") -> Measured:
    return Measured(method, case, "coverage", float(np.mean(held)), len(held), promised, remark)


def alarmed(method: str, case: str, alarms: Sequence[bool], promised: float | None, remark: str = "") -> Measured:
    return Measured(method, case, "alarms", float(np.mean(alarms)), len(alarms), promised, remark)


def markdown(rows: Sequence[Measured]) -> str:
    lines = ["| method | data | measured | ± | promised | |", "|---|---|---:|---:|---:|---|"]
    for row in rows:
        sign = {"coverage": "≥", "alarms": "≤", "power": ""}[row.kind]
        digits = 1 if row.promised is None or row.promised >= 0.01 else 3
        promised = "—" if row.promised is None else f"{sign} {100 * row.promised:.{digits}f} %"
        error = f"{100 * row.error:.{digits}f}" if row.draws else "exact"
        remark = row.remark if row.kept else f"**outside** {row.remark}".strip()
        rate = f"{100 * row.rate:.{digits}f} %"
        lines.append(f"| {row.method} | {row.case} | {rate} | {error} | {promised} | {remark} |")
    return "\n".join(lines)
