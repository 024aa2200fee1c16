"""The card of a fine-tuned model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from evalkit.fine_tuning import FineTuning
from evalkit.reports.model_card import model_card
from tests.reports.fine_tuning_examples import everything, reward


def parts(found: FineTuning) -> tuple[dict[str, Any], str]:
    """The head as YAML, and the body."""
    _, head, body = model_card(found).split("---\n", 2)
    return yaml.safe_load(head), body


def test_the_head_is_what_hubs_read(tmp_path: Path) -> None:
    head, body = parts(everything(tmp_path, hostile=""))
    assert head == {
        "base_model": "org/base",
        "base_model_relation": "adapter",
        "library_name": "peft",
        "pipeline_tag": "text-generation",
        "tags": ["evalkit", "trl", "sft", "lora"],
    }
    assert 'AutoPeftModelForCausalLM.from_pretrained("out/model")' in body
    assert "evalkit run --model peft:out/model" in body
    assert "> **Alarm:**" in body
    assert "| quiz |" in body
    assert "torch 2.13.0" in body
    assert "aaaaaaaaaaaa" in body
    assert "Gate: failed on exam" in body
    assert "| exam \\(target\\) |" in body


def test_a_reward_model_is_a_classifier() -> None:
    head, body = parts(reward())
    assert head["pipeline_tag"] == "text-classification"
    assert head["base_model_relation"] == "finetune"
    assert "reward-trainer" in head["tags"]
    assert 'AutoModelForSequenceClassification.from_pretrained("out/model")' in body
    assert "evalkit run" not in body
    assert "83.0%" in body


@pytest.mark.parametrize("base", ["smollm2", "./model.gguf"])
def test_where_transformers_knows_no_such_base_the_card_says_how_evalkit_does(tmp_path: Path, base: str) -> None:
    _, body = parts(replace(everything(tmp_path, hostile=""), base=base))
    assert "AutoPeft" not in body
    assert "evalkit run --model peft:out/model" in body


def test_no_name_breaks_out_of_its_place(tmp_path: Path) -> None:
    hostile = 'x"\ntags: [stolen]\n---\n<script>'
    head, body = parts(replace(everything(tmp_path, hostile=""), base=hostile))
    assert head["tags"] == ["evalkit", "trl", "sft", "lora"]
    assert "<script>" not in body


def test_the_card_of_another_seed_says_whose_verdicts_it_shows(tmp_path: Path) -> None:
    whole = everything(tmp_path, hostile="")
    _, body = parts(replace(whole, tuned="peft:out/seed-1/model"))
    assert "seed 1" in body
    assert "verdicts on this card are of another of the trainings" in body
    assert "of another of the trainings" not in parts(whole)[1]
