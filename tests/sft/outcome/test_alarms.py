"""When a fine-tuning's numbers are doubtful."""

from __future__ import annotations

from typing import Any

import pytest

from evalkit.fine_tuning import Drift, HeldOutLoss, OutputChange, Training
from evalkit.sft.outcome import alarms
from evalkit.training_data import Contamination, Overlap, TaskContamination
from tests.reports.fine_tuning_examples import training


def raised(**given: Any) -> tuple[str, ...]:
    quiet: dict[str, Any] = {
        "comparison": None,
        "drift": (),
        "outputs": (),
        "trainings": (),
        "contamination": None,
        "changed": True,
    }
    return alarms(**{**quiet, **given})


def losses(*values: float) -> Training:
    return training(held_out=tuple(HeldOutLoss(10 * place, value, 100) for place, value in enumerate(values)))


def test_nothing_is_raised_without_cause() -> None:
    drift = (Drift("general text", "0", 100, 3.0, 3.05, 0.01, 0.9),)
    outputs = (OutputChange("gsm8k", 100, 40, 60, 3, 4),)
    assert raised(drift=drift, outputs=outputs, trainings=(losses(2.0, 1.0),)) == ()


def test_unchanged_weights() -> None:
    assert raised(changed=False) == ("training changed no weight: the tuned model is the base model",)


def test_a_held_out_loss_that_never_fell() -> None:
    (alarm,) = raised(trainings=(losses(1.0, 1.2, 1.1),))
    assert "never fell below that of the base" in alarm


@pytest.mark.parametrize(("after", "count"), [(3.05, 0), (3.2, 1)])
def test_general_text_that_became_harder(after: float, count: int) -> None:
    assert len(raised(drift=(Drift("general text", "0", 100, 3.0, after, 0.01, 0.9),))) == count


def test_answers_that_cannot_be_read_and_their_length() -> None:
    outputs = (OutputChange("gsm8k", 100, 200, 20, 2, 12),)
    found = raised(outputs=outputs)
    assert len(found) == 2
    assert "12 of 100 answers cannot be read, 2 before" in found[0]
    assert "median answer has 20 tokens, 200 before" in found[1]
    assert len(raised(outputs=outputs, targets=("gsm8k",))) == 1  # a target's answers should look different


@pytest.mark.parametrize(("policy", "count"), [("flag-eval", 1), ("drop-train", 0)])
def test_a_test_that_was_trained_on(policy: Any, count: int) -> None:
    overlap = Overlap("1", "exact", 1.0, "words", (("train", 3),))
    found = Contamination(policy, 10, 1, (TaskContamination("quiz", 5, 8, (overlap,), 0, 0, 0),))
    assert len(raised(contamination=found)) == count
