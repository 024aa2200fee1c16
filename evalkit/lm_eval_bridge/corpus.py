"""lm-eval's scores of all translations together (BLEU, chrF, TER) as evalkit's own metrics of the same name.

lm-eval hands all texts to sacrebleu at once. With sacrebleu's counts of each document kept, running scores and a bootstrap
need no text to be read again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from evalkit.documents import OpenQuestion
from evalkit.metrics import translation
from evalkit.metrics.text import Corpus, TextMetric

SUFFIX = "_statistics"
"""Field of a sample that holds the counts of a metric: METRIC_statistics."""

_NAMES = {"bleu": "bleu", "chrf": "chrf", "chrfpp": "chrf++", "ter": "ter"}
"""lm-eval's aggregation -> evalkit's metric; both leave sacrebleu at its defaults."""


class Counted(NamedTuple):
    """One document's own score, and the counts that the score of all is made of ([texts][numbers], of its one text)."""

    value: float
    statistics: Sequence[Sequence[float]]


def corpus_metric(aggregation: Callable[..., Any] | None) -> Corpus | None:
    """How the score of all documents is made of their counts; None for an aggregation that is not sacrebleu's."""
    metric = _metric(aggregation)
    return None if metric is None else metric.corpus


def bounds(aggregation: Callable[..., Any] | None) -> tuple[float, float]:
    """Range that the score can have; infinite for an aggregation that is not sacrebleu's."""
    metric = _metric(aggregation)
    return (-math.inf, math.inf) if metric is None else metric.bounds


def counted(aggregation: Callable[..., Any] | None, item: Any) -> Counted | None:
    """What is counted in one document.

    Args:
        aggregation: lm-eval's.
        item: lm-eval's [reference, text], or [[reference], [text]].

    Returns:
        None for other aggregations, and for several references: lm-eval reduces them to the fewest that any document has.
    """
    metric = _metric(aggregation)
    if metric is None or metric.corpus is None or not isinstance(item, list) or len(item) != 2:
        return None
    reference, text = (_single(part) for part in item)
    if reference is None or text is None:
        return None
    document = OpenQuestion("", reference)
    value = metric.value(document, text)
    return None if value is None else Counted(value, [list(metric.corpus.statistics(document, text))])


def _metric(aggregation: Callable[..., Any] | None) -> TextMetric | None:
    # a task may call a function of its own "bleu"
    if aggregation is None or getattr(aggregation, "__module__", "") != "lm_eval.api.metrics":
        return None
    name = _NAMES.get(aggregation.__name__)
    return None if name is None else translation.METRICS[name]


def _single(part: Any) -> str | None:
    if isinstance(part, str):
        return part
    return part[0] if isinstance(part, list) and len(part) == 1 and isinstance(part[0], str) else None
