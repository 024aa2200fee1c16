"""Scores of all translations together (BLEU, chrF, TER), from what sacrebleu counts in each of them.

lm-eval hands all texts to sacrebleu at once. With the counts of each document kept, running scores and a bootstrap need no
text to be read again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

SUFFIX = "_statistics"
"""Field of a sample that holds the counts of a metric: METRIC_statistics."""


def scorer(aggregation: Callable[..., Any] | None) -> Any:
    """The metric of sacrebleu behind one of lm-eval's own aggregations; None for any other aggregation."""
    if aggregation is None or getattr(aggregation, "__module__", "") != "lm_eval.api.metrics":
        return None
    return _scorers().get(aggregation.__name__)


@cache
def _scorers() -> dict[str, Any]:
    from sacrebleu.metrics import BLEU, CHRF, TER

    return {"bleu": BLEU(), "chrf": CHRF(), "chrfpp": CHRF(word_order=2), "ter": TER()}


def statistics(metric: Any, item: Any) -> list[float] | None:
    """What sacrebleu counts in one document.

    Args:
        metric: sacrebleu's metric.
        item: lm-eval's [reference, text], or [[reference], [text]].

    Returns:
        The counts; None for several references, which lm-eval reduces to the fewest that any document has.
    """
    if not isinstance(item, list | tuple) or len(item) != 2:
        return None
    texts = [_single(part) for part in item]
    if texts[0] is None or texts[1] is None:
        return None
    # the method behind corpus_score; sacrebleu's own significance tests build on it too
    (counts,) = metric._extract_corpus_statistics([texts[1]], [[texts[0]]])
    return list(counts)


def value(metric: Any) -> Callable[[npt.NDArray[np.float64]], float]:
    """Counts of some documents, float64 [documents, numbers] -> their score."""

    def score(counts: npt.NDArray[np.float64]) -> float:
        total = [int(number) if number.is_integer() else number for number in counts.sum(axis=0).tolist()]
        return float(metric._compute_score_from_stats(total).score)

    return score


def _single(part: str | Sequence[str]) -> str | None:
    if isinstance(part, str):
        return part
    return part[0] if len(part) == 1 and isinstance(part[0], str) else None
