"""A comparison as JSON values (schema `evalkit.comparison/1`)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from evalkit.comparison import SCHEMA, Attribution, Change, Comparison, Side, TaskChange
from evalkit.ranking import Comparisons, Ranking, Standing


def comparison_to_json(comparison: Comparison) -> dict[str, Any]:
    """The comparison without the runs' samples; numbers that are not finite become null."""
    return {
        "schema": SCHEMA,
        "headline": comparison.headline(),
        "before": side_to_json(comparison.before),
        "after": side_to_json(comparison.after),
        "alpha": comparison.alpha,
        "conditions": [
            {
                "field": one.field,
                "before": one.before,
                "after": one.after,
                "tasks": list(one.tasks),
                "blocks": one.blocks,
                "allowed": one.allowed,
            }
            for one in comparison.conditions
        ],
        "notes": list(comparison.notes),
        "same": comparison.same,
        "roots": list(comparison.roots),
        "overall": None if comparison.overall is None else change_to_json(comparison.overall),
        "tasks": {name: _task(task) for name, task in comparison.tasks.items()},
        "only_before": list(comparison.only_before),
        "only_after": list(comparison.only_after),
    }


def comparisons_to_json(comparisons: Comparisons) -> dict[str, Any]:
    """All pairs and the ranking."""
    return {
        "schema": SCHEMA.replace("comparison", "comparisons"),
        "ranking": None if comparisons.ranking is None else ranking_to_json(comparisons.ranking),
        "unranked": comparisons.unranked,
        "pairs": [comparison_to_json(pair) for pair in comparisons.pairs],
    }


def ranking_to_json(ranking: Ranking) -> dict[str, Any]:
    """A ranking without the runs' samples."""
    return {
        "schema": SCHEMA.replace("comparison", "ranking"),
        "alpha": ranking.alpha,
        "tasks": list(ranking.tasks),
        "columns": list(ranking.columns),
        "n": ranking.n,
        "standings": [_standing(one) for one in ranking.standings],
        "pairs": [
            {"better": better, "worse": worse, **change_to_json(change)}
            for (better, worse), change in ranking.pairs.items()
        ],
        "tie_groups": [list(group) for group in ranking.tie_groups],
        "missing": {label: list(names) for label, names in ranking.missing.items()},
        "left_out": dict(ranking.left_out),
        "not_ranked": dict(ranking.not_ranked),
        "notes": list(ranking.notes),
    }


def _standing(one: Standing) -> dict[str, Any]:
    return {
        **side_to_json(one.side),
        "rank": one.rank,
        "score": _number(one.score),
        "interval": _limits(one.interval),
        "normalized_score": _number(one.normalized_score),
        "scores": {name: _number(score) for name, score in one.scores.items()},
        "normalized": {name: _number(score) for name, score in one.normalized.items()},
        "ties": list(one.ties),
    }


def side_to_json(side: Side) -> dict[str, Any]:
    """What a report says of a run."""
    model = side.run.model
    return {
        "label": side.label,
        "file": None if side.path is None else str(side.path),
        "origin": side.origin,
        "created": side.run.created,
        "model": model.name,
        "revision": model.revision,
        "adapter": model.adapter,
        "dtype": model.dtype,
        "weights_sha256": model.weights_sha256,
        "tokenizer_sha256": model.tokenizer_sha256,
    }


def change_to_json(change: Change) -> dict[str, Any]:
    """One metric's change."""
    return {
        "metric": change.metric,
        "higher_is_better": change.higher_is_better,
        "n": change.n,
        "clusters": change.clusters,
        "before": _number(change.before),
        "after": _number(change.after),
        "difference": _number(change.difference),
        "stderr": _number(change.stderr),
        "interval": _limits(change.interval),
        "margin_interval": _limits(change.margin_interval),
        "alpha": change.alpha,
        "p": _number(change.p),
        "p_adjusted": _number(change.p_adjusted),
        "test": change.test,
        "fixed": change.fixed,
        "broken": change.broken,
        "detectable": _number(change.detectable),
        "margin": _number(change.margin),
        "verdict": change.verdict.value,
        "reason": change.reason,
        "more_items": change.more_items,
        "attribution": None if change.attribution is None else _attribution(change.attribution),
        "bounds": None if change.bounds is None else [_number(end) for end in change.bounds],
        "chance": _number(change.chance),
    }


def _task(task: TaskChange) -> dict[str, Any]:
    pairing = task.pairing
    return {
        "change": change_to_json(task.change),
        "others": {name: change_to_json(change) for name, change in task.others.items()},
        "pairing": {
            "paired": pairing.paired,
            "only_before": list(pairing.only_before),
            "only_after": list(pairing.only_after),
            "unscored_before": list(pairing.unscored_before),
            "unscored_after": list(pairing.unscored_after),
        },
        "members": list(task.members),
        "outcomes_before": _sorted(task.outcomes_before),
        "outcomes_after": _sorted(task.outcomes_after),
        "flips": [
            {
                "id": flip.id,
                "gain": _number(flip.gain),
                "cause": flip.cause.value,
                "outcome_before": flip.outcome_before,
                "outcome_after": flip.outcome_after,
            }
            for flip in task.flips
        ],
    }


def _attribution(attribution: Attribution) -> dict[str, Any]:
    return {
        "parts": {cause.value: _number(part) for cause, part in attribution.parts.items()},
        "fixed": {cause.value: count for cause, count in attribution.fixed.items()},
        "broken": {cause.value: count for cause, count in attribution.broken.items()},
    }


def _sorted(counts: Mapping[str, int]) -> dict[str, int]:
    return {name: counts[name] for name in sorted(counts)}


def _limits(limits: tuple[float, float] | None) -> list[float | None] | None:
    return None if limits is None else [_number(end) for end in limits]


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)
