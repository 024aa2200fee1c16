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
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from evalkit.gating.hypotheses import PASSING, Direction, Hypothesis, Quantity

Key = tuple[str, str]
"""A task and the id of one of its documents."""

ORDER = "ascending SHA-256 of SEED:ID, or of SEED:TASK:CLUSTER where documents have clusters"


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a task or group.

    Attributes:
        key: Its task and id.
        cluster: Group of documents that go together; None where it stands alone.
        weight: What it counts in the score, 1 on average.
        before: The baseline's value.
        unreadable: Whether the baseline's answer was.
    """

    key: Key
    cluster: str | None
    weight: float
    before: float
    unreadable: bool = False


@dataclass(frozen=True, slots=True)
class Unit:
    """A cluster's answers, summed over its documents.

    Attributes:
        weight: Of the documents with a value.
        gain: Their weighted gain.
        score: Their weighted score.
        lost_weight: Of the documents without a value, which could not be answered.
        lost_gain: Their weighted gain were each the worst there is.
        lost_score: Their weighted score likewise.
        count: Documents that were asked.
        unreadable: Those among them whose answer is unreadable or could not be had.
        rise: The same less those of the baseline.
    """

    weight: float
    gain: float
    score: float
    lost_weight: float
    lost_gain: float
    lost_score: float
    count: int
    unreadable: int
    rise: int


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
        self._largest = max(len(unit) for unit in self._waiting)
        self._units: list[Unit] = []
        self.bets: dict[str, tuple[Hypothesis, Bet]] = {}
        for one in hypotheses:
            low, high = self._range(one.of)
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

    def add(self, values: Mapping[Key, float], unreadable: Collection[Key] = ()) -> None:
        """Takes in the candidate's answers to the documents asked last.

        Args:
            values: Its values; a document without one could not be answered.
            unreadable: Documents whose answer could not be read or had.
        """
        new = [self._unit(unit, values, unreadable) for unit in self._asking]
        self.scored += sum(one.key in values for unit in self._asking for one in unit)
        self._asking = []
        self._units += new
        for one, bet in self.bets.values():
            bet.update([self._value(unit, one) for unit in new])

    def _unit(self, unit: Sequence[Document], values: Mapping[Key, float], unreadable: Collection[Key]) -> Unit:
        there = [one for one in unit if one.key in values]
        lost = [one for one in unit if one.key not in values]
        worst = self.bounds[0] if self._sign > 0 else self.bounds[1]
        now, before = sum(one.key in unreadable for one in unit), sum(one.unreadable for one in unit)
        return Unit(
            weight=sum(one.weight for one in there),
            gain=sum(one.weight * self._sign * (values[one.key] - one.before) for one in there),
            score=sum(one.weight * values[one.key] for one in there),
            lost_weight=sum(one.weight for one in lost),
            lost_gain=sum(one.weight * self._sign * (worst - one.before) for one in lost),
            lost_score=sum(one.weight * worst for one in lost),
            count=len(unit),
            unreadable=now,
            rise=now - before,
        )

    def against(self, name: str) -> float:
        """The largest e-value against a hypothesis so far; 1 where it is not tested, infinite where it is surely wrong."""
        return self.bets[name][1].largest if name in self.bets else 1.0

    def is_chance(self, name: str) -> bool:
        """Whether a hypothesis could be refuted by bad luck: it is bet on."""
        return name in self.bets and not isinstance(self.bets[name][1], Certainty)

    @property
    def gain(self) -> float:
        """The weighted mean gain so far."""
        weight = sum(unit.weight for unit in self._units)
        return sum(unit.gain for unit in self._units) / weight if weight else 0.0

    def limits(self, alpha: float) -> tuple[float, float]:
        """Limits of the mean gain that hold at all looks at once with probability 1 - alpha: what was never refuted."""
        low, high = self._range("gain")
        middle = min(max(self.gain, low), high)
        return self._limit(middle, low, "greater", alpha / 2), self._limit(middle, high, "less", alpha / 2)

    def _limit(self, inside: float, outside: float, direction: Direction, alpha: float) -> float:
        from evalkit.stats.sequential import MeanBet

        low, high = self._range("gain")
        for _ in range(30 if inside != outside else 0):  # all is lost, or won: the limit is the end of the range
            middle = (inside + outside) / 2
            bet = MeanBet(0.0, direction, low - middle, high - middle)
            tested = Hypothesis("", "gain", middle, direction)
            bet.update([self._value(unit, tested) for unit in self._units])
            if bet.largest < 1 / alpha:
                inside = middle
            else:
                outside = middle
        return inside

    def _range(self, of: Quantity) -> tuple[float, float]:
        low, high = self.bounds
        return {"gain": (low - high, high - low), "score": (low, high), "unreadable": (0.0, 1.0), "rise": (-1.0, 1.0)}[
            of
        ]

    def _value(self, unit: Unit, tested: Hypothesis) -> float:
        """What a unit says for a hypothesis, between the ends of the quantity's range less the mean."""
        low, high = self._range(tested.of)
        if tested.of in ("unreadable", "rise"):
            total = unit.unreadable if tested.of == "unreadable" else unit.rise
            value = (total - unit.count * tested.mean) / self._largest
        else:
            weight, total_value = unit.weight, unit.gain if tested.of == "gain" else unit.score
            if tested.name in PASSING:
                weight += unit.lost_weight
                total_value += unit.lost_gain if tested.of == "gain" else unit.lost_score
            value = (total_value - weight * tested.mean) / self._heaviest
        return min(max(value, low - tested.mean), high - tested.mean)  # rounding only: the weights keep it within


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
