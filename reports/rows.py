"""The rows of the score table, the same for every format."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from evalkit.reports.text import visible
from evalkit.results import GroupResult, MetricValue, Run, TaskResult

FOLDED_FROM = 8
"""A group with more tasks than this shows its own score only: MMLU's 57 subjects would bury everything else."""


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """One line of the table, each cell as text.

    Attributes:
        name: Task or group, where the line above belongs to another; else empty.
        depth: How many groups it is in.
        is_group: Whether it stands for several tasks.
        version: Version of the task; empty for a group.
        shots: Few-shot examples; `mixed` for a group whose tasks differ.
        n: Documents.
        metric: Name of the metric.
        lower_is_better: Whether less is better.
        value: Percent for metrics that go from 0 to 1, else 4 significant digits.
        interval: 95 % confidence limits in the same unit; empty where unknown.
        spread: Standard deviation over few-shot seeds in the same unit; empty for a single evaluation.
        chance: What guessing gives; empty where it has no meaning.
        share: The score as a part of 1, for a bar; None where it is no such score.
        chance_share: The chance level as a part of 1.
    """

    name: str
    depth: int
    is_group: bool
    version: str
    shots: str
    n: str
    metric: str
    lower_is_better: bool
    value: str
    interval: str
    spread: str
    chance: str
    share: float | None
    chance_share: float | None


def score_rows(run: Run, *, expand: bool = False) -> list[ScoreRow]:
    """The table of a run: groups with their members indented beneath, in the order asked.

    Args:
        run: Finished run.
        expand: Show the members of large groups too.
    """
    inner = {member for group in run.groups.values() for member in group.tasks}
    roots = [name for name in run.groups if name not in inner] + [name for name in run.tasks if name not in inner]
    order = {name: position for position, name in enumerate(run.tasks)}
    roots.sort(key=lambda name: min((order[leaf] for leaf in _leaves(run, name)), default=len(order)))
    return [row for name in roots for row in _tree(run, name, 0, expand)]


def _leaves(run: Run, name: str) -> tuple[str, ...]:
    return run.leaves(name) if name in run.groups else (name,)


def _tree(run: Run, name: str, depth: int, expand: bool) -> Iterator[ScoreRow]:
    if name not in run.groups:
        yield from _task_rows(name, run.tasks[name], depth)
        return
    group = run.groups[name]
    folded = not expand and is_large(run, group)
    yield from _group_rows(run, name, group, depth, folded)
    if not folded:
        for member in group.tasks:
            yield from _tree(run, member, depth + 1, expand)


def is_large(run: Run, group: GroupResult) -> bool:
    """Whether a group stands for its members unless they are asked for: many tasks, no groups among them."""
    return len(group.tasks) > FOLDED_FROM and all(member in run.tasks for member in group.tasks)


def _task_rows(name: str, task: TaskResult, depth: int) -> Iterator[ScoreRow]:
    for position, (metric, value) in enumerate(task.metrics.items()):
        cells = (visible(name), str(task.version), str(task.shots), f"{task.n:,}") if position == 0 else ("",) * 4
        yield _row(cells, depth, False, metric, value)


def _group_rows(run: Run, name: str, group: GroupResult, depth: int, folded: bool) -> Iterator[ScoreRow]:
    leaves = [run.tasks[leaf] for leaf in run.leaves(name)]
    shots = {leaf.shots for leaf in leaves}
    label = visible(name) + (f" ({len(leaves)} tasks)" if folded else "")
    for position, (metric, value) in enumerate(group.metrics.items()):
        total = f"{sum(leaf.n for leaf in leaves):,}"
        cells = (label, "", str(*shots) if len(shots) == 1 else "mixed", total) if position == 0 else ("",) * 4
        yield _row(cells, depth, True, metric, value)


def _row(cells: Sequence[str], depth: int, is_group: bool, metric: str, value: MetricValue) -> ScoreRow:
    name, version, shots, n = cells
    is_share = is_percentage(value)
    interval = ""
    if value.ci95 is not None:
        low, high = (_number(end, is_share) for end in value.ci95)
        interval = f"{low}–{high}" if value.ci95[0] >= 0 else f"{low} to {high}"
    return ScoreRow(
        name=name,
        depth=depth,
        is_group=is_group,
        version=version,
        shots=shots,
        n=n,
        metric=visible(metric),
        lower_is_better=not value.higher_is_better,
        value=_number(value.value, is_share) + ("%" if is_share else ""),
        interval=interval,
        spread="" if value.spread is None else f"±{spread_deviation(value)}",
        chance="" if value.chance is None else _number(value.chance, is_share) + ("%" if is_share else ""),
        share=value.value if is_share else None,
        chance_share=value.chance if is_share else None,
    )


def spread_deviation(value: MetricValue) -> str:
    """Standard deviation over the few-shot seeds, in the unit of the score."""
    return "" if value.spread is None else _number(value.spread.stddev, is_percentage(value))


def spread_range(value: MetricValue) -> str:
    """The lowest and the highest score of the few-shot seeds, in the unit of the score."""
    if value.spread is None:
        return ""
    is_share = is_percentage(value)
    low, high = (_number(end, is_share) + ("%" if is_share else "") for end in (value.spread.low, value.spread.high))
    return f"{low} to {high}"


def unreadable_range(value: MetricValue) -> str:
    """What the score may be, unreadable answers counted for the least and for the most, in the unit of the score."""
    if value.unreadable is None:
        return ""
    is_share = is_percentage(value)
    low, high = (_number(end, is_share) + ("%" if is_share else "") for end in value.unreadable)
    return f"{low} to {high}"


def is_percentage(value: MetricValue) -> bool:
    """Whether a score is shown in percent: higher is better, and its metric goes from 0 to 1.

    BLEU, from 0 to 100, can be below 1 as well. Where the metric's range is not known the value and its limits decide.
    """
    if value.bounds is not None:
        return value.higher_is_better and value.bounds == (0.0, 1.0)
    return value.higher_is_better and all(0 <= end <= 1 for end in (value.value, *(value.ci95 or ())))


def _number(value: float, is_share: bool) -> str:
    if is_share:
        return f"{100 * value:.1f}"
    if value != 0 and not 1e-4 <= abs(value) < 1e6:
        return f"{value:.3e}"
    digits = 4 if value == 0 else max(0, 3 - math.floor(math.log10(abs(value))))
    return f"{value:.{digits}f}"
