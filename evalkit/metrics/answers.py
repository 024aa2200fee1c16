"""Metrics of short answers, after SQuAD's normalisation (Rajpurkar et al. 2016): exact match and F1 of tokens."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Mapping

from evalkit.documents import OpenQuestion
from evalkit.metrics.matching import exact_match
from evalkit.metrics.text import TextMetric

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_SPACELESS = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff]")
"""A character of a script whose words are not set apart, or (Korean) carry their particles: Thai, Lao, Burmese, Khmer,
Chinese, Japanese, Korean."""


def normalize(text: str) -> str:
    """SQuAD's form of an answer: lower case, no ASCII punctuation, no English articles, single blanks."""
    plain = _ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION))
    return " ".join(plain.split())


def _token_f1(document: OpenQuestion, text: str | None) -> float:
    """The best F1 of the answer's tokens with those of a reference."""
    return max(_f1(normalize(text or "").split(), normalize(one).split()) for one in document.references)


def _f1(answer: list[str], reference: list[str]) -> float:
    if not answer or not reference:
        return float(answer == reference)  # SQuAD 2.0: an answer to a question without one
    common = (Counter(answer) & Counter(reference)).total()
    return 2 * common / (len(answer) + len(reference))


def _contains(document: OpenQuestion, text: str | None) -> float:
    """Whether a reference stands in the text, as whole words, case and runs of white space aside."""
    said = " ".join((text or "").casefold().split())
    return float(any(_stands_in(" ".join(one.casefold().split()), said) for one in document.references))


def _stands_in(reference: str, text: str) -> bool:
    if not reference:
        return False
    before, after = ("" if _SPACELESS.match(edge) else r"\w" for edge in (reference[0], reference[-1]))
    pattern = (f"(?<!{before})" if before else "") + re.escape(reference) + (f"(?!{after})" if after else "")
    return re.search(pattern, text) is not None


METRICS: Mapping[str, TextMetric] = {
    metric.name: metric
    for metric in (
        exact_match("quasi_exact_match", normalize=normalize),
        TextMetric("token_f1", True, False, (0.0, 1.0), _token_f1, lm_eval="f1"),
        TextMetric("contains", True, True, (0.0, 1.0), _contains),
    )
}
"""Name -> metric."""
