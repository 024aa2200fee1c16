import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from evalkit.data import DataOptions, load_rows
from evalkit.documents import Cloze, Document, MultipleChoice, Text
from evalkit.errors import DataError, TaskDefinitionError
from evalkit.registry import load_file, select
from evalkit.task import Group, Task

QUIZ = r"""
task: my_quiz
data: quiz.csv
question: "Question: {{question}}\nAnswer:"
choices: [a, b, c, d]
answer: answer
"""
CSV = 'question,a,b,c,d,answer\nHow many?,007,1,2,3,B\nWho?,Ann,Bob,"Cid, the",Dan,C\nWhy?,w,x,y,z,A\n'


def write(folder: Path, text: str, data: str = CSV, name: str = "quiz.csv") -> Path:
    (folder / name).write_text(data, encoding="utf-8")
    path = folder / "tasks.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def documents(task: Task) -> list[Document]:
    rows = load_rows(task.data, task.data.split, task.columns, DataOptions(offline=True))
    return [task.document(row) for row in rows]


def only(path: Path) -> Task:
    (entry,) = load_file(path)
    assert isinstance(entry, Task)
    return entry


def quiz(folder: Path, rows: Sequence[Mapping[str, Any]], **keys: object) -> Task:
    """A task over JSON Lines, its keys written as JSON, which is YAML."""
    data = "".join(json.dumps(row) + "\n" for row in rows)
    entry = {"task": "quiz", "data": "quiz.jsonl", "question": "q", "choices": "choices", "answer": "answer", **keys}
    text = json.dumps({key: value for key, value in entry.items() if value is not None})
    return only(write(folder, text, data, "quiz.jsonl"))


def test_five_lines_and_a_csv_file_make_a_task(tmp_path: Path) -> None:
    task = only(write(tmp_path, QUIZ))
    assert documents(task) == [
        MultipleChoice("Question: How many?\nAnswer:", ["007", "1", "2", "3"], 1),
        MultipleChoice("Question: Who?\nAnswer:", ["Ann", "Bob", "Cid, the", "Dan"], 2),
        MultipleChoice("Question: Why?\nAnswer:", ["w", "x", "y", "z"], 0),
    ]
    assert task.metrics == ("acc", "acc_norm")


def test_examples_come_from_the_other_rows_when_no_others_are_given(tmp_path: Path) -> None:
    (task,) = select(f"{write(tmp_path, QUIZ)}:2shot").tasks.values()
    assert (task.shots, task.data.shots_split, task.shots_exclude_self) == (2, "test", True)


def test_examples_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "dev.csv").write_text(CSV)
    task = only(write(tmp_path, QUIZ + "shots: 2\nshots_data: dev.csv\n"))
    assert task.data.files == {"test": "quiz.csv", "shots": "dev.csv"}
    assert (task.shots, task.shots_exclude_self) == (2, False)
    assert len(load_rows(task.data, "shots", task.columns, DataOptions())) == 3


def test_fixed_choices_are_texts_that_no_column_has(tmp_path: Path) -> None:
    rows = [{"q": "Is it?", "answer": "yes"}, {"q": "Was it?", "answer": "no"}]
    task = quiz(tmp_path, rows, choices=["yes", "no"])
    assert documents(task) == [MultipleChoice("Is it?", ["yes", "no"], 0), MultipleChoice("Was it?", ["yes", "no"], 1)]
    path = write(tmp_path, QUIZ.replace("[a, b, c, d]", "['true', 'false']"), "question,answer\nIs it?,1\nNo?,0\n")
    assert documents(only(path))[0] == MultipleChoice("Question: Is it?\nAnswer:", ["true", "false"], 1)


def test_a_column_or_an_expression_gives_the_list(tmp_path: Path) -> None:
    rows = [{"q": "?", "choices": {"text": ["x", "y"], "label": ["A", "B"]}, "answer": "B"}]
    task = quiz(tmp_path, rows, choices="{{choices.text}}", answer="{{choices.label.index(answer)}}", gold_is="index")
    assert documents(task) == [MultipleChoice("?", ["x", "y"], 1)]
    rows = [{"q": "?", "choices": ["x", "y"], "answer": "x"}]
    assert documents(quiz(tmp_path, rows)) == [MultipleChoice("?", ["x", "y"], 0)]


def test_several_right_answers(tmp_path: Path) -> None:
    rows = [{"q": "?", "choices": ["x", "y", "z"], "answer": ["z", "x"]}]
    assert documents(quiz(tmp_path, rows, metrics="mc2")) == [MultipleChoice("?", ["x", "y", "z"], (2, 0))]


def test_cloze_and_text(tmp_path: Path) -> None:
    rows = [{"q": "One, two,", "answer": "three"}]
    cloze = quiz(tmp_path, rows, kind="cloze", choices=None)
    assert documents(cloze) == [Cloze("One, two,", "three")]
    assert cloze.metrics == ("acc", "perplexity")
    text = quiz(tmp_path, rows, question=None, choices=None, answer=None, text="{{q}} {{answer}}")
    assert documents(text) == [Text("One, two, three")]
    assert text.shots_fixed


def test_all_settings_reach_the_task(tmp_path: Path) -> None:
    rows = [{"q": "?", "choices": ["x", "y"], "answer": "x", "page": 3}]
    settings = {
        "description": "Choose.\n\n",
        "version": 4,
        "target_delimiter": "",
        "shots_delimiter": "\n",
        "about": "a quiz",
        "citation": "me",
        "language": "de",
        "tags": ["fun"],
        "metrics": ["acc_bytes"],
    }
    task = quiz(tmp_path, rows, cluster="page", **settings)
    for key, value in settings.items():
        assert getattr(task, key) == (tuple(value) if isinstance(value, list) else value)
    assert task.cluster is not None
    assert task.cluster(rows[0]) == "3"


def test_a_hub_dataset_needs_the_form_of_its_answers(tmp_path: Path) -> None:
    keys = {"data": None, "dataset": "org/quiz", "config": "c", "split": "validation", "shots_split": "train"}
    with pytest.raises(TaskDefinitionError, match="form of the answers is not known"):
        quiz(tmp_path, [{}], **keys)
    task = quiz(tmp_path, [{}], gold_is="number", **keys)
    assert (task.data.id, task.data.config, task.data.split, task.data.shots_split) == (
        *("org/quiz", "c"),
        *("validation", "train"),
    )
    assert task.document({"q": "?", "choices": ["x", "y"], "answer": 2}) == MultipleChoice("?", ["x", "y"], 1)


def test_several_tasks_and_a_group(tmp_path: Path) -> None:
    entries = "".join(
        "- " + part.replace("\n", "\n  ").strip() + "\n"
        for part in (
            QUIZ.strip(),
            QUIZ.strip().replace("my_quiz", "other"),
            "group: both\nmembers: [my_quiz, other, piqa]\nmetrics: {my_quiz: acc, other: acc_norm, piqa: acc}",
        )
    )
    path = write(tmp_path, entries)
    assert [type(entry) for entry in load_file(path)] == [Task, Task, Group]
    selection = select(str(path))
    assert selection.groups["both"].members == ("my_quiz", "other", "piqa")


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (QUIZ + "metric: acc\n", "line 7: `metric` is not a key of a task", "did you mean `metrics`"),
        (QUIZ.replace("[a, b, c, d]", "[yes, no]"), "line 5: `choices` is [True, False]", "quotes"),
        (QUIZ + "shots: two\n", "line 7: `shots` is 'two', expected a whole number", None),
        (QUIZ + "about:\n", "line 7: `about` is empty", None),
        (QUIZ + "answer: b\n", "line 7: `answer` is there twice", None),
        (
            QUIZ.replace('"Question: {{question}}\\nAnswer:"', "Question: {{question}}"),
            "line 4: this is not YAML",
            "quotes",
        ),
        (QUIZ.replace("answer: answer", ""), "line 2: there is no `answer`", None),
        (QUIZ.replace("{{question}}", "{{question"), "line 4: the template of `question` is broken", None),
        (QUIZ + "kind: quiz\n", "there is no kind 'quiz'", "choice, cloze, text"),
        (QUIZ + "gold_is: roman\n", "no answer form 'roman'", "index, number, letter, text"),
        (QUIZ + "dataset: org/name\n", "give either `data` or `dataset`", None),
        (QUIZ + "metrics: [accuracy]\n", "no metric named 'accuracy'", None),
        (QUIZ.replace("my_quiz", "my quiz"), "names a task 'my quiz'", None),
        ("- 3\n", "line 1: this is not a task", None),
        ("", "defines no task", None),
        ("group: g\nmembers: [piqa]\nweighting: equal\n", "there is no weighting 'equal'", "items and tasks"),
        ("group: g\n", "there is no `members`", None),
        ("task: t\nkind: text\ndata: quiz.csv\ntext: question\nshots: 2\n", "a text takes no few-shot examples", None),
    ],
)
def test_mistakes_are_told_with_file_and_line(tmp_path: Path, text: str, message: str, hint: str | None) -> None:
    with pytest.raises(TaskDefinitionError) as caught:
        load_file(write(tmp_path, text))
    assert "tasks.yaml" in caught.value.message
    assert message in caught.value.message
    assert hint is None or hint in (caught.value.hint or "")


@pytest.mark.parametrize(("old", "new"), [("{{question}}", "{{kwestion}}"), ("[a, b, c, d]", "[a, b, c, kwestion]")])
def test_a_misspelt_column_is_named(tmp_path: Path, old: str, new: str) -> None:
    with pytest.raises(DataError, match="'kwestion' is missing"):
        load_file(write(tmp_path, QUIZ.replace(old, new)))


def test_a_misspelt_choice_in_json_lines_is_named(tmp_path: Path) -> None:
    rows = [{"q": "?", "a": "x", "b": "y", "answer": 0}]
    with pytest.raises(TaskDefinitionError, match=r"row 0 of quiz\.jsonl: there is no column 'c' for a choice"):
        quiz(tmp_path, rows, choices=["a", "c"])


def test_an_ambiguous_file_is_refused(tmp_path: Path) -> None:
    data = "question,a,b,c,d,answer\nHow?,w,x,y,z,1\nWho?,p,q,r,s,3\n"
    with pytest.raises(TaskDefinitionError, match="task my_quiz: the answer '1' of row 0 may be an index"):
        load_file(write(tmp_path, QUIZ, data))
    assert only(write(tmp_path, QUIZ + "gold_is: number\n", data)).document(
        {"question": "How?", "a": "w", "b": "x", "c": "y", "d": "z", "answer": "1"}
    ) == MultipleChoice("Question: How?\nAnswer:", ["w", "x", "y", "z"], 0)


def test_null_is_an_error_and_not_the_word_none(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"q": question, "choices": ["x", "y"], "answer": 0} for question in ("?", None)]
    with pytest.raises(DataError, match="null"):
        quiz(tmp_path, rows)
