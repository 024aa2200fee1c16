"""What a reader must know beside the scores: documents without an answer, settings that change what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evalkit.reports.rows import spread_deviation, spread_range
from evalkit.reports.text import visible
from evalkit.results import Run

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
    for name, task in run.tasks.items():
        counts = [(kind, count) for kind, count in task.outcomes.items() if count and kind not in PLAIN_OUTCOMES]
        if counts:
            found.append(f"{visible(name)}: " + ", ".join(f"{count:,} {visible(kind)}" for kind, count in counts))
    return found


def _prompt_notes(run: Run) -> list[str]:
    found = []
    for name, task in run.tasks.items():
        for field, what in CHANGED_PROMPTS.items():
            count = sum(bool(sample.fields.get(field)) for sample in task.samples)
            if count:
                found.append(f"{visible(name)}: {count:,} of {task.n:,} prompts {what}")
    return found


def _spread_notes(run: Run) -> list[str]:
    return [
        f"{visible(name)}: {visible(metric)} with {len(value.spread.values)} few-shot seeds is {spread_range(value)}, "
        f"standard deviation {spread_deviation(value)}"
        for name, task in run.tasks.items()
        for metric, value in task.metrics.items()
        if value.spread is not None
    ]


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
