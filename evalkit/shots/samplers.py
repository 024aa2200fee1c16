"""The ways to draw examples, each a small class.

All draws but lm-eval's depend on nothing but the seed, the document and the pool: not on the order of the documents, and
not on which of them are evaluated.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Protocol

from evalkit.documents import Cloze, ContextChoice, MultipleChoice, OpenQuestion, Text
from evalkit.errors import UsageError
from evalkit.prompts import draw_shots
from evalkit.shots.source import ShotSource
from evalkit.task import Task

SAMPLERS = ("lm-eval", "fixed", "random", "nearest", "balanced")


class ShotSampler(Protocol):
    """Draws the examples of documents."""

    def draw(self, source: ShotSource, wanted: Sequence[int]) -> list[tuple[int, ...]]:
        """Draws examples.

        Args:
            source: What to draw from.
            wanted: Indices into `source.documents`.

        Returns:
            For each wanted document, indices into `source.pool`, in the order in which the prompt shows them.

        Raises:
            UsageError: The pool is too small, or has no labels to balance.
        """
        ...


def sampler(name: str, seed: int) -> ShotSampler:
    """The way to draw examples of that name (one of `SAMPLERS`).

    Raises:
        UsageError: There is none.
    """
    if name == "nearest":
        from evalkit.shots.nearest import Nearest

        return Nearest()
    classes: dict[str, type[LmEval | Fixed | Random | Balanced]] = {
        "lm-eval": LmEval,
        "fixed": Fixed,
        "random": Random,
        "balanced": Balanced,
    }
    if name not in classes:
        raise UsageError(f"--shots-sampler {name!r} is not known", hint=f"there are {', '.join(SAMPLERS)}")
    return classes[name](seed)


def depends_on_seed(name: str, task: Task) -> bool:
    """Whether another seed gives the task other examples."""
    return task.shots > 0 and name != "nearest" and (name != "lm-eval" or task.shots_sampler == "random")


class LmEval:
    """As lm-eval draws, by what the task says (see `evalkit.prompts.draw_shots`)."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def draw(self, source: ShotSource, wanted: Sequence[int]) -> list[tuple[int, ...]]:
        """Repeats lm-eval's sequence of draws."""
        return draw_shots(source.task, source.documents, source.pool, wanted, self.seed)


class Fixed:
    """The same examples for all documents; one that is among them gets the next of the same shuffled pool instead."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def draw(self, source: ShotSource, wanted: Sequence[int]) -> list[tuple[int, ...]]:
        """Shuffles the pool once and takes its first rows that are not the document."""
        size = len(source.pool)
        order = random.Random(str(self.seed)).sample(range(size), size)
        return [_first(source, order, document) for document in wanted]


class Random:
    """Drawn anew for each document, from a generator seeded with the seed and the document's content."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def draw(self, source: ShotSource, wanted: Sequence[int]) -> list[tuple[int, ...]]:
        """Draws as many more as the document has copies in the pool, and leaves the copies out."""
        drawn = []
        for document in wanted:
            generator = random.Random(f"{self.seed} {source.id(document)}")
            count = min(source.task.shots + len(source.copies(document)), len(source.pool))
            drawn.append(_first(source, generator.sample(range(len(source.pool)), count), document))
        return drawn


class Balanced:
    """The same examples for all documents, equally many of each label, or one apart where they do not divide.

    The label is the right choice's place; of a question without choices its answer. A document that is among the
    examples gets another of its label instead.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def draw(self, source: ShotSource, wanted: Sequence[int]) -> list[tuple[int, ...]]:
        """Shuffles the pool within each label, and the order of the labels."""
        generator = random.Random(str(self.seed))
        pools = _by_label(source)
        shots = source.task.shots
        orders = {label: generator.sample(places, len(places)) for label, places in pools.items()}
        labels = generator.sample(sorted(orders), len(orders))
        slots = [labels[number % len(labels)] for number in range(shots)]
        generator.shuffle(slots)
        return [self._of(source, orders, slots, document) for document in wanted]

    def _of(
        self, source: ShotSource, orders: dict[str, list[int]], slots: Sequence[str], document: int
    ) -> tuple[int, ...]:
        copies = source.copies(document)
        waiting = {label: iter([place for place in order if place not in copies]) for label, order in orders.items()}
        shots = tuple(place for label in slots if (place := next(waiting[label], None)) is not None)
        if len(shots) < len(slots):
            fewest = min(len(order) for order in orders.values())
            raise source.too_few(fewest, "rows of one of its labels")
        return shots


def _first(source: ShotSource, order: Sequence[int], document: int) -> tuple[int, ...]:
    """The first rows in an order that are not the document."""
    copies = source.copies(document)
    shots: list[int] = []
    for place in order:
        if len(shots) == source.task.shots:
            break
        if place not in copies:
            shots.append(place)
    if len(shots) < source.task.shots:
        raise source.too_few(len(shots))
    return tuple(shots)


def _by_label(source: ShotSource) -> dict[str, list[int]]:
    pools: dict[str, list[int]] = {}
    for place in range(len(source.pool)):
        pools.setdefault(_label(source, place), []).append(place)
    task = source.task
    if len(pools) < 2:
        raise UsageError(
            f"task {task.name} has no labels to balance: all examples have the same answer",
            hint="use another --shots-sampler, such as fixed or random",
        )
    if len(pools) > task.shots and not isinstance(source.solved(0), MultipleChoice | ContextChoice):
        raise UsageError(
            f"--shots-sampler balanced needs labels; {task.name} has free answers, {len(pools):,} different ones",
            hint="use nearest or fixed",
        )
    if len(pools) > task.shots:
        raise UsageError(
            f"task {task.name} has {len(pools):,} different answers, which {task.shots} examples cannot balance",
            hint="ask for at least as many examples as there are labels, or use another --shots-sampler",
        )
    return pools


def _label(source: ShotSource, place: int) -> str:
    document = source.solved(place)
    if isinstance(document, Text):
        raise UsageError(f"task {source.task.name} scores whole texts, which have no labels", hint="use 0 shots")
    if isinstance(document, Cloze | OpenQuestion):
        return document.answer
    return f"{document.golds[0]:06}"
