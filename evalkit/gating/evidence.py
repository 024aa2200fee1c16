"""What the answers so far say about one task, by tests that stay valid however often they are looked at.

Every hypothesis about the mean gain, or the mean score, is bet against (`evalkit.stats.sequential.MeanBet`): its e-value
reaches 1 / alpha with probability alpha at most if it is true, whenever one stops. A mean at the end of the range or beyond
it cannot be bet on: such a hypothesis is refuted for sure by the first document that contradicts it, or never.

A document's gain counts with its weight in the score, and documents of one cluster are one bet: for a hypothesis "the mean
gain is m", a cluster's value is Σ w (gain - m) / W, where W is the largest weight of a cluster. Its mean is 0 exactly where
the weighted mean gain is m, and its range is known before anything is asked.
"""

from __future__ import annotations

import hashlib
import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

Key = tuple[str, str]
"""A task and the id of one of its documents."""
Direction = Literal["less", "greater"]

ORDER = "ascending SHA-256 of SEED:ID, or of SEED:TASK:CLUSTER where documents have clusters"

NO_LOSS = "nothing is lost"
WITHIN = "the loss is within the margin"
BEYOND = "the loss is the margin or more"
GAINED = "the gain is as required"
NOT_GAINED = "the gain is less than required"
HELD = "the score is not below the floor"
BROKEN = "the score is below the floor"

FAILING = (WITHIN, GAINED, HELD)
"""Hypotheses that a candidate fails by, once they are refuted."""
PASSING = (BEYOND, NOT_GAINED, BROKEN)
"""Hypotheses that must all be refuted before it passes."""


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a task or group.

    Attributes:
        key: Its task and id.
        cluster: Group of documents that go together; None where it stands alone.
        weight: What it counts in the score, 1 on average.
        before: The baseline's value.
    """

    key: Key
    cluster: str | None
    weight: float
    before: float


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """The mean of the gain, or of the score, against a number."""

    name: str
    of_gain: bool
    mean: float
    direction: Direction


class Bet(Protocol):
    """Evidence against a hypothesis; `largest` is infinite where it is refuted for sure."""

    largest: float

    def update(self, values: Sequence[float]) -> float:
        """Takes in further values, each relative to the hypothesis' mean."""
        ...


class Certainty:
    """Evidence against a mean at the end of the range, or beyond it: one value on the other side of it is proof.

    Attributes:
        largest: 1 until then, infinite from then on.
    """

    def __init__(self, direction: Direction) -> None:
        self.largest = 1.0
        self._sign = 1 if direction == "greater" else -1

    def update(self, values: Sequence[float]) -> float:
        """Looks for a value on the other side; less than 1e-9 is rounding."""
        if any(self._sign * value > 1e-9 for value in values):
            self.largest = math.inf
        return self.largest


class TaskEvidence:
    """The evidence on one task.

    Args:
        documents: All documents that the baseline has.
        bounds: Range of the metric.
        higher_is_better: Direction.
        hypotheses: What is tested.
        seed: Of the order.
    """

    def __init__(
        self,
        documents: Sequence[Document],
        bounds: tuple[float, float],
        higher_is_better: bool,
        hypotheses: Sequence[Hypothesis],
        seed: int,
    ) -> None:
        from evalkit.stats.sequential import MeanBet

        self.total = len(documents)
        self.asked = 0
        self.scored = 0
        self.bounds = bounds
        self._sign = 1 if higher_is_better else -1
        self._waiting = deque(ordered(documents, seed))
        self._asking: list[list[Document]] = []
        self._heaviest = max(sum(one.weight for one in unit) for unit in self._waiting)
        self._units: list[tuple[float, float, float]] = []
        self.bets: dict[str, tuple[Hypothesis, Bet]] = {}
        for one in hypotheses:
            low, high = self._range(one.of_gain)
            inside = low < one.mean < high
            bet = MeanBet(0.0, one.direction, low - one.mean, high - one.mean) if inside else Certainty(one.direction)
            self.bets[one.name] = one, bet

    @property
    def finished(self) -> bool:
        """Whether every document was asked."""
        return not self._waiting

    def next(self, count: int) -> list[Key]:
        """The documents to ask next, at least so many where there are as many: whole clusters, in the fixed order."""
        chosen = 0
        while self._waiting and chosen < count:
            unit = self._waiting.popleft()
            self._asking.append(unit)
            chosen += len(unit)
        self.asked += chosen
        return [one.key for unit in self._asking for one in unit]

    def add(self, values: Mapping[Key, float]) -> None:
        """Takes in the candidate's values of the documents asked last; one without a value says nothing."""
        new = []
        for unit in self._asking:
            there = [one for one in unit if one.key in values]
            if there:
                self.scored += len(there)
                weight = sum(one.weight for one in there)
                gain = sum(one.weight * self._sign * (values[one.key] - one.before) for one in there)
                new.append((weight, gain, sum(one.weight * values[one.key] for one in there)))
        self._asking = []
        self._units += new
        for one, bet in self.bets.values():
            bet.update([self._value(unit, one.of_gain, one.mean) for unit in new])

    def against(self, name: str) -> float:
        """The largest e-value against a hypothesis so far; 1 where it is not tested, infinite where it is surely wrong."""
        return self.bets[name][1].largest if name in self.bets else 1.0

    def is_chance(self, name: str) -> bool:
        """Whether a hypothesis could be refuted by bad luck: it is bet on."""
        return name in self.bets and not isinstance(self.bets[name][1], Certainty)

    @property
    def gain(self) -> float:
        """The weighted mean gain so far."""
        weight = sum(unit[0] for unit in self._units)
        return sum(unit[1] for unit in self._units) / weight if weight else 0.0

    def limits(self, alpha: float) -> tuple[float, float]:
        """Limits of the mean gain that hold at all looks at once with probability 1 - alpha: what was never refuted."""
        low, high = self._range(of_gain=True)
        middle = min(max(self.gain, low), high)
        return self._limit(middle, low, "greater", alpha / 2), self._limit(middle, high, "less", alpha / 2)

    def _limit(self, inside: float, outside: float, direction: Direction, alpha: float) -> float:
        from evalkit.stats.sequential import MeanBet

        low, high = self._range(of_gain=True)
        for _ in range(30 if inside != outside else 0):  # all is lost, or won: the limit is the end of the range
            middle = (inside + outside) / 2
            bet = MeanBet(0.0, direction, low - middle, high - middle)
            bet.update([self._value(unit, True, middle) for unit in self._units])
            if bet.largest < 1 / alpha:
                inside = middle
            else:
                outside = middle
        return inside

    def _range(self, of_gain: bool) -> tuple[float, float]:
        low, high = self.bounds
        return (low - high, high - low) if of_gain else self.bounds

    def _value(self, unit: tuple[float, float, float], of_gain: bool, mean: float) -> float:
        weight, gain, score = unit
        low, high = self._range(of_gain)
        value = ((gain if of_gain else score) - weight * mean) / self._heaviest
        return min(max(value, low - mean), high - mean)  # rounding only: the weights keep it within


def ordered(documents: Sequence[Document], seed: int) -> list[list[Document]]:
    """The documents in a random order that depends on nothing but the seed and what they are, cluster by cluster.

    A document without a cluster has the place that `--limit N` draws it at: the first N here are that sample.
    """
    units: dict[str, list[Document]] = {}
    for one in documents:
        task, identity = one.key
        name = identity if one.cluster is None else f"{task}:{one.cluster}"
        # the same question may stand in two tasks of a group
        units.setdefault(f"{seed}:{name}" + ("" if one.cluster is not None else f"\0{task}"), []).append(one)
    return [units[name] for name in sorted(units, key=lambda name: (_digest(name.split("\0")[0]), name))]


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).digest()


def hypotheses(
    margin: float, required: float | None, floor: float | None, *, higher_is_better: bool
) -> list[Hypothesis]:
    """What must be refuted for a candidate to fail, or to pass.

    Args:
        margin: Loss that is tolerated.
        required: Gain that is required; None for none.
        floor: Score that must be reached, as the metric counts; None for none.
        higher_is_better: Direction of the metric.
    """
    found = [
        Hypothesis(NO_LOSS, True, 0.0, "less"),
        Hypothesis(WITHIN, True, -margin, "less"),
        Hypothesis(BEYOND, True, -margin, "greater"),
    ]
    if required is not None:
        found += [Hypothesis(GAINED, True, required, "less"), Hypothesis(NOT_GAINED, True, required, "greater")]
    if floor is not None:
        worse, better = ("less", "greater") if higher_is_better else ("greater", "less")
        found += [
            Hypothesis(HELD, False, floor, worse),  # type: ignore[arg-type]
            Hypothesis(BROKEN, False, floor, better),  # type: ignore[arg-type]
        ]
    return [one for one in found if math.isfinite(one.mean)]
