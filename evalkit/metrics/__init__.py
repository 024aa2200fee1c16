"""Metrics: what a document's answers are worth, and the score of a task with its interval.

`likelihood` has those of scored answers and texts, `text` those of generated text.
"""

from __future__ import annotations

from evalkit.metrics.likelihood import METRICS, Metric, estimate, metric, observe, outcome
from evalkit.metrics.text import Measure, TextMetric

__all__ = ["METRICS", "Measure", "Metric", "TextMetric", "estimate", "metric", "observe", "outcome", "text_metric"]


def text_metric(name: str) -> TextMetric:
    """The metric of generated text of that name.

    Raises:
        TaskDefinitionError: There is none.
    """
    from evalkit.metrics.text_registry import find

    return find(name)
