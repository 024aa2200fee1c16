"""The mean over documents and over draws of something that all documents share, with the error that both cause."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

import numpy as np

from evalkit.stats.clusters import cluster_robust
from evalkit.stats.intervals import Interval, wilson
from evalkit.stats.special import t_quantile


def crossed_mean(
    values: Sequence[Sequence[float]], clusters: Sequence[Hashable] | None = None, level: float = 0.95
) -> tuple[float | None, Interval | None]:
    """Standard error and interval of the mean of a table, rows and columns both being samples of many.

    Rows are draws (few-shot seeds), columns documents; every document is evaluated under every draw. The variance of the
    mean is estimated as documents + draws - both, the random-effects analysis of variance for a crossed table without
    replicates (Searle, Casella & McCulloch 1992, chapter 4): the variance of the documents' means over their number, and
    that of the draws' means over theirs, less the residual mean square over all cells, which both contain. The draws' part
    is not let below 0. The interval is Student's with Satterthwaite's (1946) degrees of freedom: few draws that differ
    much make it wide. Where all values are 0, or all 1, it is Wilson's for the number of documents.

    Args:
        values: [draws, documents].
        clusters: The documents' clusters, one each; their part is then cluster-robust (CR1).
        level: Nominal coverage.

    Returns:
        Standard error and interval; both None for fewer than two draws, documents or clusters. The interval alone is None
        where all values are the same, but not 0 or 1: they show no variance to judge the mean's error by.
    """
    table = np.asarray(values, dtype=np.float64)
    draws, documents = table.shape
    names: Sequence[Hashable] = range(documents) if clusters is None else clusters
    groups = len(set(names))
    if draws < 2 or groups < 2:
        return None, None
    by_document, by_draw, mean = table.mean(axis=0), table.mean(axis=1), float(table.mean())
    stderr, _ = cluster_robust(by_document.tolist(), names, level)
    assert stderr is not None
    if mean in (0.0, 1.0) and bool((table == mean).all()):
        return stderr, wilson(mean * groups, groups, level)
    if bool((table == table[0, 0]).all()):
        return stderr, None
    residual = table - by_document - by_draw[:, None] + mean
    of_cells = float((residual**2).sum()) / ((draws - 1) * (documents - 1)) / table.size
    of_documents, of_draws = stderr**2, float(by_draw.var(ddof=1)) / draws
    variance = of_documents + max(0.0, of_draws - of_cells)
    degrees = float(groups - 1)
    if of_draws > of_cells:
        squares = of_documents**2 / (groups - 1) + of_draws**2 / (draws - 1)
        degrees = variance**2 / (squares + of_cells**2 / ((draws - 1) * (documents - 1)))
    half = t_quantile(0.5 + level / 2, max(1.0, degrees)) * math.sqrt(variance)
    return math.sqrt(variance), Interval(mean - half, mean + half, level, "crossed t")


def drawn_mean(
    values: Sequence[float],
    stderrs: Sequence[float | None],
    limits: Sequence[tuple[float, float] | None],
    level: float = 0.95,
) -> tuple[float | None, Interval | None]:
    """Standard error and interval of the mean of scores of the same documents under several draws, for any kind of score.

    The documents being the same, their errors are taken to go together entirely, which bounds the error of the mean from
    above: the root of (mean standard error)² + (variance of the scores) / draws. The interval is put together likewise
    (Zou & Donner 2008), each side from the scores' own.

    Returns:
        Standard error and interval; None where any part is not known.
    """
    draws = len(values)
    errors = [error for error in stderrs if error is not None]
    ends = [end for end in limits if end is not None]
    if draws < 2:
        return None, None
    mean = math.fsum(values) / draws
    of_draws = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (draws - 1) / draws)
    stderr = math.hypot(math.fsum(errors) / draws, of_draws) if len(errors) == draws else None
    if len(ends) < draws:
        return stderr, None
    half = t_quantile(0.5 + level / 2, draws - 1) * of_draws
    below = math.hypot(math.fsum(value - low for value, (low, _) in zip(values, ends, strict=True)) / draws, half)
    above = math.hypot(math.fsum(high - value for value, (_, high) in zip(values, ends, strict=True)) / draws, half)
    return stderr, Interval(mean - below, mean + above, level, "of scores' intervals")
