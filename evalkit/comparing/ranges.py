"""The range of a metric, where the file tells it and where it does not."""

from __future__ import annotations

from evalkit.errors import TaskDefinitionError
from evalkit.metrics.likelihood import METRICS
from evalkit.results import TaskResult

SHARE = (0.0, 1.0)


def range_of_metric(metric: str, *tasks: TaskResult) -> tuple[float, float] | None:
    """The range of a metric: what margins in points are of, in `compare` and `gate` alike.

    Files of older versions and other harnesses do not tell it. Then it is 0 to 1 where all values are 0 or 1, or where all
    are between and the metric of that name is known to be a share.

    Args:
        metric: Of all tasks.
        tasks: The same task in one run or several.

    Returns:
        None where it is not known; margins are then shares of the first run's score.
    """
    told = next((found for task in tasks if (found := task.metrics[metric].bounds) is not None), None)
    if told is not None:
        return told
    values = {sample.metrics[metric] for task in tasks for sample in task.samples if metric in sample.metrics}
    if not values:
        return None
    if values <= {0.0, 1.0}:
        return SHARE
    return SHARE if min(values) >= 0 and max(values) <= 1 and _is_known_share(metric) else None


def _is_known_share(metric: str) -> bool:
    if metric in METRICS:
        return METRICS[metric].bounds == SHARE
    from evalkit.metrics.text_registry import LIBRARY, find

    name = metric.partition("@")[0]
    if name.startswith(LIBRARY):
        return False
    try:
        return find(name).bounds == SHARE
    except TaskDefinitionError:
        return False
