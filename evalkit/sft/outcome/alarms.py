"""What makes the numbers of a fine-tuning doubtful, the worst first."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from evalkit.comparison import Comparison, Verdict
from evalkit.fine_tuning import Drift, OutputChange, Training
from evalkit.training_data import Contamination

PERPLEXITY_RISE = 1.10
"""General text that is so much harder to predict: a tenth is far beyond what a useful small tuning costs."""
LENGTH_CHANGE = 3.0
"""Answers so many times longer or shorter: the model answers in another style, whatever was asked."""
UNREADABLE_RISE = 0.05
"""More unreadable answers, as a share of the documents: five points of accuracy can hang on them."""


def alarms(
    *,
    comparison: Comparison | None,
    drift: Sequence[Drift],
    outputs: Sequence[OutputChange],
    trainings: Sequence[Training],
    contamination: Contamination | None,
    changed: bool | None,
    targets: Sequence[str] = (),
) -> tuple[str, ...]:
    """Sentences for people.

    Args:
        comparison: Before and after.
        drift: On texts.
        outputs: Of tasks that generate.
        trainings: The one whose model is compared first.
        contamination: Training rows that hold benchmark items.
        changed: Whether training changed any weight; None where nothing was trained here.
        targets: Tasks that the training is for, whose answers should look different.
    """
    return (
        *_nothing_changed(comparison, drift, changed),
        *_not_learned(trainings[:1]),
        *_trained_on_the_test(contamination),
        *_answers(outputs, targets),
        *_text(drift),
        *_not_compared(comparison),
    )


def _nothing_changed(comparison: Comparison | None, drift: Sequence[Drift], changed: bool | None) -> Iterator[str]:
    if changed is False:
        yield "training changed no weight: the tuned model is the base model"
    elif comparison is not None and comparison.same and (not drift or all(one.kl == 0 for one in drift)):
        where = ", and neither did the probabilities of any text" if drift else ""
        yield f"no document's score changed{where}: the tuned model behaves as the base model does"


def _not_learned(trainings: Sequence[Training]) -> Iterator[str]:
    for one in trainings:
        later = [held_out.loss for held_out in one.held_out if held_out.step > 0]
        if later and one.held_out[0].loss <= min(later):
            yield (
                "the loss on held-out rows never fell below that of the base: nothing that carries over was learned; "
                "lower --learning-rate, or look at the data"
            )


def _trained_on_the_test(contamination: Contamination | None) -> Iterator[str]:
    if contamination is not None and contamination.policy == "flag-eval" and contamination.found:
        tasks = ", ".join(one.task for one in contamination.tasks if one.overlaps)
        yield (
            f"{contamination.found:,} items of {tasks} were trained on: only the scores on clean items say what the "
            "model can do"
        )


def _answers(outputs: Sequence[OutputChange], targets: Sequence[str]) -> Iterator[str]:
    for one in outputs:
        rise = (one.unreadable_after - one.unreadable_before) / one.n
        if rise > UNREADABLE_RISE:
            yield (
                f"{one.task}: {one.unreadable_after:,} of {one.n:,} answers cannot be read, {one.unreadable_before:,} "
                "before; part of the difference is format, not knowledge"
            )
        short, long = sorted((max(one.tokens_before, 1), max(one.tokens_after, 1)))
        if long / short > LENGTH_CHANGE and one.task not in targets:
            yield f"{one.task}: the median answer has {one.tokens_after:g} tokens, {one.tokens_before:g} before"


def _text(drift: Sequence[Drift]) -> Iterator[str]:
    for one in drift[:1]:
        rise = math.exp(one.nll_after - one.nll_before)
        if rise > PERPLEXITY_RISE:
            yield f"{one.text} has become harder to predict: its perplexity rose by {rise - 1:.0%}"


def _not_compared(comparison: Comparison | None) -> Iterator[str]:
    for name in comparison.roots if comparison is not None else ():
        if comparison is not None and comparison.tasks[name].change.verdict is Verdict.NOT_COMPARABLE:
            yield f"{name} could not be compared: {comparison.tasks[name].change.reason}"
