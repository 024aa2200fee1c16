"""The texts that answers are, before and after: their length, and whether an answer could be found in them."""

from __future__ import annotations

from pathlib import Path
from statistics import median

from evalkit.fine_tuning import OutputChange
from evalkit.results import Run, read_samples, samples_path

UNREADABLE = ("unparsed", "empty", "truncated", "refused")
"""Outcomes of answers in which none was found."""


def outputs(base: Path, tuned: Path) -> tuple[OutputChange, ...]:
    """Of every task whose answers are written: how long they are, and how many cannot be read.

    Args:
        base: Result file before; the log of its samples stands beside it.
        tuned: After.
    """
    runs = Run.load(base), Run.load(tuned)
    lengths = _lengths(base), _lengths(tuned)
    found = []
    for name, task in runs[0].tasks.items():
        other = runs[1].tasks.get(name)
        if other is None or name not in lengths[0] or name not in lengths[1]:
            continue
        unreadable = [sum(one.outcomes.get(outcome, 0) for outcome in UNREADABLE) for one in (task, other)]
        found.append(OutputChange(name, task.n, median(lengths[0][name]), median(lengths[1][name]), *unreadable))
    return tuple(found)


def _lengths(result: Path) -> dict[str, list[int]]:
    """Task -> tokens of each answer."""
    found: dict[str, list[int]] = {}
    path = samples_path(result)
    if path.exists():
        for row in read_samples(path, "generate"):
            found.setdefault(row.task, []).append(row.tokens)
    return found
