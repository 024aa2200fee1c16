"""The page of a fine-tuning: the verdicts, what makes them doubtful, how it learned, what else moved, how to do it again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import evalkit
from evalkit.comparison import Comparison, Verdict
from evalkit.fine_tuning import FineTuning, Retention, retention
from evalkit.reports.fine_tuning_sections import sections
from evalkit.reports.fine_tuning_words import gate_reasons, headline, method, targets_first
from evalkit.reports.html.charts import Chart
from evalkit.reports.html.comparison_page import Chip, comparison_context
from evalkit.reports.html.training_plots import score_chart, training_chart
from evalkit.reports.html.verdicts import KIND, ChangeRow
from evalkit.reports.tables import Section
from evalkit.reports.text import visible

EVIDENCE = ("clean", "contamination", "pairs", "seeds", "stages", "retrieval")
"""Sections that bear on the verdict; the others say how the model moved and how it was made."""
WORDS = {
    Verdict.IMPROVED.value: Retention.GAINED.value,
    Verdict.REGRESSED.value: Retention.FORGOTTEN.value,
    Verdict.WITHIN_MARGIN.value: Retention.KEPT.value,
}
"""A comparison's word -> that of fine-tuning."""


def fine_tuning_context(result: FineTuning) -> dict[str, Any]:
    """Everything that the template of a fine-tuning shows.

    Raises:
        UsageError: The sample log beside a result file is damaged.
    """
    parts = {section.key: section for section in sections(result)}
    compared = _nothing_compared() if result.comparison is None else _compared(result, result.comparison)
    charts = _charts(result)
    return {
        **compared,
        "title": f"{visible(result.base)} → {visible(result.tuned)}",
        "version": evalkit.__version__,
        "sections": _anchors(result, parts, charts),
        "headline": _sentence(headline(result)),
        "before": visible(result.base),
        "after": visible(result.tuned),
        "subline": ", ".join([*({method(one): None for one in result.trainings}), visible(result.created[:10])]),
        "chips": [*(Chip("stop", visible(alarm)) for alarm in result.alarms), *compared["chips"]],
        "gate": _gate(result),
        "gate_reasons": gate_reasons(result),
        "remarks": list(dict.fromkeys([*compared["remarks"], *map(visible, result.notes)])),
        "evidence": [parts[key] for key in EVIDENCE if key in parts],
        "learning": charts,
        "further": [section for key, section in parts.items() if key not in EVIDENCE],
        "command": visible(result.command),
        "configuration": visible_json(result.configuration),
        "files": [(what, visible(name)) for what, name in result.files.items()],
    }


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _anchors(result: FineTuning, parts: Mapping[str, Section], charts: Sequence[Chart]) -> list[tuple[str, str]]:
    compared = result.comparison is not None
    wanted = (
        ("verdict", "Verdict", True),
        ("picture", "Picture", compared),
        ("table", "Numbers", compared),
        ("evidence", "Evidence", any(key in parts for key in EVIDENCE)),
        ("learning", "Learning", bool(charts)),
        ("further", "What moved", any(key not in EVIDENCE for key in parts)),
        ("where", "Where", compared),
        ("items", "Documents", compared),
        ("made", "Do it again", True),
    )
    return [(anchor, word) for anchor, word, is_there in wanted if is_there]


def _gate(result: FineTuning) -> tuple[str, str] | None:
    """Kind of the mark and sentence of the gate's decision."""
    if result.gate is None:
        return None
    kind = {0: "better", 1: "worse"}.get(result.gate.exit_code, "undecided")
    return kind, visible(result.gate.headline())


def _nothing_compared() -> dict[str, Any]:
    return {
        "has_comparison": False,
        "chips": [],
        "remarks": [],
        "pack": None,
        "wrong_logs": [],
    }


def _compared(result: FineTuning, comparison: Comparison) -> dict[str, Any]:
    """The parts of the comparison's page, in the words of fine-tuning."""
    if result.targets:
        roots = targets_first(comparison.roots, result.targets)
        # a mean over what should move and what should not says nothing
        comparison = replace(comparison, roots=tuple(roots), overall=None)
    context = comparison_context(comparison, WORDS)
    targets = {visible(name) for name in result.targets}
    context["rows"] = [_reworded(row, targets) for row in context["rows"]]
    context["others"] = [_reworded(row, set()) for row in context["others"]]
    context["tally"] = [(kind, number, WORDS.get(word, word)) for kind, number, word in context["tally"]]
    if comparison.overall is not None:
        context["overall_mark"] = (KIND[comparison.overall.verdict], retention(comparison.overall).value)
    return {**context, "has_comparison": True}


def _reworded(row: ChangeRow, targets: set[str]) -> ChangeRow:
    """A row whose verdict is in the words of fine-tuning; a target is marked as one."""
    name = f"{row.name} (target)" if row.name in targets else row.name
    return replace(row, name=name, verdict=_BY_KIND.get(row.kind, row.verdict))


_BY_KIND = {KIND[Verdict(verdict)]: word for verdict, word in WORDS.items()}


def _charts(result: FineTuning) -> list[Chart]:
    """How the first training went."""
    if not result.trainings:
        return []
    training = result.trainings[0]
    found = [training_chart(training)] if training.losses or training.held_out else []
    return [*found, *([score_chart(training)] if len(training.small) > 1 else [])]


def visible_json(values: Mapping[str, Any]) -> str:
    """JSON for people to read and copy."""
    return "\n".join(map(visible, json.dumps(values, ensure_ascii=False, indent=1, default=str).split("\n")))
