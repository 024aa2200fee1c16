"""What a reader must know beside the scores: documents without an answer, settings that change what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evalkit.reports.text import visible
from evalkit.results import Run

PLAIN_OUTCOMES = frozenset({"right", "wrong", "scored"})

CHANGED_PROMPTS: Mapping[str, str] = {
    "truncated_tokens": "cut on the left to fit the model's context",
    "dropped_shots": "with fewer examples to fit the model's context",
}
"""Field of a sample -> what was done to its prompt."""

DEFAULTS: Mapping[str, Any] = {
    "limit": None,
    "chat_template": "off",
    "system": None,
    "over_length": "error",
    "stride": None,
    "compat_lm_eval": False,
}
"""Settings worth a note where they have another value."""


def notes(run: Run) -> list[str]:
    """Sentences for under the table, most important first."""
    return [*_outcome_notes(run), *_prompt_notes(run), *_setting_notes(run)]


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


def _setting_notes(run: Run) -> list[str]:
    changed = [
        f"{name.replace('_', ' ')}: {visible(str(run.settings[name]))}"
        for name, default in DEFAULTS.items()
        if name in run.settings and run.settings[name] != default
    ]
    return [f"not the default: {', '.join(changed)}"] if changed else []
