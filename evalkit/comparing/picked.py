"""Which choice a metric takes as picked, from a document's log-probabilities."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from evalkit.results import Sample

_LENGTHS: Mapping[str, Callable[[str], int]] = {"acc_norm": len, "acc_bytes": lambda text: len(text.encode("utf-8"))}
"""Metric -> what it divides a choice's log-probability by (`evalkit.metrics.likelihood`)."""


def picked_choice(
    metric: str,
    choices: Sequence[str],
    log_probabilities: Sequence[float | None],
    golds: Sequence[int],
    value: float | None,
) -> int | None:
    """Index of the choice that is the most probable one for its length; None where the metric does not go by length.

    Args:
        metric: Name of the metric.
        choices: Texts as they were scored.
        log_probabilities: Of each, nats.
        golds: Indices of the right ones.
        value: The metric's value. A task may measure its choices otherwise than they were scored: then the pick does not
            fit the value, and is not known.
    """
    length = _LENGTHS.get(metric)
    if length is None or len(choices) < 2:
        return None
    rates = []
    for text, score in zip(choices, log_probabilities, strict=True):
        size = length(text.removeprefix(" "))
        rates.append(score / size if size and score is not None and math.isfinite(score) else -math.inf)
    best = rates.index(max(rates))
    return best if value is not None and (best in golds) == (value == 1.0) else None


def golds(sample: Sample) -> tuple[int, ...]:
    """Indices of the right choices."""
    value = sample.fields.get("gold")
    if isinstance(value, int):
        return (value,)
    return tuple(one for one in value if isinstance(one, int)) if isinstance(value, list | tuple) else ()
