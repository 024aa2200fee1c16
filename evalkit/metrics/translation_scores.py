"""BLEU, chrF and TER of many corpora at once, from sacrebleu's sufficient statistics.

What sacrebleu computes from one row of sums, for thousands of rows: resampling asks for no less. Each function gives the
numbers of sacrebleu's own `_compute_score_from_stats` for its default smoothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]

_ORDERS = 4


def bleu_scores(sums: Array) -> Array:
    """BLEU with exponential smoothing: an order without a match counts half a match, the next such order a quarter ...

    Args:
        sums: System length, reference length, matches of 1 to 4 words, n-grams of 1 to 4 words; [corpora, 10].

    Returns:
        Scores, [corpora], 0 to 100.
    """
    import numpy as np

    system, reference = sums[:, 0], sums[:, 1]
    matches, totals = sums[:, 2 : 2 + _ORDERS], sums[:, 2 + _ORDERS : 2 + 2 * _ORDERS]
    missed = np.cumsum(matches == 0, axis=1)
    precisions = np.where(matches == 0, 0.5**missed, matches) / np.maximum(totals, 1)
    brevity = np.exp(np.minimum(0.0, 1 - reference / np.maximum(system, 1e-300)))
    scores = 100 * brevity * np.exp(np.log(np.maximum(precisions, 1e-300)).mean(axis=1))
    return np.where(matches.any(axis=1) & (totals > 0).all(axis=1), scores, 0.0)


def chrf_scores(sums: Array) -> Array:
    """ChrF: the F-score, recall counting twice, of mean precision and mean recall over the orders that both texts have.

    Args:
        sums: N-grams of the system, of the reference, and common ones, for each order; [corpora, 3 orders].

    Returns:
        Scores, [corpora], 0 to 100.
    """
    import numpy as np

    system, reference, matches = (sums[:, place::3] for place in range(3))
    known = (system > 0) & (reference > 0)
    orders = np.maximum(known.sum(axis=1), 1)
    precision = (known * matches / np.maximum(system, 1)).sum(axis=1) / orders
    recall = (known * matches / np.maximum(reference, 1)).sum(axis=1) / orders
    scores = 5 * precision * recall / np.maximum(4 * precision + recall, 1e-300)
    return np.asarray(100 * scores, dtype=np.float64)


def ter_scores(sums: Array) -> Array:
    """TER: edits a word of the reference, in percent.

    Args:
        sums: Edits and reference words; [corpora, 2].

    Returns:
        Scores, [corpora].
    """
    import numpy as np

    edits, words = sums[:, 0], sums[:, 1]
    return 100 * np.where(words > 0, edits / np.maximum(words, 1e-300), edits > 0)
