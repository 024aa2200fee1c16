"""What is rejected, and why."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score import rouge_scorer

from evalkit.errors import UsageError
from evalkit.sft.making.filters import Known, Limits, agreement, answer_reason, is_refusal, prompt_reason, same_answer

LIMITS = Limits()
WORDS = ("name", "the", "capital", "of", "a", "large", "country", "in", "one", "word")


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "I am very sorry, I do not know.",
        "I'm afraid that's not possible.",
        "Sorry, I cannot do that.",
        "As an AI language model, I have no body.",
        "I cannot answer this.",
        "I can’t do this.",
        "抱歉，我不能回答。",
        "作为一个人工智能，我没有感情。",
        "我无法提供这个信息。",
    ],
)
def test_refusals(text: str) -> None:
    assert is_refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "I candidly think so.",
        "The canal is long.",
        "She said: I'm sorry.",
        "As an aim, peace.",
        "我们去吧。",
        "I cannon ball.",
        "",
    ],
)
def test_no_refusals(text: str) -> None:
    assert not is_refusal(text)


@given(
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=12), st.lists(st.sampled_from(WORDS), min_size=1, max_size=12)
)
def test_near_duplicates_are_those_of_rouge_score(one: list[str], other: list[str]) -> None:
    known = Known(0.7)
    known.add(" ".join(one))
    score = rouge_scorer.RougeScorer(["rougeL"]).score(" ".join(one), " ".join(other))["rougeL"].fmeasure
    twin = known.twin(" ".join(other))
    assert (twin is not None) == (score >= 0.7)
    if twin is not None:
        assert twin[1] == pytest.approx(score)


def test_the_first_twin_of_many_is_found() -> None:
    generator = random.Random(0)
    known = Known(0.7)
    for _ in range(300):
        known.add(" ".join(generator.choices(WORDS, k=9)))
    known.add("which month comes after the warm month of august")
    twin = known.twin("which month comes after the cold month of august")
    assert twin is not None
    assert twin[0].startswith("which month")


def test_chinese_prompts_are_compared() -> None:
    known = Known(0.7)
    known.add("请写一首关于春天的短诗")
    assert known.twin("请写一首关于秋天的短诗") is not None
    assert known.twin("葡萄牙的首都是哪里") is None


PROMPTS = [
    ("", "stop", "empty-prompt"),
    ("Name three animals of the", "length", "prompt-cut"),
    ("Short", "stop", "prompt-length"),
    ("x" * 2001, "stop", "prompt-length"),
    ("What is the capital of Portugal?", "stop", "near-duplicate"),
    ("Name three animals of the sea.", "stop", None),
]


@pytest.mark.parametrize(("prompt", "finish", "reason"), PROMPTS)
def test_prompts(prompt: str, finish: str, reason: str | None) -> None:
    known = Known(0.7)
    known.add("What is the capital of Portugal?")
    found = prompt_reason(prompt, finish, LIMITS, known)
    assert (found[0] if found else None) == reason


ANSWERS = [
    ("", "stop", "empty-answer"),
    ("Lisbon is", "length", "answer-cut"),
    ("I cannot say.", "stop", "refusal"),
    ("Lisbon", "refused", "refusal"),
    ("x" * 8001, "stop", "answer-length"),
    ("what is the CAPITAL of Portugal", "stop", "echo"),
    ("Lisbon", "stop", None),
]


@pytest.mark.parametrize(("answer", "finish", "reason"), ANSWERS)
def test_answers(answer: str, finish: str, reason: str | None) -> None:
    found = answer_reason("What is the capital of Portugal?", answer, finish, LIMITS)
    assert (found[0] if found else None) == reason


def test_answers_agree_whatever_their_case_and_points() -> None:
    assert same_answer("Lisbon.", " lisbon")
    assert not same_answer("Lisbon", "Porto")
    assert same_answer("+", "+")
    assert not same_answer("+", "-")
    assert agreement("Lisbon", ["lisbon!", "Porto", "Lisbon", "Faro"]) == 0.5
    assert agreement("Lisbon", []) == 1


@pytest.mark.parametrize("changes", [{"perplexity": (5.0, 2.0)}, {"prompt_characters": (9, 3)}, {"similarity": 0.0}])
def test_limits_that_cannot_be_meant(changes: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Limits(**changes)  # type: ignore[arg-type]
