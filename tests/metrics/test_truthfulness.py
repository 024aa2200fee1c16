"""lm-eval's own `process_results_gen` is the oracle."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from evalkit.data import DataOptions, load_rows
from evalkit.metrics.truthfulness import METRICS
from evalkit.registry import select
from evalkit.tasks.truthfulqa_gen import document, task
from tests.tasks.test_golden_prompts import HUB, hub_data

pytestmark = pytest.mark.filterwarnings("ignore")

ROW = {
    "question": "  Can pigs fly? ",
    "best_answer": "No",
    "correct_answers": ["No", " Pigs cannot fly. ", "", "They have no wings . They walk"],
    "incorrect_answers": ["Yes", "Pigs fly", "Pigs can fly if they want to."],
}
REPLIES = [
    "",
    " ",
    "No.",
    " Pigs cannot fly.\nQ: x",
    "Pigs can fly",
    "They have no wings . They walk .",
    "我不知道",
    "pigs " * 40,
]


@pytest.fixture(scope="module")
def lm_eval_utils() -> Any:
    return pytest.importorskip("lm_eval.tasks.truthfulqa.utils")


def check(utils: Any, row: dict[str, Any], reply: str) -> None:
    theirs = utils.preprocess_function(row)
    ours = document(row)
    assert list(ours.references) == theirs["correct_answers"]
    assert list(ours.details["false"]) == theirs["incorrect_answers"]
    expected = utils.process_results_gen(theirs, [reply])
    assert set(expected) == set(METRICS)
    assert {name: metric.value(ours, reply) for name, metric in METRICS.items()} == expected


@pytest.mark.parametrize("reply", REPLIES)
def test_every_value_is_lm_evals(lm_eval_utils: Any, reply: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lm_eval_utils.scoring, "BootstrapAggregator", OneScore)
    check(lm_eval_utils, ROW, reply)


def test_a_bootstrap_over_one_score_is_that_score(lm_eval_utils: Any) -> None:
    """What makes it right to leave lm-eval's bootstrap out here and in the product."""
    check(
        lm_eval_utils, ROW | {"correct_answers": ["No"], "incorrect_answers": ["Yes, pigs fly"]}, "Pigs fly, yes . No"
    )


class OneScore:
    """`rouge_score`'s aggregator for a single score, without a thousand resamples of it."""

    def __init__(self) -> None:
        self.scores: Any = None

    def add_scores(self, scores: Any) -> None:
        assert self.scores is None
        self.scores = scores

    def aggregate(self) -> Any:
        from rouge_score.scoring import AggregateScore

        return {name: AggregateScore(low=score, mid=score, high=score) for name, score in self.scores.items()}


@hub_data
@pytest.mark.hub_data
def test_values_on_real_rows_are_lm_evals(lm_eval_utils: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lm_eval_utils.scoring, "BootstrapAggregator", OneScore)
    rows = load_rows(task.data, "validation", task.columns, DataOptions(directories=(HUB,), offline=True))
    assert len(rows) == 817
    generator = random.Random(0)
    for index in generator.sample(range(len(rows)), 30):
        row = dict(rows[index])
        others = [*row["correct_answers"], *row["incorrect_answers"], rows[index - 1]["best_answer"]]
        check(lm_eval_utils, row, " " + generator.choice(others))


def test_a_question_without_false_answers_is_refused() -> None:
    with pytest.raises(ValueError, match="no false answer"):
        document(ROW | {"incorrect_answers": [" "]})


def test_the_main_metric_says_right_or_wrong() -> None:
    (chosen,) = select("truthfulqa_gen").tasks.values()
    assert chosen.metrics[0] == "bleu_acc"
    assert set(chosen.metrics) == set(METRICS)
    assert Path(HUB).name == "hub"
