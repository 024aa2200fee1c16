"""Sentences that a reader must know beside the numbers of a comparison."""

from __future__ import annotations

from evalkit.comparing.draft import Draft
from evalkit.results import Spread

SHOWN = 5


def notes(one: Draft) -> tuple[str, ...]:
    """The notes, most important first."""
    return (*_identity(one), *_parts_of_mean(one), *_documents(one), *_seeds(one))


def same(one: Draft) -> bool:
    """Whether every document has the same score in both runs."""
    return all(rows[0].estimate.same and not rows[0].blocked for rows in one.rows.values())


def _identity(one: Draft) -> list[str]:
    first, second = one.before.run.model, one.after.run.model
    same_scores = same(one)
    same_weights = bool(first.weights_sha256) and first.weights_sha256 == second.weights_sha256
    if first.adapter != second.adapter and same_weights:
        return [
            f"both models have the same weights (sha256 {first.weights_sha256[:12]}) though their adapters differ: "
            "the adapter changed nothing, or was not loaded"
        ]
    if same_weights and same_scores:
        return [
            f"the models are the same (weights sha256 {first.weights_sha256[:12]}), and so is the score of every "
            "document"
        ]
    if same_weights:
        return [
            f"the models are the same (weights sha256 {first.weights_sha256[:12]}): differences come from settings or "
            "chance"
        ]
    if same_scores and first.weights_sha256 and second.weights_sha256:
        return ["every document has the same score in both runs, though the weights differ"]
    return []


def _parts_of_mean(one: Draft) -> list[str]:
    """That the mean is over something else than the runs' own means are."""
    left_out = one.selected.left_out
    if one.overall is None or not left_out:
        return []
    return [
        f"the mean is over {_listed(list(one.selected.roots))}, and not over all parts of the runs: "
        f"{_listed(list(left_out))} cannot be compared"
    ]


def _documents(one: Draft) -> list[str]:
    """How many documents are compared, where that is not all; tasks of which the same is to be said together."""
    tasks: dict[str, list[str]] = {}
    for name, pairs in one.pairs.items():
        pairing = pairs.pairing
        if not pairing.dropped:
            continue
        text = f"compared on the {pairing.paired:,} documents that both runs scored"
        if pairing.only_before or pairing.only_after:
            before, after = (len(side.run.tasks[name].samples) for side in (one.before, one.after))
            text += f" ({one.before.label} has {before:,}, {one.after.label} {after:,})"
        for side, unscored in ((one.before, pairing.unscored_before), (one.after, pairing.unscored_after)):
            if unscored:
                text += f"; {len(unscored):,} could not be scored by {side.label}"
        tasks.setdefault(text, []).append(name)
    if len(tasks) > SHOWN:
        paired = sum(pairs.pairing.paired for pairs in one.pairs.values())
        dropped = sum(pairs.pairing.dropped for pairs in one.pairs.values())
        count = sum(len(names) for names in tasks.values())
        return [
            f"compared on the {paired:,} documents that both runs scored; {dropped:,} of {count} tasks are in no pair"
        ]
    return [f"{_listed(names)}: {text}" for text, names in tasks.items()]


def _listed(names: list[str]) -> str:
    left = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {left} more" if left > 0 else "")


def _seeds(one: Draft) -> list[str]:
    tasks = [
        name
        for name in one.selected.tasks
        if any(
            _spread(side.run.tasks[name].metrics[one.rows[name][0].metric].spread) for side in (one.before, one.after)
        )
    ]
    if not tasks:
        return []
    return [
        f"{', '.join(tasks[:3])}{' and more' if len(tasks) > 3 else ''}: scores are means over few-shot seeds; the "
        "intervals hold for these examples, and do not say how far others would move the difference"
    ]


def _spread(spread: Spread | None) -> bool:
    return spread is not None
