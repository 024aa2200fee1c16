"""Metrics that compare an answer with the references as texts."""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Mapping, Sequence

from evalkit.documents import OpenQuestion
from evalkit.metrics.text import TextMetric


def exact_match(
    name: str = "exact_match",
    *,
    ignore_case: bool = False,
    ignore_punctuation: bool = False,
    ignore: Sequence[str] = (),
    normalize: Callable[[str], str] | None = None,
) -> TextMetric:
    """Whether the answer equals one of the references, after the same normalisation of both.

    Args:
        name: Of the metric.
        ignore_case: Upper and lower case are the same.
        ignore_punctuation: ASCII punctuation is left out.
        ignore: Regular expressions whose matches are left out, in this order, before anything else (lm-eval's
            `regexes_to_ignore`).
        normalize: What else is done to both, last.
    """
    expressions = [re.compile(expression) for expression in ignore]
    punctuation = str.maketrans("", "", string.punctuation)

    def plain(text: str) -> str:
        for expression in expressions:
            text = expression.sub("", text)
        if ignore_case:
            text = text.lower()
        if ignore_punctuation:
            text = text.translate(punctuation)
        return normalize(text) if normalize else text

    def value(document: OpenQuestion, text: str | None) -> float:
        return float(text is not None and plain(text) in {plain(reference) for reference in document.references})

    return TextMetric(name, True, True, (0.0, 1.0), value, lm_eval="exact_match", normalize=plain)


METRICS: Mapping[str, TextMetric] = {"exact_match": exact_match()}
"""Name -> metric."""
