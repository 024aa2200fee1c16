"""What a fine-tuning did, in the words that all formats share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from evalkit.comparing.amounts import amount, number, step
from evalkit.comparison import Change, Comparison
from evalkit.fine_tuning import FineTuning, Retention, Training, retention
from evalkit.reports.changes import ChangeRow, change_rows, score
from evalkit.reports.gate import _label, _reason, _telling
from evalkit.reports.text import visible

NAMED = 4
"""Tasks that a sentence names; more are counted."""


def headline(result: FineTuning) -> str:
    """The outcome in one line: "gained: orders (+74.0 points); forgotten: none shown; undecided: arc_easy, hellaswag"."""
    if result.comparison is None:
        return _pairs(result)
    if result.comparison.same:
        return "nothing changed: every document has the same score before and after"
    tasks = {verdict: [name for name, one in result.verdicts().items() if one is verdict] for verdict in Retention}
    parts = [
        f"gained: {_changes(result.comparison, tasks[Retention.GAINED]) or 'nothing that could be shown'}",
        f"forgotten: {_changes(result.comparison, tasks[Retention.FORGOTTEN]) or 'nothing that could be shown'}",
    ]
    parts += [
        f"{verdict.value}: {_names(tasks[verdict])}"
        for verdict in (Retention.KEPT, Retention.UNDECIDED, Retention.NOT_COMPARABLE)
        if tasks[verdict]
    ]
    return "; ".join(parts)


def _pairs(result: FineTuning) -> str:
    """Of a training that no task measures: how often the better answer is put first."""
    after = result.trainings[0].pairs_after if result.trainings else None
    if after is None:
        return "trained; no task was evaluated"
    return f"puts the chosen answer first in {after.right:,} of {after.n:,} held-out pairs ({share(after.value)})"


def _changes(comparison: Comparison, names: Sequence[str]) -> str:
    shown = [f"{visible(name)} ({_by(comparison.tasks[name].change)})" for name in names[:NAMED]]
    return ", ".join([*shown, *([f"{len(names) - NAMED} more"] if len(names) > NAMED else [])])


def _by(change: Change) -> str:
    return amount(change, change.difference, sign=True)


def _names(names: Sequence[str]) -> str:
    return ", ".join([*map(visible, names[:NAMED]), *([f"{len(names) - NAMED} more"] if len(names) > NAMED else [])])


def verdict_word(change: Change) -> str:
    """What became of a task; `undecided` with the smallest loss that would have been seen."""
    found = retention(change)
    if found is Retention.UNDECIDED and change.detectable is not None:
        return f"undecided (visible from {step(change, change.detectable).lstrip('+')})"
    return found.value


def verdict_rows(comparison: Comparison, targets: Sequence[str], *, expand: bool = False) -> list[ChangeRow]:
    """The rows of a comparison in the words of fine-tuning, those of the targets first and marked."""
    blocks: list[list[ChangeRow]] = []
    # a mean over what should move and what should not says nothing
    shown = replace(comparison, overall=None) if targets else comparison
    for row in change_rows(shown, expand=expand):
        if row.depth == 0:
            blocks.append([])
        blocks[-1].append(replace(row, verdict=retention(row.change).value))
    # by place and not by name: the row of a large group has its number of tasks in its name
    named = dict(zip(comparison.roots, blocks, strict=False))
    first = [named[name] for name in comparison.roots if name in targets]
    for block in first:
        block[0] = replace(block[0], name=f"{block[0].name} (target)")
    return [row for block in (*first, *(block for block in blocks if block not in first)) for row in block]


def reasons(result: FineTuning) -> list[str]:
    """What decides each verdict, a sentence a task, targets first."""
    comparison = result.comparison
    if comparison is None:
        return []
    names = targets_first(comparison.roots, result.targets)
    changes = {name: comparison.tasks[name].change for name in names}
    return [f"{visible(name)}: {verdict_word(change)}: {visible(change.reason)}" for name, change in changes.items()]


def gate_reasons(result: FineTuning) -> list[str]:
    """What the gate's decision hangs on, a sentence a rule; empty where every rule holds, or nothing was asked."""
    if result.gate is None:
        return []
    return [visible(f"{_label(one)}: {_reason(one)}") for one in _telling(result.gate) if one.decides]


def targets_first(names: Sequence[str], targets: Sequence[str]) -> list[str]:
    """The names in their order, those of targets before the others."""
    return sorted(names, key=lambda name: name not in targets)


def method(training: Training) -> str:
    """How the weights were trained, in a few words."""
    rank = training.settings.get("lora_rank")
    weights = f"LoRA, rank {rank}" if rank else "all weights"
    what = {"sft": "fine-tuning on answers", "dpo": "DPO on preference pairs", "reward": "reward model on pairs"}
    return f"{what[training.objective]}, {weights}"


def share(value: float) -> str:
    """A share of 1 in percent."""
    return f"{100 * value:.1f}%"


def shown_score(result: FineTuning, task: str, value: float) -> str:
    """A task's score in the unit of its main metric; of an unknown task in percent where it can be a share.

    Only the metric knows: 0.95 is 95.0% of an accuracy, and never of bits per byte.
    """
    compared = None if result.comparison is None else result.comparison.tasks.get(task)
    if compared is not None:
        return score(compared.change, value)
    return share(value) if 0 <= value <= 1 else number(value)
