"""Results as comma-separated values (RFC 4180): unrounded, one row a task and metric, for a spreadsheet or pandas.

Text that came from elsewhere (names of models, tasks, data) and begins like a formula gets an apostrophe before it, so
that a spreadsheet shows it instead of computing it (OWASP, "CSV injection"). Numbers are written as they are.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence

from evalkit.comparison import Change, Comparison, Side
from evalkit.reports.text import visible
from evalkit.results import MetricValue, Run, TaskResult

Cell = str | float | int | bool | None
Row = Mapping[str, Cell]

_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""First characters of a formula, the full-width forms included, which some spreadsheets take for the same."""


def csv_text(rows: Sequence[Row], columns: Sequence[str] | None = None) -> str:
    """Rows as CSV: a line of headings, CR LF after each line, quotes where needed.

    Args:
        rows: Column -> cell; a cell that a row lacks, or that is None, NaN or infinite, is empty.
        columns: All columns in order; by default those of the rows, in order of first appearance.
    """
    names = list(columns) if columns is not None else list(dict.fromkeys(name for row in rows for name in row))
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\r\n")
    writer.writerow([_cell(name) for name in names])
    writer.writerows([_cell(row.get(name)) for name in names] for row in rows)
    return stream.getvalue()


def run_csv(run: Run) -> str:
    """A run: a row for each task or group and metric, the main metric of each first."""
    return csv_text(list(run_rows(run)))


def run_rows(run: Run) -> Iterator[Row]:
    """The rows of `run_csv`, groups first."""
    for name, group in run.groups.items():
        leaves = [run.tasks[leaf] for leaf in run.leaves(name)]
        about: Row = {
            **_model_cells(run),
            "task": name,
            "kind": "group",
            "members": " ".join(group.tasks),
            "weighting": group.weighting,
            "n": sum(leaf.n for leaf in leaves),
            **_outcome_cells(leaves),
        }
        yield from _metric_rows(about, group.metrics)
    for name, task in run.tasks.items():
        yield from _metric_rows(
            {**_model_cells(run), **_task_cells(name, task), **_outcome_cells([task])}, task.metrics
        )


def comparison_csv(comparison: Comparison) -> str:
    """A comparison: a row for each task or group and metric that both runs have, then the mean over tasks."""
    return csv_text(list(_comparison_rows(comparison)))


def _comparison_rows(comparison: Comparison) -> Iterator[Row]:
    sides: Row = {"before_label": comparison.before.label, "after_label": comparison.after.label}
    for name, task in comparison.tasks.items():
        about: Row = {
            **sides,
            "task": name,
            "kind": "group" if task.members else "task",
            "headline": name in comparison.roots,
            "dropped": task.pairing.dropped,
        }
        yield {**about, "main": True, **change_cells(task.change)}
        for change in task.others.values():
            yield {**about, "main": False, **change_cells(change)}
    if comparison.overall is not None:
        mean: Row = {**sides, "task": "mean over tasks", "kind": "overall", "headline": True, "main": True}
        yield {**mean, **change_cells(comparison.overall)}


def change_cells(change: Change) -> Row:
    """One metric before and after: all numbers of a `Change`."""
    return {
        "metric": change.metric,
        "n": change.n,
        "clusters": change.clusters,
        "before": change.before,
        "after": change.after,
        "difference": change.difference,
        "stderr": change.stderr,
        **_limits("ci", change.interval),
        **_limits("margin_ci", change.margin_interval),
        "p": change.p,
        "p_holm": change.p_adjusted,
        "test": change.test,
        "fixed": change.fixed,
        "broken": change.broken,
        "detectable": change.detectable,
        "margin": change.margin,
        "verdict": change.verdict.value,
        "higher_is_better": change.higher_is_better,
        "chance": change.chance,
    }


def side_cells(side: Side) -> Row:
    """Which run a row of a leaderboard is about."""
    return {"run": side.label, **_model_cells(side.run)}


def _model_cells(run: Run) -> Row:
    return {
        "model": run.model.name,
        "revision": run.model.revision,
        "dtype": run.model.dtype,
        "weights_sha256": run.model.weights_sha256,
        "evalkit_version": run.evalkit_version,
        "created": run.created,
    }


def _task_cells(name: str, task: TaskResult) -> Row:
    return {
        "task": name,
        "kind": "task",
        "version": task.version,
        "dataset": task.dataset.id,
        "config": task.dataset.config,
        "split": task.dataset.split,
        "dataset_sha256": task.dataset.sha256,
        "prompt_sha256": task.prompt_sha256,
        "shots": task.shots,
        "n": task.n,
    }


def _outcome_cells(tasks: Sequence[TaskResult]) -> Row:
    counts: dict[str, Cell] = {}
    for task in tasks:
        for outcome, count in task.outcomes.items():
            before = counts.get(f"outcome_{outcome}", 0)
            assert isinstance(before, int)
            counts[f"outcome_{outcome}"] = before + count
    return counts


def _metric_rows(about: Row, metrics: Mapping[str, MetricValue]) -> Iterator[Row]:
    for place, (name, value) in enumerate(metrics.items()):
        yield {
            **about,
            "metric": name,
            "main": place == 0,
            "value": value.value,
            "stderr": value.stderr,
            **_limits("ci95", value.ci95),
            **_limits("unreadable", value.unreadable),
            "chance": value.chance,
            "higher_is_better": value.higher_is_better,
            "seeds_stddev": None if value.spread is None else value.spread.stddev,
        }


def _limits(name: str, interval: tuple[float, float] | None) -> Row:
    low, high = interval if interval is not None else (None, None)
    return {f"{name}_low": low, f"{name}_high": high}


def _cell(value: Cell) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else ""
    return _guarded(visible(value))


def _guarded(text: str) -> str:
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text
