"""ROUGE (Lin 2004): what a summary shares with a reference, from Google's `rouge_score`, on its scale from 0 to 1.

The value is the F-measure with the best reference, without stemming, as the `evaluate` library has it; lm-eval's tasks
that report ROUGE times 100 say so (`truthfulqa_gen`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from evalkit.documents import OpenQuestion
from evalkit.errors import DataError, TaskDefinitionError
from evalkit.metrics.text import TextMetric

TYPES = ("rouge1", "rouge2", "rougeL", "rougeLsum")
"""Overlap of words, of pairs of words, longest common subsequence of the texts, and of their lines."""

_TOKENS: Mapping[str, re.Pattern[str]] = {
    "words": re.compile(r"\w+"),
    "characters": re.compile(r"[a-z0-9]+|\w"),
}
"""What a token is, in lower case: a run of letters and digits of any script, or a single one (Latin words stay whole)."""


def rouge(name: str, *, tokens: str = "english") -> TextMetric:
    """One of the four kinds of ROUGE.

    Args:
        name: `rouge1`, `rouge2`, `rougeL` or `rougeLsum`, with anything after it that tells variants apart.
        tokens: `english`, the original's words of a-z and 0-9, which takes other letters for white space; `words` for
            other languages that set words apart; `characters` for Chinese, Japanese, Thai.

    Raises:
        TaskDefinitionError: There is no such kind of token.
    """
    if tokens not in ("english", *_TOKENS):
        raise TaskDefinitionError(f"{name} has no tokens {tokens!r}", hint="there are english, words and characters")
    kind = re.split(r"\W", name)[0]

    @cache
    def scorer() -> Any:
        from rouge_score.rouge_scorer import RougeScorer

        return RougeScorer([kind], use_stemmer=False, tokenizer=_Tokens(_TOKENS[tokens]) if tokens in _TOKENS else None)

    def value(document: OpenQuestion, text: str | None) -> float:
        if tokens == "english":
            _check_english(name, document)
        return float(scorer().score_multi(document.references, text or "")[kind].fmeasure)

    return TextMetric(name, True, False, (0.0, 1.0), value, signature=lambda _: _signature(kind, tokens))


def for_language(code: str) -> Mapping[str, TextMetric]:
    """The metrics of this module as they suit texts in a language: its ISO 639-1 code."""
    if code == "en":
        return METRICS
    tokens = "characters" if code in {"zh", "ja", "th", "lo", "my", "km", "bo"} else "words"
    return {name: rouge(name, tokens=tokens) for name in TYPES}


class _Tokens:
    """A tokenizer as `rouge_score` takes it."""

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self.pattern = pattern

    def tokenize(self, text: str) -> list[str]:
        """The tokens of a text."""
        return self.pattern.findall(text.lower())


def _check_english(name: str, document: OpenQuestion) -> None:
    """Refuses a reference in which the original's tokenizer sees nothing, where every answer would score 0."""
    for reference in document.references:
        if not re.search("[a-z0-9]", reference.lower()) and any(character.isalpha() for character in reference):
            raise DataError(
                f"{name} sees no word in the reference {reference[:40]!r}: it reads the letters a to z only",
                hint=f"use {name}?tokens=words, or {name}?tokens=characters for Chinese, Japanese or Thai",
            )


def _signature(kind: str, tokens: str) -> str:
    from importlib.metadata import version

    return f"{kind}|f-measure|stemmer:no|tokens:{tokens}|rouge_score:{version('rouge_score')}"


METRICS: Mapping[str, TextMetric] = {name: rouge(name) for name in TYPES}
"""Name -> metric."""

BUILDERS: Mapping[str, Callable[..., TextMetric]] = dict.fromkeys(TYPES, rouge)
"""What makes `NAME?option=value`."""
