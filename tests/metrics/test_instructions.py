"""Instructions are judged as lm-eval judges them; what is missing is told before any model is loaded."""

from pathlib import Path
from typing import Any
from unittest import mock

import pytest

import evalkit
from evalkit import MockModel
from evalkit.errors import UsageError
from evalkit.metrics import instructions
from evalkit.registry import registered
from evalkit.task import DataSource, Task

ROWS = [
    {
        "key": 1,
        "prompt": "Say something without commas, in lower case.",
        "instruction_id_list": ["punctuation:no_comma", "change_case:english_lowercase"],
        "kwargs": [{"num_words": None}, {"num_words": None}],
    },
    {
        "key": 2,
        "prompt": "At least four words and the word river.",
        "instruction_id_list": ["length_constraints:number_words", "keywords:existence"],
        "kwargs": [
            {"num_words": 4, "relation": "at least", "keywords": None},
            {"num_words": None, "relation": None, "keywords": ["river"]},
        ],
    },
]
REPLIES = {
    ROWS[0]["prompt"]: "Here you go:\nthis reply has no capital letter and no comma at all",
    ROWS[1]["prompt"]: "a wide river, and a *boat*",
}


def ifeval() -> Task:
    from dataclasses import replace

    task = registered()["ifeval"]
    assert isinstance(task, Task)
    return replace(task, name="following", data=DataSource(id="made-up", rows=ROWS, split="train"))


@pytest.fixture
def sentence_splitter(tmp_path: Path) -> Any:
    """A stand-in for NLTK's trained splitter: lm-eval's module asks for it when imported, these instructions do not."""
    for package in ("langdetect", "immutabledict", "nltk", "lm_eval"):
        pytest.importorskip(package, reason="the checkers need it")
    import nltk

    (tmp_path / "tokenizers" / "punkt_tab").mkdir(parents=True)
    with mock.patch.object(nltk.data, "path", [str(tmp_path)]):
        yield


@pytest.mark.filterwarnings("ignore")
def test_all_four_scores_are_lm_evals(sentence_splitter: Any) -> None:
    run = evalkit.run(model=MockModel(texts=REPLIES), tasks=[ifeval()])
    result = run.tasks["following"]
    from lm_eval.tasks.ifeval.utils import agg_inst_level_acc, process_results

    theirs = [process_results(row, [REPLIES[row["prompt"]]]) for row in ROWS]
    for manner in ("strict", "loose"):
        prompt_level, instruction_level = f"prompt_level_{manner}_acc", f"inst_level_{manner}_acc"
        assert result.metrics[prompt_level].value == sum(one[prompt_level] for one in theirs) / 2
        flat = [one[instruction_level] for one in theirs]
        assert result.metrics[instruction_level].value == pytest.approx(agg_inst_level_acc(flat))
    assert result.metrics["inst_level_strict_acc"].value == 0.75  # "Here you go" is not lower case
    assert result.metrics["inst_level_loose_acc"].value == 1.0  # without its first line the reply is
    assert result.outcomes == {"right": 1, "wrong": 1}


def test_a_missing_package_stops_the_run_before_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instructions, "find_spec", lambda name: None if name == "langdetect" else name)

    class Model(MockModel):
        def prepare(self, requests: Any) -> Any:
            raise AssertionError("the model was asked")

    with pytest.raises(UsageError, match="needs langdetect") as caught:
        evalkit.run(model=Model(), tasks=[ifeval()])
    assert caught.value.hint == "pip install langdetect"


def test_reading_the_task_needs_no_checkers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instructions, "find_spec", lambda _: None)
    assert ifeval().document(ROWS[0])  # a table of prompts, for example, does not judge


def test_a_missing_sentence_splitter_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    nltk = pytest.importorskip("nltk")
    monkeypatch.setattr(instructions, "find_spec", lambda name: name)
    monkeypatch.setattr(nltk.data, "path", [])
    with pytest.raises(UsageError, match="punkt_tab"):
        instructions.require_checkers()
