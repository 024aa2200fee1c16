"""What is missing is told before anything is computed."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from evalkit.api import Evaluation
from evalkit.errors import ModelError
from evalkit.sft.making import MakingRequest, make_training_data
from evalkit.sft.pipeline import fine_tune
from evalkit.sft.request import FineTuningRequest


def test_a_missing_extra_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in ("trl", "py3langid") else find(name))
    evaluation = Evaluation(model="smollm2", tasks="arc_easy")
    with pytest.raises(ModelError, match="trl, py3langid are not installed") as caught:
        fine_tune(FineTuningRequest(evaluation=evaluation, output=tmp_path / "out", data=("rows.jsonl",)))
    assert caught.value.hint is not None
    assert "[sft]" in caught.value.hint
    making = MakingRequest(evaluation=evaluation, seeds="seeds.jsonl", output=tmp_path / "rows.jsonl", count=1)
    with pytest.raises(ModelError, match="trl, py3langid are not installed"):
        make_training_data(making)
    assert list(tmp_path.iterdir()) == []
