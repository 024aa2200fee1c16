"""`:cot` shows every multiple-choice question under letters, once, and scores the letter that the model settles on."""

import re
from typing import Any

import pytest

import evalkit
from evalkit import MockModel, MultipleChoice
from evalkit.chain_of_thought import METRIC, shows_letters, with_chain_of_thought
from evalkit.documents import OpenQuestion
from evalkit.errors import UsageError
from evalkit.extraction import ChoiceLetter
from evalkit.registry import select
from evalkit.requests import Generate
from evalkit.task import DataSource, Group, Row, Task

LETTERED = {"question": " Which is a stone?", "choices": ["oak", "granite", "rain", "wool"], "answer": 1}
SCIENCE = {
    "question": "Which is a stone?",
    "choices": {"text": ["oak", "granite", "rain"], "label": ["1", "2", "3"]},
    "answerKey": "2",
}
CHINESE = {"Question": "哪个是石头？", "A": "橡树", "B": "花岗岩", "C": "雨", "D": "羊毛", "Answer": "B"}


def document(spec: str, row: Row) -> OpenQuestion:
    (task,) = select(spec).tasks.values()
    found = task.document(row)
    assert isinstance(found, OpenQuestion)
    return found


def test_letters_are_shown_once() -> None:
    stem = "Question: Which is a stone?\nA. oak\nB. granite\nC. rain"
    cue = "\nAnswer: Let's think step by step."
    assert document("mmlu_anatomy:cot", LETTERED).question == f"{stem}\nD. wool{cue}"
    assert document("arc_easy:cot", SCIENCE).question == f"{stem}{cue}"


def test_the_example_ends_as_the_model_is_asked_to() -> None:
    found = document("mmlu_anatomy:cot", LETTERED)
    assert (found.answer, found.references, found.chance) == ("The answer is (B).", ("B",), 0.25)
    (task,) = select("mmlu_anatomy:cot").tasks.values()
    assert task.description.startswith(
        "The following are multiple choice questions (with answers) about anatomy.\nThink"
    )
    assert 'finish with "The answer is (X)."' in task.description
    assert task.extractors["answer"](found.answer) == "B"


def test_chinese_is_asked_in_chinese() -> None:
    found = document("cmmlu_anatomy:cot", CHINESE)
    assert found.question.startswith("问题：哪个是石头？\nA. 橡树")
    assert found.question.endswith("D. 羊毛\n答案：让我们一步一步思考。")
    (task,) = select("cmmlu_anatomy:cot").tasks.values()
    assert "直接" not in task.description
    assert task.extractors["answer"](found.answer) == "B"


def test_several_right_choices_are_all_right() -> None:
    row = {
        "question": "Q?",
        "mc1_targets": {"choices": ["a", "b"], "labels": [1, 0]},
        "mc2_targets": {"choices": ["a", "b", "c"], "labels": [1, 0, 1]},
    }
    assert document("truthfulqa_mc2:cot", row).references == ("A", "C")


def test_only_a_cue_of_its_own_line_is_left_out() -> None:
    def stem(question: str) -> str:
        whole = with_chain_of_thought(parity()).document({"question": question, "choices": ["x", "y"], "gold": 0})
        assert isinstance(whole, OpenQuestion)
        return whole.question.partition("\nA. x")[0]

    assert stem("Which of these is a part of DNA:") == "Question: Which of these is a part of DNA:"
    assert stem("问题：哪个是标准答案:") == "问题：哪个是标准答案:"
    assert stem("Q: Is it?\nA:") == "Q: Is it?"
    assert stem("Question: Is it?\n\n  Answer: ") == "Question: Is it?"


def test_solved_examples_of_a_description_are_left_out() -> None:
    (task,) = select("truthfulqa_mc1:cot").tasks.values()
    assert task.description.startswith("Think step by step")
    assert "telescope" not in task.description
    (kept,) = select("mmlu_anatomy:cot").tasks.values()
    assert "about anatomy" in kept.description


@pytest.mark.parametrize("label", ["Question:", "Q:", "问题：", "问题:"])
def test_a_question_of_the_models_own_is_not_answered(label: str) -> None:
    text = f"It is. The answer is (A).\n\n{label} And 9?\nAnswer: The answer is (B)."
    run = evalkit.run(model=MockModel(texts=lambda _: text), tasks=["parity:cot", parity()], limit="first:1")
    (sample,) = run.tasks["parity:cot"].samples
    assert sample.fields["answers"] == ["A"]
    (task,) = select("truthfulqa_mc1:cot").tasks.values()
    assert f"\n{label}" in task.decoding.stop


def test_letters_that_are_no_choice_are_no_answer() -> None:
    texts = [
        "The answer is (X).",
        'The answer is (B). As asked: "The answer is (X)."',
        "I do not know.\nI",
        "It is (C).",
    ]

    def reply_of(request: Generate) -> str:
        return texts[int(re.findall(r"Is (\d) even", request.prompt)[-1])]

    run = evalkit.run(model=MockModel(texts=reply_of), tasks=["parity:cot", parity()], limit="first:4")
    result = run.tasks["parity:cot"]
    assert [sample.outcome for sample in result.samples] == ["unparsed", "right", "unparsed", "unparsed"]


@pytest.mark.parametrize(
    ("question", "choices", "shown"),
    [
        ("Q?\nA. x\nB. y\nAnswer:", ["A", "B"], True),
        ("Q?\n(A) x\n(B) y", ["(A)", "(B)"], True),
        ("A：甲\nB：乙", ["A", "B"], True),
        ("Which blood group is rarer?", ["A", "B"], False),  # letters that are answers of their own
        ("Q?\nA. x\nB. y", ["x", "y"], False),
    ],
)
def test_letters_that_are_shown_are_seen(question: str, choices: list[str], shown: bool) -> None:
    assert shows_letters(question, choices) is shown


def test_only_multiple_choice_can_be_asked_so() -> None:
    for spec, kind in (("winogrande:cot", "ContextChoice"), ("gsm8k:cot", "OpenQuestion"), ("wikitext:cot", "Text")):
        with pytest.raises(UsageError, match=f"documents are {kind}"):
            select(spec)
    with pytest.raises(UsageError, match="lm-eval"):
        with_chain_of_thought(type("Theirs", (), {"name": "blimp"})())


ROWS = [{"question": f"Is {n} even?", "choices": ["yes", "no"], "gold": n % 2} for n in range(8)]
SAID = [
    *(
        "0 can be halved. The answer is (A).",
        "So it is **(B)**",
        "The answer is (B).",
        "I cannot say",
        "",
        "The answer is b.",
    ),
    "Hm, is it (B)? No. The answer is \\boxed{A}.",
    "The answer is (B).\n\nQuestion: another one? The answer is (A).",
]


def parity(name: str = "parity", **changes: Any) -> Task:
    def document(row: Row) -> Any:
        return MultipleChoice(row["question"], row["choices"], row["gold"])

    source = DataSource(id=name, rows=ROWS, shots_split="test")
    return Task(name=name, data=source, document=document, metrics=("acc",), **changes)


def reply(request: Generate) -> str:
    match = re.findall(r"Is (\d) even", request.prompt)
    return SAID[int(match[-1])]


def test_a_run_counts_the_letters_and_what_has_none() -> None:
    run = evalkit.run(model=MockModel(texts=reply), tasks=["parity:cot:2shot", parity()], limit="first:8")
    result = run.tasks["parity:cot:2shot"]
    accuracy = result.metrics[METRIC]
    assert list(result.metrics) == [METRIC]
    assert (accuracy.value, accuracy.chance) == (5 / 8, 0.5)
    outcomes = [sample.outcome for sample in result.samples]
    assert outcomes == ["right", "right", "wrong", "unparsed", "empty", "right", "right", "right"]
    assert [sample.fields["answers"][0] for sample in result.samples] == ["A", "B", "B", None, None, "B", "A", "B"]
    assert result.settings["extractors"] == {"answer": repr(ChoiceLetter())}
    assert "parity" in run.tasks  # the caller's own task, unchanged


def test_a_group_is_averaged_by_the_letters() -> None:
    pair = Group(name="pair", members=("one", "two"), metrics={"one": "acc", "two": "acc"}, weighting="items")
    outer = Group(name="outer", members=("pair",), metrics="acc")
    tasks = [parity("one"), parity("two", description="Judge.\n\n"), pair, outer]
    selection = select("outer:cot", extra=tasks)
    assert list(selection.groups)[:2] == ["pair:cot", "outer:cot"]
    assert selection.groups["pair:cot"].group.metrics == METRIC
    run = evalkit.run(model=MockModel(texts=reply), tasks=["outer:cot", *tasks], limit="first:8")
    assert run.groups["outer:cot"].metrics[METRIC].value == 5 / 8
    assert run.groups["pair"].metrics.keys() == {"acc"}


def test_gsm8k_has_a_form_of_its_own() -> None:
    with pytest.raises(UsageError) as caught:
        select("gsm8k:cot")
    assert caught.value.hint == "use gsm8k_cot"
