from __future__ import annotations

import pytest

from evalkit.requests import Completion
from evalkit.runner.outcomes import outcome_of


@pytest.mark.parametrize(
    ("completion", "answer", "right", "outcome"),
    [
        (Completion("4", "stop", 1), "4", True, "right"),
        (Completion("4", "length", 1), "4", True, "right"),
        (Completion("4", "length", 1), "4", False, "truncated"),
        (Completion("4", "length", 1), "4", None, "truncated"),
        (Completion(" \n", "stop", 1), None, False, "empty"),
        (Completion("I", "refused", 1), None, False, "refused"),
        (Completion("well", "stop", 1), None, False, "unparsed"),
        (Completion("5", "stop", 1), "5", False, "wrong"),
        (Completion("", "stop", 1, answered=False), None, False, "truncated"),
        (Completion("", "length", 1, answered=False), None, None, "truncated"),
        (Completion("", "stop", 1, answered=False), None, True, "truncated"),
        (Completion("Ein Haus.", "stop", 1), "Ein Haus.", None, "scored"),
    ],
)
def test_outcome(completion: Completion, answer: str | None, right: bool | None, outcome: str) -> None:
    assert outcome_of(completion, answer, right) == outcome
