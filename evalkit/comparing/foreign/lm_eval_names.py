"""What lm-eval's tasks, documents and metrics are called in evalkit.

A task whose namesake evalkit has gets evalkit's name, ids and metrics, so that it pairs with evalkit's own runs. Any
other has the name, ids and metrics that `evalkit run --tasks lm-eval:NAME` gives it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from evalkit.comparing.foreign.lm_eval_samples import LoggedTask
from evalkit.data import check_row, document_id, unique_ids
from evalkit.metrics import METRICS
from evalkit.registry import registered
from evalkit.task import Task

PREFIX = "lm-eval:"
"""Of the names of tasks that only lm-eval's library has."""

_ADDED_COLUMNS: Mapping[str, frozenset[str]] = {"hellaswag": frozenset({"query", "choices", "gold"})}
"""Tasks of ours whose `process_docs` in lm-eval does nothing but add these columns to the dataset's row.

Others that have one change columns, so that the row, and with it evalkit's id, cannot be told from the log.
"""


@dataclass(frozen=True, slots=True)
class Naming:
    """Names for one task of a log.

    Attributes:
        lm_eval_name: What lm-eval calls the task.
        key: The task's name in the run.
        task: evalkit's task of that name; None where it has none.
        filters: lm-eval's filters, the main one first.
        rows: The dataset's rows as evalkit has them, in the order of the documents.
        ids: The documents' ids.
        lm_eval_ids: Their ids in evalkit's runs of `lm-eval:NAME`.
    """

    lm_eval_name: str
    key: str
    task: Task | None
    filters: Sequence[str]
    rows: Sequence[Mapping[str, Any]]
    ids: Sequence[str]
    lm_eval_ids: Sequence[str]
    _names: Mapping[str, str] = field(default_factory=dict)

    def metric(self, name: str, filtered: str) -> str:
        """The name of a metric in evalkit, given lm-eval's and its filter's."""
        own = self._names.get(f"{name},{filtered}")
        if own is not None:
            return own
        return self.lm_eval_metric(name, filtered)

    def lm_eval_metric(self, name: str, filtered: str) -> str:
        """The name of a metric in evalkit's runs of `lm-eval:NAME`."""
        return name if filtered == self.filters[0] else f"{name}@{filtered}"

    def ordered(self, names: Sequence[str]) -> list[str]:
        """Metrics with the task's main one first."""
        first = [name for name in (self.task.metrics if self.task else ()) if name in names]
        return [*first, *(name for name in names if name not in first)]


def naming(name: str, config: Mapping[str, Any], shots: int, logged: LoggedTask) -> Naming:
    """The names for one task.

    Args:
        name: lm-eval's name of it.
        config: Its configuration in the results file.
        shots: Its number of few-shot examples.
        logged: Its documents.
    """
    documents = [one.document for one in logged.documents]
    filters = list(logged.documents[0].answers)
    lm_eval_ids = unique_ids([document_id(document) for document in documents])
    task = _namesakes().get(name)
    rows = None if task is None else _rows(task, config, documents)
    if task is None or rows is None:
        return Naming(name, PREFIX + name, None, filters, documents, lm_eval_ids, lm_eval_ids)
    key = task.name if shots == task.shots else f"{task.name}:{shots}shot"
    return Naming(
        name, key, task, filters, rows, unique_ids([document_id(row) for row in rows]), lm_eval_ids, _metric_names(task)
    )


@cache
def _namesakes() -> Mapping[str, Task]:
    """lm-eval's name -> evalkit's task."""
    return {task.lm_eval: task for task in registered().values() if isinstance(task, Task) and task.lm_eval}


def _rows(
    task: Task, config: Mapping[str, Any], documents: Sequence[Mapping[str, Any]]
) -> list[Mapping[str, Any]] | None:
    """The dataset's rows; None where the log does not hold them, or they are not what evalkit's task reads."""
    added = _ADDED_COLUMNS.get(str(task.lm_eval), frozenset())
    if config.get("process_docs") and not added:
        return None
    rows: list[Mapping[str, Any]] = [
        {name: value for name, value in document.items() if name not in added} for document in documents
    ]
    return rows if all(check_row(row, task.columns) is None for row in rows) else None


def _metric_names(task: Task) -> dict[str, str]:
    """lm-eval's METRIC,FILTER -> evalkit's name."""
    names = {METRICS[name].lm_eval + ",none": name for name in task.metrics if name in METRICS}
    return names | {lm_eval: name for name, lm_eval in task.lm_eval_metrics.items()}
