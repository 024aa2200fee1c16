"""What a reader must know beside the scores: documents without an answer, settings that change what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evalkit.reports.text import visible

from evalkit.results import Run

PLAIN_OUTCOMES = frozenset({"right", "wrong", "scored"})

DEFAULTS: Mapping[str, Any] = {
    "limit": None,
    "chat_template": False,
    "system": None,
    "max_length": None,
    "over_length": "error",
    "compat": None,
}
"""Settings worth a note when they have another value; one that is None, False or empty is never noted."""


def notes(run: Run) -> list[str]:
    """Sentences for under the table, most important first."""
    return [*_outcome_notes(run), *_setting_notes(run)]


def _outcome_notes(run: Run) -> list[str]:
    found = []
    for name, task in run.tasks.items():
        unusual = [
            f"{count:,} {visible(kind)}"
            for kind, count in task.outcomes.items()
            if kind not in PLAIN_OUTCOMES and count
        ]
        if unusual:
            found.append(f"{visible(name)}: {', '.join(unusual)} of {task.n:,} documents")
    return found


def _setting_notes(run: Run) -> list[str]:
    changed = [
        f"{name.replace('_', ' ')} {visible(str(run.settings[name]))}"
        for name, default in DEFAULTS.items()
        if run.settings.get(name) and run.settings[name] != default
    ]
    return [f"not the default: {', '.join(changed)}"] if changed else []
