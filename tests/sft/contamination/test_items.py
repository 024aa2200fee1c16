"""The items are those that the result will have, with its ids, as question and answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evalkit import Cloze, DataSource, MockModel, MultipleChoice, OpenQuestion, Task, Text
from evalkit.api import Evaluation
from evalkit.documents import ContextChoice, Document
from evalkit.sft.contamination import BenchmarkItem, benchmark_item, benchmark_items, find_contamination
from evalkit.sft.rows import Message, TrainingRow

HUB = Path(__file__).parents[3].parent / "shared" / "data" / "hub"
hub_data = pytest.mark.skipif(not HUB.is_dir(), reason="the real benchmark data is not beside the checkout")


def quiz(folder: Path, count: int = 20) -> Task:
    rows = [{"question": f"What is {n % 19} plus {n % 19}?", "answer": str(2 * (n % 19))} for n in range(count)]
    (folder / "quiz.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Task(
        name="quiz",
        data=DataSource(files={"test": "quiz.jsonl"}, base=str(folder)),
        document=lambda row: Cloze(row["question"], row["answer"]),
        metrics=("acc",),
    )


@pytest.mark.parametrize("options", [{}, {"limit": 5}, {"limit": 0.3, "seed": 7}, {"limit": "first:3"}])
def test_ids_are_those_of_the_result(tmp_path: Path, options: dict[str, Any]) -> None:
    evaluation = Evaluation(model=MockModel(), tasks=[quiz(tmp_path)], **options)
    run = evaluation.run()
    (task,) = benchmark_items(evaluation)
    assert task.task == "quiz"
    assert [item.id for item in task.items] == [sample.id for sample in run.tasks["quiz"].samples]
    assert len(task.items) == run.tasks["quiz"].n
    assert task.items[0].whole.startswith("What is ")


def test_no_model_is_loaded(tmp_path: Path) -> None:
    (task,) = benchmark_items(Evaluation(model="no/such-model", tasks=[quiz(tmp_path)], offline=True))
    assert len(task.items) == 20


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (MultipleChoice("Why?", ["a cat", "a dog"], 1), BenchmarkItem("x", "Why?", ("a dog",))),
        (MultipleChoice("Why?", ["a", "b", "c"], (0, 2)), BenchmarkItem("x", "Why?", ("a", "c"))),
        (
            MultipleChoice("Question: Why?\nAnswer:", ["a cat", "a dog"], 0),
            BenchmarkItem("x", "Why?", ("a cat",), "Question: Why?\nAnswer:", "a cat"),
        ),
        (
            MultipleChoice("Why?\nA. a cat\nB. a dog\nAnswer:", "AB", 1),
            BenchmarkItem("x", "Why?", ("a dog",), "Why?\nA. a cat\nB. a dog\nAnswer:", "B"),
        ),
        (
            ContextChoice(["He left; Tom", "He left; Tim"], " was gone.", 1),
            BenchmarkItem("x", "He left; Tim", ("was gone.",)),
        ),
        (Cloze("once upon a", "time"), BenchmarkItem("x", "once upon a", ("time",))),
        (Text("a page"), BenchmarkItem("x", "", ("a page",))),
        (OpenQuestion("Who?", "Ann", ("Ann", "Anna")), BenchmarkItem("x", "Who?", ("Ann", "Anna"))),
        (OpenQuestion("Write a poem", ""), BenchmarkItem("x", "Write a poem", ())),
    ],
)
def test_documents(document: Document, expected: BenchmarkItem) -> None:
    assert benchmark_item("x", document) == expected


def test_whole_and_answer() -> None:
    assert BenchmarkItem("x", "", ("a page",)).whole == "a page"
    assert BenchmarkItem("x", "Who?", ("Ann", "Anna")).whole == "Who?\nAnn"
    assert (BenchmarkItem("x", "Go", ()).answer, BenchmarkItem("x", "Go", ()).whole) == ("", "Go")


def row(index: int, question: str, answer: str) -> TrainingRow:
    return TrainingRow("train.jsonl", index, (Message("user", question), Message("assistant", answer)))


REWRITTEN = {"91ebe63f05448829"}
"""ARC asks about a tadpole's metamorphosis twice, in other words but with the same answer of 11 words."""


@hub_data
@pytest.mark.hub_data
def test_real_items_are_found_and_nothing_else() -> None:
    """Every tenth real item among real unrelated rows: exactly these, from the stem and the right option alone."""
    tasks = "mmlu_anatomy,mmlu_high_school_us_history,arc_challenge"
    unrelated = [
        TrainingRow("wiki", place, text=page)
        for place, page in enumerate(
            item.answer
            for task in benchmark_items(Evaluation(tasks="wikitext", data_dir=str(HUB)))
            for item in task.items
        )
    ]
    benchmark = benchmark_items(Evaluation(tasks=tasks, data_dir=str(HUB), offline=True))
    planted = {task.task: list(task.items[::10]) for task in benchmark}
    rows = [*unrelated]
    for items in planted.values():
        rows += [row(len(rows) + place, item.question, item.answer) for place, item in enumerate(items)]
    contamination, dropped = find_contamination(rows, benchmark, "drop-train")
    assert dropped == {(one.source, one.index) for one in rows[len(unrelated) :]}
    for task in contamination.tasks:
        ids = {item.id for item in planted[task.task]}
        assert ids <= {one.id for one in task.overlaps}
        strong = {one.id for one in task.overlaps if one.evidence != "question" and one.coverage > 0.9}
        assert strong <= ids
        if task.task != "mmlu_high_school_us_history":  # whose passages several items share
            assert {one.id for one in task.overlaps} == ids | (REWRITTEN if task.task == "arc_challenge" else set())
    assert find_contamination(unrelated, benchmark, "drop-train")[1] == frozenset()


@hub_data
@pytest.mark.hub_data
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # lm-eval's and datasets' own warnings
def test_lm_evals_tasks() -> None:
    """The same dataset row has the same question, answer and id, whoever asks."""
    pytest.importorskip("lm_eval")
    names = ["mmlu_anatomy", "arc_easy", "wikitext", "gsm8k", "hellaswag"]
    for name in names:
        common: dict[str, Any] = {"data_dir": str(HUB), "offline": True, "limit": "first:5"}
        (ours,) = benchmark_items(Evaluation(tasks=name, **common))
        (theirs,) = benchmark_items(Evaluation(tasks=f"lm-eval:{name}", **common))
        assert theirs.task == f"lm-eval:{name}"
        for one, other in zip(ours.items, theirs.items, strict=True):
            assert (one.question, one.answer) == (other.question, other.answer)
        if name in ("mmlu_anatomy", "arc_easy", "gsm8k"):  # lm-eval rewrites the rows of the others
            assert [one.id for one in ours.items] == [one.id for one in theirs.items]
