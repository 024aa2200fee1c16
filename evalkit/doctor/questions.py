"""Multiple-choice questions, the ways to put them, and a small set of our own for machines without data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evalkit.documents import MultipleChoice

LETTERS = "ABCDEFGHIJ"


@dataclass(frozen=True, slots=True)
class Question:
    """A question with answers as texts.

    Attributes:
        stem: What is asked.
        choices: The answers.
        golds: Which are right.
    """

    stem: str
    choices: tuple[str, ...]
    golds: tuple[int, ...]

    def cloze(self) -> MultipleChoice:
        """The answers' texts are scored, and not shown before."""
        return MultipleChoice(f"Question: {self.stem}\nAnswer:", self.choices, self.golds)

    def letter(self) -> MultipleChoice:
        """The answers are shown under letters, and the letters are scored."""
        letters = LETTERS[: len(self.choices)]
        shown = "".join(f"\n{letter}. {choice}" for letter, choice in zip(letters, self.choices, strict=True))
        return MultipleChoice(f"{self.stem}{shown}\nAnswer:", letters, self.golds)


def question_of(document: MultipleChoice) -> Question | None:
    """The question behind a document, however it is put; None where its parts cannot be told apart."""
    stem = document.question.removesuffix("Answer:").rstrip().removeprefix("Question: ")
    choices = tuple(document.choices)
    if not all(len(choice) == 1 for choice in choices):
        return Question(stem, choices, document.golds) if len(choices) <= len(LETTERS) else None
    if "".join(choices) != LETTERS[: len(choices)]:
        return None
    texts: list[str] = []
    for letter in reversed(choices):
        stem, found, text = stem.rpartition(f"\n{letter}. ")
        if not found:
            return None
        texts.insert(0, text)
    return Question(stem, tuple(texts), document.golds)


def _questions(*rows: tuple[str, Sequence[str], int]) -> tuple[Question, ...]:
    return tuple(Question(stem, tuple(choices), (gold,)) for stem, choices, gold in rows)


BUILT_IN = _questions(
    ("Which of these is a metal?", ["iron", "wood", "glass", "paper"], 0),
    ("What do plants take in from the air to make sugar?", ["oxygen", "carbon dioxide", "helium", "smoke"], 1),
    ("Which planet is closest to the Sun?", ["Mars", "Earth", "Mercury", "Saturn"], 2),
    ("What is the capital of France?", ["Rome", "Madrid", "Berlin", "Paris"], 3),
    ("How many legs does a spider have?", ["eight", "six", "four", "ten"], 0),
    ("At sea level water boils at what temperature?", ["50 °C", "100 °C", "150 °C", "200 °C"], 1),
    ("Which organ pumps blood through the body?", ["the liver", "the lung", "the heart", "the skin"], 2),
    ("Which of these animals lays eggs?", ["a dog", "a horse", "a cat", "a hen"], 3),
    ("What is frozen water called?", ["ice", "steam", "sand", "salt"], 0),
    ("A ball thrown up falls down again because of what?", ["magnetism", "gravity", "friction", "sound"], 1),
    ("Which season comes after winter?", ["autumn", "summer", "spring", "another winter"], 2),
    ("Which instrument measures temperature?", ["a ruler", "a scale", "a clock", "a thermometer"], 3),
    ("What does a bee make?", ["honey", "milk", "silk", "wool"], 0),
    ("Which ocean lies between Europe and America?", ["the Pacific", "the Atlantic", "the Indian", "the Arctic"], 1),
    ("How many days are there in a week?", ["five", "six", "seven", "eight"], 2),
    ("Which of these is a source of light?", ["a mirror", "the Moon", "a window", "the Sun"], 3),
    ("What is the chemical formula of water?", ["H2O", "CO2", "NaCl", "O2"], 0),
    ("Which material conducts electricity best?", ["rubber", "copper", "wood", "plastic"], 1),
    ("What is 7 times 8?", ["54", "63", "56", "48"], 2),
    ("What do we call a scientist who studies stars?", ["a botanist", "a geologist", "a chemist", "an astronomer"], 3),
    ("Which sense do the ears serve?", ["hearing", "smell", "taste", "sight"], 0),
    ("What do caterpillars turn into?", ["beetles", "butterflies", "spiders", "worms"], 1),
    ("Which gas do people need to breathe to stay alive?", ["nitrogen", "hydrogen", "oxygen", "neon"], 2),
    ("Which language is spoken in Brazil by most people?", ["Spanish", "French", "English", "Portuguese"], 3),
)
"""Our own, easy on purpose: about as many right answers in every place."""
