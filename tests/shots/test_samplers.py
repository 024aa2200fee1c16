from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.documents import Cloze, Document, MultipleChoice, OpenQuestion
from evalkit.errors import UsageError
from evalkit.prompts import draw_shots
from evalkit.shots import ShotSource, depends_on_seed, sampler
from evalkit.task import DataSource, Row, Task


def choice(row: Row) -> Document:
    return MultipleChoice(row["q"], ["a", "b", "c"], row["n"] % 3)


BASE = Task(
    name="quiz",
    data=DataSource(id="org/quiz", split="test", shots_split="train"),
    document=choice,
    metrics=("acc",),
    shots=4,
)


def rows(count: int, start: int = 0) -> list[Row]:
    return [{"q": f"question {number}", "n": number} for number in range(start, start + count)]


def source(documents: list[Row], pool: list[Row], **changes: object) -> ShotSource:
    task = replace(BASE, **changes)  # type: ignore[arg-type]
    return ShotSource(
        task, documents, pool, lambda place: task.document(documents[place]), lambda place: task.document(pool[place])
    )


def test_lm_eval_is_its_sequence_with_the_seed_given() -> None:
    one = source(rows(9, 100), rows(30))
    assert sampler("lm-eval", 7).draw(one, [3, 0]) == draw_shots(one.task, one.documents, one.pool, [3, 0], 7)


@pytest.mark.parametrize("name", ["fixed", "balanced"])
def test_one_set_for_all_documents(name: str) -> None:
    drawn = sampler(name, 1).draw(source(rows(50, 100), rows(30)), range(50))
    assert len(set(drawn)) == 1
    assert len(set(drawn[0])) == 4
    others = {tuple(sampler(name, seed).draw(source(rows(1, 100), rows(30)), [0])[0]) for seed in range(20)}
    assert len(others) > 10


@pytest.mark.parametrize("name", ["fixed", "random", "balanced"])
def test_a_document_is_not_its_own_example_nor_are_its_copies(name: str) -> None:
    documents = rows(12)
    pool = documents * 2
    drawn = sampler(name, 3).draw(source(documents, pool), range(12))
    for index, shots in enumerate(drawn):
        assert len(set(shots)) == 4
        assert documents[index] not in [pool[shot] for shot in shots]


def test_only_documents_among_the_fixed_examples_get_others_and_only_one() -> None:
    documents = rows(40)
    drawn = sampler("fixed", 5).draw(source(documents, documents), range(40))
    ((common, count),) = Counter(drawn).most_common(1)
    assert count == 36
    for index, shots in enumerate(drawn):
        assert shots == common or (index in common and len(set(shots) & set(common)) == 3)


def test_balanced_replaces_by_the_same_label() -> None:
    documents = rows(30)
    for shots in sampler("balanced", 2).draw(source(documents, documents, shots=6), range(30)):
        assert Counter(shot % 3 for shot in shots) == {0: 2, 1: 2, 2: 2}


def test_balanced_with_a_remainder_is_one_apart() -> None:
    counts = {
        tuple(sorted(Counter(shot % 3 for shot in sampler("balanced", seed).draw(source(rows(1, 99), rows(30)), [0])[0])
        .values()))
        for seed in range(9)
    }  # fmt: skip
    assert counts == {(1, 1, 2)}


def test_balanced_open_questions_by_answer() -> None:
    one = source(rows(1, 99), rows(30), document=lambda row: OpenQuestion(row["q"], "yes" if row["n"] < 3 else "no"))
    (shots,) = sampler("balanced", 0).draw(one, [0])
    assert Counter(shot < 3 for shot in shots) == {True: 2, False: 2}


def test_nothing_to_balance() -> None:
    with pytest.raises(UsageError, match="quiz has free answers, 30 different ones"):
        sampler("balanced", 0).draw(
            source(rows(1), rows(30), document=lambda row: OpenQuestion(row["q"], row["q"])), [0]
        )
    with pytest.raises(UsageError, match="all examples have the same answer"):
        sampler("balanced", 0).draw(source(rows(1), rows(30), document=lambda row: Cloze(row["q"], "x")), [0])
    few: list[Row] = [*rows(1), *({"q": f"b{number}", "n": 1} for number in range(9)), {"q": "c", "n": 2}]
    with pytest.raises(UsageError, match="only 1 rows of one of its labels"):
        sampler("balanced", 0).draw(source(rows(1, 50), few, shots=6), [0])


@settings(deadline=None)
@given(st.lists(st.integers(0, 29), min_size=1, max_size=8), st.sampled_from(["fixed", "random", "balanced"]))
def test_a_draw_depends_on_nothing_else_that_is_evaluated(wanted: list[int], name: str) -> None:
    documents, pool = rows(30), rows(20, 15)
    everything = sampler(name, 9).draw(source(documents, pool), range(30))
    assert sampler(name, 9).draw(source(documents, pool), wanted) == [everything[index] for index in wanted]
    order = list(range(30))
    random.Random(0).shuffle(order)
    shuffled = sampler(name, 9).draw(source([documents[place] for place in order], pool), range(30))
    assert shuffled == [everything[place] for place in order]


def test_random_is_even_and_another_for_each_document_and_seed() -> None:
    one = source(rows(400, 100), rows(10), shots=2)
    drawn = sampler("random", 0).draw(one, range(400))
    first = Counter(shots[0] for shots in drawn)
    # 400 draws of 10: 40 each, standard deviation 6
    assert all(20 <= first[place] <= 60 for place in range(10))
    assert len(set(drawn)) > 80
    assert sampler("random", 1).draw(one, range(400)) != drawn


@pytest.mark.parametrize("name", ["fixed", "random"])
def test_too_small_a_pool(name: str) -> None:
    documents = rows(4)
    with pytest.raises(
        UsageError, match=r"draws 4 few-shot examples from split train of org/quiz, which has only 3 rows"
    ):
        sampler(name, 0).draw(source(documents, documents), [0])


def test_an_unknown_way_names_those_there_are() -> None:
    with pytest.raises(UsageError) as caught:
        sampler("best", 0)
    assert "balanced" in (caught.value.hint or "")


def test_what_depends_on_the_seed() -> None:
    assert depends_on_seed("lm-eval", BASE)
    assert depends_on_seed("fixed", BASE)
    assert not depends_on_seed("nearest", BASE)
    assert not depends_on_seed("lm-eval", replace(BASE, shots_sampler="first"))
    assert depends_on_seed("random", replace(BASE, shots_sampler="first"))
    assert not depends_on_seed("random", replace(BASE, shots=0))
