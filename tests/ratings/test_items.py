from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from evalkit.documents import MultipleChoice, OpenQuestion
from evalkit.errors import NotComparableError, UsageError
from evalkit.ratings.items import load_items
from evalkit.results import samples_path
from evalkit.task import DataSource, Task
from tests.ratings.examples import QUESTIONS, question_task, write_pair, write_run


def test_two_runs_pair_by_document(tmp_path: Path) -> None:
    found = load_items(*write_pair(tmp_path, {"Name a fruit.": "Pear"}, {"Name a fruit.": "Pear"}))
    assert (found.base.name, found.tuned and found.tuned.name) == ("secret-alpha", "secret-omega-2")
    assert found.notes == ()
    assert [item.question for item in found.items] == [f"Question: {question}" for question in QUESTIONS]
    assert [item.reference for item in found.items] == list(QUESTIONS.values())
    first = found.items[0]
    assert first.prompt == "Question: Why is the sky blue?\nAnswer:"
    assert {side: output.text for side, output in first.outputs.items()} == {
        "base": "12: about Why is the sky blue?",
        "tuned": "14: about Why is the sky blue?",
    }
    assert [item.identical for item in found.items] == [False, True, False, False, False]


def test_one_run_alone(tmp_path: Path) -> None:
    found = load_items(write_run(tmp_path / "base.json", "alone"))
    assert found.tuned is None
    assert len(found.items) == 5
    assert {tuple(item.outputs) for item in found.items} == {("base",)}
    assert not any(item.identical for item in found.items)


def test_the_texts_identify_a_run(tmp_path: Path) -> None:
    one = load_items(write_run(tmp_path / "a.json", "model")).base
    again = load_items(write_run(tmp_path / "b.json", "model")).base
    other = load_items(write_run(tmp_path / "c.json", "model", {"Name a fruit.": "Fig"})).base
    assert one == again
    assert one.difference(again) is None
    assert one.difference(other) == "texts of questions"
    weights = load_items(write_run(tmp_path / "d.json", "another")).base
    assert "weights" in str(one.difference(weights))


def test_only_the_common_documents(tmp_path: Path) -> None:
    base = write_run(tmp_path / "base.json", "a", limit="first:3")
    tuned = write_run(tmp_path / "tuned.json", "bb", limit="first:4")
    found = load_items(base, tuned)
    assert len(found.items) == 3
    assert found.notes == ("questions: 1 documents left out, in one file only",)


def test_no_document_in_common(tmp_path: Path) -> None:
    base = write_run(tmp_path / "base.json", "a")
    tuned = write_run(tmp_path / "tuned.json", "b", tasks=[question_task(questions={"Other?": "yes"})])
    with pytest.raises(NotComparableError, match=r"questions: base\.json and tuned\.json have no document in common"):
        load_items(base, tuned)


def test_no_task_in_common(tmp_path: Path) -> None:
    base = write_run(tmp_path / "base.json", "a")
    tuned = write_run(tmp_path / "tuned.json", "b", tasks=[question_task("others")])
    with pytest.raises(NotComparableError, match="no generated task in common: questions and others"):
        load_items(base, tuned)


def test_tasks_are_chosen_by_name(tmp_path: Path) -> None:
    both = [question_task("one"), question_task("two")]
    base = write_run(tmp_path / "base.json", "a", tasks=both)
    tuned = write_run(tmp_path / "tuned.json", "bb", tasks=[*both, question_task("three")])
    assert {item.task for item in load_items(base, tuned, ["two"]).items} == {"two"}
    assert load_items(base, tuned).notes == ("left out, in one file only: three",)
    with pytest.raises(UsageError, match=r"base\.json has no generated texts of three"):
        load_items(base, tuned, ["three"])


def test_different_prompts_are_not_compared_unless_asked_for(tmp_path: Path) -> None:
    base = write_run(tmp_path / "base.json", "a")
    tuned = write_run(tmp_path / "tuned.json", "bb", chat_template="on")
    with pytest.raises(NotComparableError, match=r"questions: all prompts .* differ \(chat_template .*; prompt_sha256"):
        load_items(base, tuned)
    found = load_items(base, tuned, different_prompts=True)
    assert len(found.items) == 5
    assert found.notes == ("questions: 5 documents with different prompts, the first one's shown",)
    assert found.items[0].prompt.startswith("Question:")


def test_some_prompts_differ(tmp_path: Path) -> None:
    def polite(name: str) -> Task:
        return Task(
            name="questions",
            data=DataSource(id="q", rows=[{"q": "What is 1?"}, {"q": "Please, what is 2?"}]),
            document=lambda row: OpenQuestion(row["q"].replace("Please", name), "yes"),
            metrics=("exact_match",),
        )

    base = write_run(tmp_path / "base.json", "a", tasks=[polite("Sir")])
    tuned = write_run(tmp_path / "tuned.json", "bb", tasks=[polite("Madam")])
    found = load_items(base, tuned)
    assert [item.prompt for item in found.items] == ["What is 1?"]
    assert found.notes == ("questions: 1 documents left out, their prompts differ",)


def test_several_samples_show_the_first(tmp_path: Path) -> None:
    paths = [write_run(tmp_path / f"{name}.json", name, samples=3, temperature=1.0) for name in ("a", "bb")]
    found = load_items(*paths)
    assert len(found.items) == 5
    assert found.notes == ("questions: of 3 answers a prompt the first is shown",)


def test_raters_see_answers_without_thoughts(tmp_path: Path) -> None:
    base = {"Name a fruit.": "<think>apple? pear?</think>\n\nPear", "Why is the sky blue?": "<think>hm"}
    tuned = {"Name a fruit.": "Pear", "Why is the sky blue?": "I am not sure"}
    paths = [
        write_run(tmp_path / f"{name}.json", name, answers, thinking="<think>,</think>")
        for name, answers in (("a", base), ("bb", tuned))
    ]
    sky, fruit, *_ = load_items(*paths).items
    assert {side: output.text for side, output in fruit.outputs.items()} == {"base": "Pear", "tuned": "Pear"}
    assert fruit.identical
    assert {side: output.text for side, output in sky.outputs.items()} == {"base": "", "tuned": "I am not sure"}
    assert not sky.identical
    kept = load_items(write_run(tmp_path / "kept.json", "a", base, thinking="off"))
    assert kept.items[1].outputs["base"].text == base["Name a fruit."]


def test_several_sets_of_examples_show_the_first(tmp_path: Path) -> None:
    task = question_task()
    task = replace(task, data=replace(task.data, shots_split="test"), shots=1, shots_exclude_self=True)
    base = write_run(tmp_path / "base.json", "a", tasks=[task], shots_seeds=3)
    found = load_items(base)
    assert len(found.items) == 5
    assert found.notes == ("questions: of 3 sets of examples the answer after the first is shown",)


def test_files_without_texts(tmp_path: Path) -> None:
    task = Task(
        name="quiz",
        data=DataSource(id="quiz", rows=[{"q": "1 + 1 ="}]),
        document=lambda row: MultipleChoice(row["q"], ["2", "3"], 0),
        metrics=("acc",),
    )
    with pytest.raises(UsageError, match=r"base\.json has no generated texts"):
        load_items(write_run(tmp_path / "base.json", "a", tasks=[task]))


def test_the_log_must_be_there_and_belong(tmp_path: Path) -> None:
    base, tuned = write_pair(tmp_path)
    samples_path(tuned).unlink()
    with pytest.raises(UsageError, match=r"tuned\.samples\.parquet is missing"):
        load_items(base, tuned)
    other = write_run(tmp_path / "other.json", "o", tasks=[question_task(questions={"Other?": "yes"})])
    samples_path(other).rename(samples_path(tuned))
    with pytest.raises(UsageError, match=r"tuned\.samples\.parquet does not belong to tuned\.json"):
        load_items(base, tuned)
    with pytest.raises(UsageError, match=r"missing\.json cannot be read"):
        load_items(tmp_path / "missing.json")
