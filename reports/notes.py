"""What a reader must know beside the scores: documents without an answer, settings that change what was measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from evalkit.reports.rows import is_large, spread_deviation, spread_range, unreadable_range
from evalkit.reports.text import visible
from evalkit.results import Run, TaskResult

PLAIN_OUTCOMES = frozenset({"right", "wrong", "mixed", "scored"})

NAMED = 3
"""Tasks that a note names; of further ones it says how many."""

CHANGED_PROMPTS: Mapping[str, str] = {
    "truncated_tokens": "cut on the left to fit the model's context",
    "dropped_shots": "with fewer examples to fit the model's context",
}
"""Field of a sample -> what was done to its prompt."""

DEFAULTS: Mapping[str, Any] = {
    "limit": None,
    "system": None,
    "system_as_user": False,
    "fewshot_as_multiturn": True,
    "enable_thinking": None,
    "thinking": "auto",
    "shots_sampler": "lm-eval",
    "shots_seed": 1234,
    "shots_seeds": 1,
    "sampling_seed": 0,
    "over_length": "error",
    "stride": None,
    "compat_lm_eval": False,
}
"""Settings worth a note where they have another value."""


def notes(run: Run) -> list[str]:
    """Sentences for under the table, most important first."""
    return [
        *_outcome_notes(run),
        *_prompt_notes(run),
        *_spread_notes(run),
        *_chat_notes(run),
        *_setting_notes(run),
        *_signature_notes(run),
    ]


def _outcome_notes(run: Run) -> list[str]:
    found = []
    for name, tasks in _parts(run):
        counts: Counter[str] = Counter()
        for task in tasks:
            counts.update({kind: count for kind, count in task.outcomes.items() if kind not in PLAIN_OUTCOMES})
        # documents that were left out are not among the task's
        total = sum(task.n for task in tasks)
        said = [
            f"{count:,} {visible(kind)}" if kind == "skipped" else f"{count:,} of {total:,} {_outcome(kind, tasks)}"
            for kind, count in counts.items()
            if count
        ]
        if said:
            found.append(f"{name}: {', '.join(said)}{_left_open(run, tasks)}")
    return found


def _left_open(run: Run, tasks: Sequence[TaskResult]) -> str:
    """What the main score of a task, or of the group that these tasks are, may be where answers could not be read."""
    if len(tasks) == 1:
        metrics = tasks[0].metrics
    else:
        members = [group for group in run.groups.values() if [run.tasks.get(name) for name in group.tasks] == tasks]
        metrics = members[0].metrics if members else {}
    metric, value = next(iter(metrics.items()), ("", None))
    if value is None or value.unreadable is None:
        return ""
    return f"; {visible(metric)} is {unreadable_range(value)}, were those all wrong, or all right"


def _outcome(kind: str, tasks: Sequence[TaskResult]) -> str:
    """What became of documents, and what can be done about it."""
    if kind == "unparsed":
        return "unparsed (see `continuation` in the sample log)"
    if kind != "truncated":
        return visible(kind)
    cut = [task for task in tasks if task.outcomes.get("truncated")]
    limits = {
        decoding.get("max_new_tokens") for task in cut if isinstance(decoding := task.settings.get("decoding"), Mapping)
    }
    limit = limits.pop() if len(limits) == 1 else None
    at = f" at {limit:,} new tokens" if isinstance(limit, int) else ""
    thought = " or in a thought" if any(task.settings.get("thinking") for task in cut) else ""
    return f"cut{at}{thought} (--max-new-tokens)"


def _prompt_notes(run: Run) -> list[str]:
    found = []
    for name, tasks in _parts(run):
        for field, what in CHANGED_PROMPTS.items():
            count = sum(bool(sample.fields.get(field)) for task in tasks for sample in task.samples)
            if count:
                found.append(f"{name}: {count:,} of {sum(task.n for task in tasks):,} prompts {what}")
    return found


def _parts(run: Run) -> list[tuple[str, list[TaskResult]]]:
    """What notes speak of: the tasks in their order, those of a large group as one in place of its first."""
    group_of = {task: name for name, group in run.groups.items() if is_large(run, group) for task in group.tasks}
    parts: dict[str, list[TaskResult]] = {}
    for name, task in run.tasks.items():
        parts.setdefault(group_of.get(name, name), []).append(task)
    return [(visible(name), tasks) for name, tasks in parts.items()]


def _spread_notes(run: Run) -> list[str]:
    """The spread over few-shot seeds, a line a task."""
    found = []
    for name, task in run.tasks.items():
        spreads = {metric: value.spread for metric, value in task.metrics.items() if value.spread is not None}
        if spreads:
            said = [
                f"{visible(metric)} is {spread_range(task.metrics[metric])} "
                f"(standard deviation {spread_deviation(task.metrics[metric])})"
                for metric in spreads
            ]
            seeds = len(next(iter(spreads.values())).values)
            found.append(f"{visible(name)}: with {seeds} few-shot seeds {', '.join(said)}")
    return found


def _chat_notes(run: Run) -> list[str]:
    """Which tasks went through the chat template; and of generated answers also which did not though there is one."""
    tasks: dict[str, list[str]] = {}
    for name, task in run.tasks.items():
        chat = task.settings.get("chat_template")
        if not isinstance(chat, Mapping):
            continue
        if chat.get("used"):
            tasks.setdefault(f"asked through the chat template ({visible(str(chat.get('why')))})", []).append(name)
        elif chat.get("available") and "decoding" in task.settings:
            what = f"asked in plain text, not through the model's chat template ({visible(str(chat.get('why')))})"
            tasks.setdefault(what, []).append(name)
    return [f"{_names(names, run)}: {what}" for what, names in tasks.items()]


def _names(names: Sequence[str], run: Run) -> str:
    if len(names) == len(run.tasks) > 1:
        return "all tasks"
    shown = ", ".join(map(visible, names[:NAMED]))
    return shown + (f" and {len(names) - NAMED:,} more" if len(names) > NAMED else "")


def _setting_notes(run: Run) -> list[str]:
    changed = [
        _setting(name, run.settings[name])
        for name, default in DEFAULTS.items()
        if name in run.settings and run.settings[name] != default
    ]
    decoding = run.settings.get("decoding")
    if isinstance(decoding, Mapping):
        changed += [_setting(name, value) for name, value in decoding.items()]
    return [f"not the default: {', '.join(changed)}"] if changed else []


def _setting(name: str, value: object) -> str:
    return f"{visible(name.replace('_', ' '))}: {visible(str(value))}"


def _signature_notes(run: Run) -> list[str]:
    """How metrics of text were computed (sacrebleu's signatures), a line for each that metrics and tasks share."""
    tasks: dict[str, list[str]] = {}
    for name, task in run.tasks.items():
        signatures = task.settings.get("signatures")
        if not isinstance(signatures, Mapping):
            continue
        places = {metric: place for place, metric in enumerate(task.metrics)}
        metrics: dict[str, list[str]] = {}
        for metric in sorted(signatures, key=lambda one: places.get(one, len(places))):
            metrics.setdefault(visible(str(signatures[metric])), []).append(visible(str(metric)))
        for signature, those in metrics.items():
            tasks.setdefault(f"{', '.join(those)}: {signature}", []).append(name)
    return [f"{_names(names, run)}: {what}" for what, names in tasks.items()]
