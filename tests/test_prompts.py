import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.documents import Candidate, MultipleChoice
from evalkit.errors import DataError, UsageError
from evalkit.prompts import Prompt, build_prompt, draw_shots, join_instructions
from evalkit.task import DataSource, Row, Task

PROMPT = Prompt("Do it.\n\n", (Candidate("1+1=", "2"), Candidate("2+2=", "4")), "3+3=", " ", "\n\n")


def task(shots: int, **settings: object) -> Task:
    def document(row: Row) -> MultipleChoice:
        return MultipleChoice(row["q"], ["a", "b"], 0)

    source = DataSource(id="org/quiz", split="test", shots_split="train")
    base = Task(name="quiz", data=source, document=document, metrics=("acc",), shots=shots)
    return replace(base, **settings)  # type: ignore[arg-type]


def rows(count: int, start: int = 0) -> list[Row]:
    return [{"q": f"question {number}", "nested": {"list": [number]}} for number in range(start, start + count)]


def test_text_is_description_examples_and_question() -> None:
    assert PROMPT.text() == "Do it.\n\n1+1= 2\n\n2+2= 4\n\n3+3="


def test_shared_ends_where_the_question_begins() -> None:
    assert PROMPT.text()[PROMPT.shared() :] == "3+3="


def test_first_example_goes_first() -> None:
    shorter = PROMPT.without_first_shot()
    assert shorter.text() == "Do it.\n\n2+2= 4\n\n3+3="
    assert shorter.without_first_shot().without_first_shot().text() == "Do it.\n\n3+3="


def test_messages_are_turns() -> None:
    assert PROMPT.messages() == [
        {"role": "system", "content": "Do it.\n\n"},
        {"role": "user", "content": "1+1="},
        {"role": "assistant", "content": "2"},
        {"role": "user", "content": "2+2="},
        {"role": "assistant", "content": "4"},
        {"role": "user", "content": "3+3="},
    ]


def test_messages_with_the_examples_in_one_turn() -> None:
    assert PROMPT.messages("Be brief.", multiturn=False) == [
        {"role": "system", "content": "Be brief.\n\nDo it.\n\n"},
        {"role": "user", "content": "1+1= 2\n\n2+2= 4\n\n3+3="},
    ]


def test_no_instruction_gives_no_system_turn() -> None:
    assert [turn["role"] for turn in replace(PROMPT, description="", shots=()).messages()] == ["user"]


@pytest.mark.parametrize(
    ("system", "description", "joined"),
    [
        ("A", "B", "A\n\nB"),
        ("A\n", "B", "A\nB"),
        ("A", " B", "A B"),
        (None, "B", "B"),
        ("A", "", "A"),
        (None, "", ""),
    ],
)
def test_instructions_are_joined(system: str | None, description: str, joined: str) -> None:
    assert join_instructions(system, description, "\n\n") == joined


def test_system_instruction_in_plain_text_equals_that_in_a_chat() -> None:
    one = task(0, description="Choose.\n")
    assert build_prompt(one, (), "Q", system="Be brief.").text() == "Be brief.\n\nChoose.\nQ"
    assert build_prompt(one, (), "Q").messages("Be brief.")[0]["content"] == "Be brief.\n\nChoose.\n"


def test_no_shots_take_no_pool() -> None:
    assert draw_shots(task(0), rows(3), [], [2, 0]) == [(), ()]


def test_nothing_wanted_gives_nothing() -> None:
    assert draw_shots(task(3), rows(3), rows(9), []) == []


def test_draws_are_those_of_one_generator_in_data_set_order() -> None:
    generator = random.Random(1234)
    pool = rows(40)
    expected = [generator.sample(pool, 4) for _ in range(20)]
    drawn = draw_shots(task(4), rows(20, 100), pool, range(20))
    assert [[pool[index] for index in indices] for indices in drawn] == expected


@given(st.lists(st.integers(0, 29), max_size=8), st.booleans())
def test_a_draw_does_not_depend_on_what_else_is_wanted(wanted: list[int], exclude_self: bool) -> None:
    one = task(3, shots_exclude_self=exclude_self)
    documents = rows(30)
    pool = documents[10:20] * 2
    everything = draw_shots(one, documents, pool, range(30))
    assert draw_shots(one, documents, pool, wanted) == [everything[index] for index in wanted]


def test_the_document_itself_is_no_example() -> None:
    documents = rows(8)
    drawn = draw_shots(task(5, shots_exclude_self=True), documents, documents, range(8))
    assert all(index not in indices and len(set(indices)) == 5 for index, indices in enumerate(drawn))


def test_first_takes_the_first() -> None:
    documents = rows(3)
    assert draw_shots(task(2, shots_sampler="first"), documents, rows(5, 50), [0, 2]) == [(0, 1), (0, 1)]
    excluding = task(2, shots_sampler="first", shots_exclude_self=True)
    assert draw_shots(excluding, documents, documents, [0, 1, 2]) == [(1, 2), (0, 2), (0, 1)]


@pytest.mark.parametrize("sampler", ["random", "first"])
@pytest.mark.parametrize("exclude_self", [False, True])
def test_too_small_a_pool_names_task_split_and_sizes(sampler: str, exclude_self: bool) -> None:
    small = task(5, shots_sampler=sampler, shots_exclude_self=exclude_self)
    with pytest.raises(DataError, match=r"task quiz draws 5 .* split train of org/quiz, which has only 4 rows"):
        draw_shots(small, rows(2), rows(4, 9), [0])


def test_copies_of_the_document_can_make_the_pool_too_small() -> None:
    documents = rows(1)
    with pytest.raises(DataError, match="has only 2 rows"):
        draw_shots(task(3, shots_exclude_self=True), documents, documents * 9 + rows(2, 5), [0])


def test_a_negative_number_of_shots_is_refused() -> None:
    with pytest.raises(UsageError):
        draw_shots(task(-1), rows(1), rows(1), [0])
