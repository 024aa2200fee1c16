"""Items and training rows for tests of contamination."""

from __future__ import annotations

from collections.abc import Sequence

from evalkit.documents import MultipleChoice
from evalkit.sft.contamination import BenchmarkItem, BenchmarkItems, benchmark_item, find_contamination
from evalkit.sft.rows import Message, TrainingRow
from evalkit.training_data import Contamination, Overlap

FILLER = "the quick brown fox jumped over a lazy dog while seven clever wizards brewed strong coffee near some old mill"


def chat(index: int, *turns: str, rejected: str | None = None, source: str = "train.jsonl") -> TrainingRow:
    """A conversation, the user first."""
    messages = tuple(Message("assistant" if place % 2 else "user", turn) for place, turn in enumerate(turns))
    return TrainingRow(source, index, messages, rejected)


def plain(index: int, text: str) -> TrainingRow:
    return TrainingRow("texts.jsonl", index, text=text)


def item(identity: str, question: str, *answers: str) -> BenchmarkItem:
    return BenchmarkItem(identity, question, answers)


def multiple_choice(identity: str, question: str, options: Sequence[str], gold: int) -> BenchmarkItem:
    """As MMLU asks."""
    shown = "".join(f"\n{letter}. {text}" for letter, text in zip("ABCD", options, strict=False))
    return benchmark_item(identity, MultipleChoice(f"{question}{shown}\nAnswer:", "ABCD"[: len(options)], gold))


def long_items(count: int = 30) -> list[BenchmarkItem]:
    """Items of 24 words of which no two share more than single words."""
    return [
        item(
            f"id{n}",
            " ".join(f"q{n}w{place}" for place in range(16)) + "?",
            " ".join(f"a{n}w{place}" for place in range(8)) + ".",
        )
        for n in range(count)
    ]


def found(rows: Sequence[TrainingRow], items: Sequence[BenchmarkItem]) -> Contamination:
    return find_contamination(rows, [BenchmarkItems("quiz", tuple(items))], "flag-eval")[0]


def overlaps(rows: Sequence[TrainingRow], items: Sequence[BenchmarkItem]) -> dict[str, Overlap]:
    (task,) = found(rows, items).tasks
    return {one.id: one for one in task.overlaps}
