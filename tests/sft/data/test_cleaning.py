"""Duplicates, near duplicates and outliers."""

from __future__ import annotations

import random

import pytest

from evalkit.errors import UsageError
from evalkit.sft.data import CleaningOptions
from evalkit.sft.data.cleaning import clean
from evalkit.sft.rows import TrainingRow
from tests.sft.examples import conversation

WORDS = (
    *("river", "stone", "light", "winter", "garden", "slow", "bright", "paper"),
    *("window", "mountain", "seven", "copper", "early", "quiet", "morning", "letter"),
)


def long_row(seed: int, index: int, change: int = 0) -> TrainingRow:
    """Sixty words, of which the last `change` are others."""
    words = random.Random(seed).choices(WORDS, k=60)
    words[60 - change :] = ["other"] * change
    return conversation(" ".join(words), "yes", index=index)


def reasons(rows: list[TrainingRow], **options: object) -> dict[int, str]:
    return {one.index: one.reason for one in clean(rows, CleaningOptions(**options)).dropped}  # type: ignore[arg-type]


def test_rows_that_differ_in_case_width_or_blanks_are_the_same() -> None:
    rows = [
        conversation("What is the sky?", "Blue", index=0),
        conversation("what  is the SKY?", "blue", index=1),
        conversation("Ｗhat is the sky?", "Blue", index=2),
        conversation("What is the sky?", "Grey", index=3),
    ]
    assert reasons(rows) == {1: "duplicate", 2: "duplicate"}
    assert reasons(rows, exact=False) == {}


def test_near_duplicates_are_those_above_the_share() -> None:
    rows = [long_row(1, 0), long_row(1, 1, change=3), long_row(1, 2, change=30), long_row(2, 3)]
    assert reasons(rows) == {1: "near-duplicate"}
    assert reasons(rows, near=None) == {}


def exact_near(rows: list[TrainingRow], share: float) -> set[int]:
    """What comparing every pair finds."""
    found: set[int] = set()
    shingles = []
    for row in rows:
        words = f"{row.prompt_text} {row.answer}".split()
        shingles.append({tuple(words[at : at + 5]) for at in range(len(words) - 4)})
    for place, own in enumerate(shingles):
        for earlier in range(place):
            if earlier not in found and len(own & shingles[earlier]) / len(own | shingles[earlier]) >= share:
                found.add(place)
                break
    return found


def test_near_duplicates_against_every_pair() -> None:
    rows = [long_row(seed % 25, index, change=(index * 7) % 20) for index, seed in enumerate(range(100))]
    found = {index for index, reason in reasons(rows).items() if reason == "near-duplicate"}
    wanted = exact_near(rows, 0.8)
    assert found <= wanted
    # 14 bands of 8 find a pair at the threshold itself in 92 of 100 cases, and above it nearly always
    assert len(found) >= 0.8 * len(wanted) > 0


def test_rows_with_other_numbers_are_no_near_duplicates() -> None:
    words = " ".join(random.Random(0).choices(WORDS, k=60))
    rows = [conversation(f"{words} compute {number} + 5", "8", index=number) for number in range(4)]
    assert reasons(rows) == {}


def test_short_rows_are_no_near_duplicates() -> None:
    assert (
        reasons(
            [
                conversation("Name the capital of Peru please", "Lima"),
                conversation("Name the capital of Cuba please", "Havana", index=1),
            ]
        )
        == {}
    )


def test_chinese_near_duplicates_are_found() -> None:
    text = "".join(chr(0x4E00 + place * 7) for place in range(80))
    rows = [
        conversation(text, "是"),
        conversation(text[:-1] + "好", "是", index=1),
        conversation(text[::-1], "是", index=2),
    ]
    assert reasons(rows) == {1: "near-duplicate"}


ENGLISH = "This sentence is written in plain English so that its language can be told without any doubt, number {}."
GERMAN = "Dieser Satz ist auf Deutsch geschrieben, damit seine Sprache ohne jeden Zweifel zu erkennen ist."


def test_a_rare_language_is_flagged_or_dropped() -> None:
    rows = [conversation(ENGLISH.format(number), "yes", index=number) for number in range(120)]
    rows.append(conversation(GERMAN, "ja", index=120))
    found = clean(rows, CleaningOptions())
    assert found.flagged[("train", "language-outlier")] == 1
    assert found.languages[("train", "de")] == 1
    assert found.languages[("train", "en")] == 120
    assert reasons(rows, outliers="drop") == {120: "language-outlier"}


def test_an_unusual_length_is_flagged_or_dropped() -> None:
    rows = [conversation(f"Question number {number}", "a" * (number % 7 + 5), index=number) for number in range(60)]
    rows.append(conversation("Question", "word " * 3000, index=60))
    assert clean(rows, CleaningOptions()).flagged[("train", "length-outlier")] == 1
    assert reasons(rows, outliers="drop") == {60: "length-outlier"}


def test_conflicts_are_kept_and_told() -> None:
    rows = [conversation("2 + 2?", "4"), conversation("2 + 2?", "5", index=1), conversation("3 + 3?", "6", index=2)]
    found = clean(rows, CleaningOptions())
    assert len(found.rows) == 3
    assert found.conflicts == ("2 + 2?",)
    assert found.flagged[("train", "conflicting")] == 2


@pytest.mark.parametrize("share", [0.1, 1.5])
def test_a_share_that_cannot_be_meant(share: float) -> None:
    with pytest.raises(UsageError, match="--near-duplicates"):
        CleaningOptions(near=share)
