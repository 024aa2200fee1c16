"""What of the grown prompts and their answers is rejected, and why."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from evalkit.errors import UsageError
from evalkit.word_index import words

REASONS = (
    *("errored", "empty-prompt", "prompt-cut", "prompt-length", "near-duplicate"),
    *("empty-answer", "answer-cut", "refusal", "answer-length", "echo", "perplexity", "disagreement", "not-verified"),
)
"""Codes of the reasons, in the order in which they are sought: a candidate has the first that holds."""

_REFUSALS = re.compile(
    r"^\W*(?:"
    r"i(?:['’]m| am) (?:(?:very |really |so )?sorry|afraid)\b|sorry, (?:but )?i\b"
    r"|i (?:can(?:not|['’]t)|am (?:not able|unable)|won['’]t)\b|unfortunately, i (?:can|am)"
    r"|as an? (?:ai|artificial|language)\b|i do(?: not|n['’]t) have (?:the ability|access|personal)"
    r"|抱歉|对不起|很遗憾|作为(?:一个|一名)?(?:AI|人工智能|语言模型)|我(?:无法|不能)"
    r")",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What is rejected.

    Attributes:
        prompt_characters: Shortest and longest prompt.
        answer_characters: Shortest and longest answer.
        similarity: ROUGE-L (F1) with a seed or an earlier row from which a prompt is a near duplicate; self-instruct's 0.7.
        perplexity: Lowest and highest perplexity of prompt and answer as one text, for the model that wrote them: below are
            texts that go round in circles, above it noise. None does not ask.
    """

    prompt_characters: tuple[int, int] = (10, 2000)
    answer_characters: tuple[int, int] = (1, 8000)
    similarity: float = 0.7
    perplexity: tuple[float, float] | None = (2.0, 200.0)

    def __post_init__(self) -> None:
        for name, ends in (
            ("--prompt-length", self.prompt_characters),
            ("--answer-length", self.answer_characters),
            ("--perplexity", self.perplexity),
        ):
            if ends is not None and not 0 <= ends[0] <= ends[1]:
                raise UsageError(f"{name} is {ends[0]}:{ends[1]}", hint="give the smaller end first")
        if not 0 < self.similarity <= 1:
            raise UsageError(f"--similarity is {self.similarity}", hint="give more than 0 and at most 1")

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


def is_refusal(text: str) -> bool:
    """Whether an answer begins as refusals do, in English or Chinese."""
    return _REFUSALS.match(text.strip()) is not None


def same_answer(one: str, other: str) -> bool:
    """Whether two answers are the same but for case, blanks and punctuation."""
    return words(one) == words(other) if words(one) or words(other) else one.strip() == other.strip()


class Known:
    """The prompts that a new one must differ from: seeds and kept rows.

    ROUGE-L is that of `rouge_score` over lower-case words; scripts without spaces between words count by pairs of
    characters. What cannot reach the threshold by its words alone is not computed, which changes no outcome.

    Args:
        similarity: F1 from which two prompts are too much alike.
    """

    def __init__(self, similarity: float) -> None:
        from rouge_score import rouge_scorer

        self._similarity = similarity
        self._scorer = rouge_scorer.RougeScorer(["rougeL"], tokenizer=_Words())
        self._texts: list[str] = []
        self._counts: list[Counter[str]] = []

    def add(self, prompt: str) -> None:
        """One more prompt."""
        self._texts.append(prompt)
        self._counts.append(Counter(words(prompt)))

    def twin(self, prompt: str) -> tuple[str, float] | None:
        """The first known prompt that is too much like this one, with its ROUGE-L; None where none is."""
        own = Counter(words(prompt))
        size = own.total()
        for text, counts in zip(self._texts, self._counts, strict=True):
            total = size + counts.total()
            if not total:
                continue
            # a common subsequence has at most the words that both have
            if 2 * min(size, counts.total()) / total < self._similarity:
                continue
            if 2 * (own & counts).total() / total < self._similarity:
                continue
            score = float(self._scorer.score(text, prompt)["rougeL"].fmeasure)
            if score >= self._similarity:
                return text, score
        return None


class _Words:
    """evalkit's words, for `rouge_score`."""

    def tokenize(self, text: str) -> list[str]:
        """The words of a text."""
        return words(text)


def prompt_reason(prompt: str, finish: str, limits: Limits, known: Known) -> tuple[str, str] | None:
    """Why a prompt is rejected, as code and sentence; None where it is not."""
    if not prompt:
        return "empty-prompt", "the model wrote no prompt"
    if finish == "length":
        return "prompt-cut", "it ran into the limit of tokens"
    low, high = limits.prompt_characters
    if not low <= len(prompt) <= high:
        return "prompt-length", f"it has {len(prompt):,} characters"
    twin = known.twin(prompt)
    return None if twin is None else ("near-duplicate", f"ROUGE-L {twin[1]:.2f} with: {twin[0][:200]}")


def answer_reason(prompt: str, answer: str, finish: str, limits: Limits) -> tuple[str, str] | None:
    """Why an answer is rejected, before any model is asked about it; None where it is not."""
    if not answer:
        return "empty-answer", "the model wrote no answer"
    if finish == "length":
        return "answer-cut", "it ran into the limit of tokens"
    if finish == "refused" or is_refusal(answer):
        return "refusal", "it begins as refusals do"
    low, high = limits.answer_characters
    if not low <= len(answer) <= high:
        return "answer-length", f"it has {len(answer):,} characters"
    return ("echo", "the answer repeats the prompt") if same_answer(prompt, answer) else None


def agreement(answer: str, others: Sequence[str]) -> float:
    """Share of other answers that are the same."""
    return sum(same_answer(answer, other) for other in others) / len(others) if others else 1.0
