"""A small dataset laid out as on the hub, tasks on it in lm-eval's YAML format, and lm-eval's own run as the yardstick."""

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from evalkit.data import DataOptions
from evalkit.lm_eval_bridge import library
from evalkit.lm_eval_bridge.datasets_source import data_from
from tests.tiny_models import tiny_model

pytest.importorskip("lm_eval")

WORDS = [
    "fox",
    "dog",
    "moon",
    "water",
    "tea",
    "heart",
    "lung",
    "skin",
    "energy",
    "brown",
    "lazy",
    "quick",
    "time",
    "Paris",
]

TASKS = {
    "toy_choice": """
        task: toy_choice
        tag: toy_tag
        dataset_path: someone/toy
        dataset_name: quiz
        output_type: multiple_choice
        training_split: train
        test_split: test
        doc_to_text: "Question: {{question}}\\nAnswer:"
        doc_to_target: answer
        doc_to_choice: choices
        description: "Answer the questions.\\n\\n"
        metric_list:
          - {metric: acc, aggregation: mean, higher_is_better: true}
          - {metric: acc_norm, aggregation: mean, higher_is_better: true}
          - {metric: acc_mutual_info, aggregation: mean, higher_is_better: true}
          - {metric: brier_score, higher_is_better: false}
        metadata: {version: 3.0}
        """,
    "toy_cloze": """
        task: toy_cloze
        tag: toy_tag
        dataset_path: someone/toy
        dataset_name: quiz
        output_type: loglikelihood
        test_split: test
        doc_to_text: "{{question}}"
        doc_to_target: "{{' ' + choices[answer]}}"
        metric_list:
          - {metric: acc, aggregation: mean, higher_is_better: true}
          - {metric: perplexity, aggregation: perplexity, higher_is_better: false}
        """,
    "toy_pages": """
        task: toy_pages
        dataset_path: someone/toy
        dataset_name: quiz
        output_type: loglikelihood_rolling
        test_split: test
        doc_to_text: ""
        doc_to_target: "{{page}}"
        metric_list:
          - {metric: word_perplexity}
          - {metric: byte_perplexity}
          - {metric: bits_per_byte}
        """,
    "toy_group": """
        group: toy_group
        task:
          - toy_choice
          - {task: toy_choice_first, description: "Now these.\n\n"}
        aggregate_metric_list:
          - {metric: acc, weight_by_size: true}
        """,
    "toy_choice_first": """
        include: toy_choice.yaml
        task: toy_choice_first
        fewshot_split: train
        fewshot_config: {sampler: first_n}
        num_fewshot: 1
        """,
    "toy_binary": """
        include: toy_choice.yaml
        task: toy_binary
        tag: null
        doc_to_choice: "{{choices[:2]}}"
        doc_to_target: "{{answer % 2}}"
        metric_list:
          - {metric: f1}
          - {metric: mcc}
        """,
    "toy_own": """
        include: toy_choice.yaml
        task: toy_own
        num_fewshot: 0
        process_results: !function functions.process_results
        metric_list:
          - {metric: acc, aggregation: mean, higher_is_better: true}
          - {metric: long, aggregation: mean, higher_is_better: true}
          - {metric: middle, aggregation: median, higher_is_better: true}
        """,
    "toy_generate": """
        task: toy_generate
        dataset_path: someone/toy
        dataset_name: quiz
        output_type: generate_until
        test_split: test
        doc_to_text: "{{question}}"
        doc_to_target: "{{choices[answer]}}"
        """,
    "toy_nowhere": """
        task: toy_nowhere
        dataset_path: someone/absent
        output_type: multiple_choice
        test_split: test
        doc_to_text: "{{question}}"
        doc_to_target: answer
        doc_to_choice: choices
        """,
}

FUNCTIONS = """
def process_results(doc, results):
    scores = [score for score, _ in results]
    found = {"acc": 0.25 + 0.5 * (scores.index(max(scores)) == doc["answer"]), "middle": max(scores)}
    if "number 1" in doc["question"]:
        found["long"] = 1.0
    return found
"""


def rows(count: int, seed: int) -> list[dict[str, Any]]:
    generator = random.Random(seed)
    made = []
    for number in range(count):
        words = generator.sample(WORDS, 4)
        made.append(
            {
                "question": f"What goes with {' and '.join(generator.sample(WORDS, 2))} number {number}?",
                "choices": words if number % 3 else [f"{word} {word}" for word in words],
                "answer": generator.randrange(4),
                "page": " ".join(generator.choices(WORDS, k=10 + 7 * number)),
            }
        )
    return made


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `someone/toy`, configuration `quiz`: 12 test rows, 6 train rows."""
    import datasets

    folder = tmp_path_factory.mktemp("hub")
    quiz = folder / "someone" / "toy" / "quiz"
    quiz.mkdir(parents=True)
    table = datasets.Dataset.from_list(rows(12, 0)).data.table
    from pyarrow import parquet

    parquet.write_table(table, quiz / "test-00000-of-00001.parquet")
    (quiz / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows(6, 1)))
    return folder


@pytest.fixture
def toy_tasks(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """lm-eval's library replaced by the tasks above (indexing the real one takes ten seconds)."""
    from textwrap import dedent

    from lm_eval.tasks._index import TaskIndex

    folder = tmp_path_factory.mktemp("tasks")
    (folder / "functions.py").write_text(FUNCTIONS)
    for name, text in TASKS.items():
        (folder / f"{name}.yaml").write_text(dedent(text))
    index = TaskIndex.build([folder])
    monkeypatch.setattr(library, "_index", lambda: index)
    return folder


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with a context of 64 tokens, so that pages need several windows."""
    return tiny_model("llama", tmp_path_factory.getbasetemp(), max_position_embeddings=64)


@pytest.fixture
def yardstick(toy_tasks: Path, hub: Path, model: Path) -> Any:
    """lm-eval's own evaluation of the tasks, with its `hf` model: names, shots -> its results."""

    def run(names: Sequence[str], shots: int | None = None, lm: Any = None, limit: int | None = None) -> Any:
        import lm_eval
        from lm_eval.models.huggingface import HFLM
        from lm_eval.tasks import TaskManager

        manager = TaskManager(include_defaults=False, include_path=str(toy_tasks))
        with data_from(DataOptions((hub,), offline=True)):
            return lm_eval.simple_evaluate(
                model=lm or HFLM(pretrained=str(model), dtype="float32", device="cpu", batch_size=4),
                tasks=list(names),
                num_fewshot=shots,
                task_manager=manager,
                bootstrap_iters=0,
                limit=limit,
            )

    return run
