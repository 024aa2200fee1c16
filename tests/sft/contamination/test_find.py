"""Planted items are found, with the right evidence, and nothing else is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.errors import TrainingDataError
from evalkit.sft.contamination import BenchmarkItem, BenchmarkItems, find_contamination
from evalkit.sft.contamination import ngrams as ngrams_module
from evalkit.sft.contamination.forms import ngram_size
from evalkit.sft.contamination.words import words
from evalkit.sft.rows import Message, TrainingRow
from evalkit.training_data import ContaminationPolicy
from tests.sft.contamination.examples import FILLER, chat, found, item, long_items, multiple_choice, overlaps, plain

ITEMS = long_items()
SEVENTH = ITEMS[7]


def test_whole_item() -> None:
    rows = [plain(0, FILLER), chat(1, f"Please: {SEVENTH.question}", SEVENTH.answer), chat(2, FILLER, FILLER)]
    ((identity, overlap),) = overlaps(rows, ITEMS).items()
    assert identity == "id7"
    assert (overlap.evidence, overlap.coverage, overlap.rows) == ("question+answer", 1.0, (("train.jsonl", 1),))
    assert len(overlap.ngram.split()) == 13
    assert "q7w15 a7w0" in overlap.ngram


def test_case_punctuation_and_form_of_characters_do_not_hide_an_item() -> None:
    question = SEVENTH.question.upper().replace(" ", " — ").replace("Q7W3", "\uff317W3")
    assert overlaps([chat(0, question, f"*{SEVENTH.answer}*")], ITEMS)["id7"].coverage == 1.0


def test_a_half_copied_item_says_how_much() -> None:
    half = " ".join(f"{SEVENTH.question} {SEVENTH.answer}".split()[6:20])
    overlap = overlaps([plain(0, f"{FILLER} {half} {FILLER}")], ITEMS)["id7"]
    assert overlap.evidence == "question+answer"
    assert overlap.coverage == pytest.approx(14 / 24)


def test_question_and_answer_alone() -> None:
    items = [*ITEMS, item("essay", " ".join(f"x{n}" for n in range(14)), " ".join(f"y{n}" for n in range(14)))]
    question, answer = chat(0, SEVENTH.question, "I do not know"), plain(1, items[-1].answer)
    alone = overlaps([question, answer], items)
    assert {name: one.evidence for name, one in alone.items()} == {"id7": "question", "essay": "answer"}
    assert alone["id7"].coverage == pytest.approx(16 / 24)
    (task,) = found([question, answer], items).tasks
    assert task.question_only == 1
    both = chat(2, items[-1].question, f"{FILLER} {items[-1].answer}")
    assert overlaps([both], items)["essay"].evidence == "question+answer"
    apart = [plain(3, items[-1].question), plain(4, items[-1].answer)]
    assert overlaps(apart, items)["essay"].evidence == "answer", "no row has both"


def test_a_rewritten_item_is_not_found() -> None:
    rewritten = " and ".join(SEVENTH.question.split())
    assert overlaps([chat(0, rewritten, SEVENTH.answer)], ITEMS) == {}


def test_turns_texts_and_rejected_answers_are_all_searched() -> None:
    rows = [
        TrainingRow("a", 0, (Message("system", ITEMS[0].question), Message("user", "hi"), Message("assistant", "ho"))),
        chat(1, ITEMS[1].question, ITEMS[1].answer, "thanks", "you are welcome"),
        chat(2, ITEMS[2].question, "no idea", rejected=ITEMS[2].answer),
        plain(3, f"{FILLER}\n{ITEMS[3].whole}"),
    ]
    evidence = {name: one.evidence for name, one in overlaps(rows, ITEMS).items()}
    assert evidence == {"id0": "question", "id1": "question+answer", "id2": "question+answer", "id3": "question+answer"}


def test_words_do_not_run_from_one_row_into_the_next() -> None:
    first, second = SEVENTH.whole.split()[:12], SEVENTH.whole.split()[12:]
    assert overlaps([plain(0, " ".join(first)), plain(1, " ".join(second))], ITEMS) == {}


def test_five_rows_are_named_and_all_dropped() -> None:
    rows = [plain(n, SEVENTH.question) for n in range(8)] + [chat(8, SEVENTH.question, SEVENTH.answer)]
    contamination, dropped = find_contamination(rows, [BenchmarkItems("quiz", tuple(ITEMS))], "drop-train")
    assert dropped == {*(("texts.jsonl", n) for n in range(8)), ("train.jsonl", 8)}
    assert contamination.rows_found == 9
    (overlap,) = contamination.tasks[0].overlaps
    assert overlap.rows == (("train.jsonl", 8), *(("texts.jsonl", n) for n in range(4))), "the strongest first"


# --- multiple choice

OPTIONS = ["a red apple", "a green pear", "a yellow plum", "a blue grape"]
FRUIT = multiple_choice("fruit", "Which of these did the gardener of the old abbey pick on the first day?", OPTIONS, 1)


def test_an_option_is_the_answer_not_its_letter() -> None:
    assert FRUIT.answer == "a green pear"
    assert FRUIT.label == "B"
    without_options = chat(0, FRUIT.question, "a green pear")
    assert overlaps([without_options], [FRUIT])["fruit"].evidence == "question+answer"
    as_asked = chat(0, FRUIT.asked, "B")
    assert overlaps([as_asked], [FRUIT])["fruit"].evidence == "question+answer"
    assert overlaps([as_asked], [FRUIT])["fruit"].coverage == 1.0
    with_options = chat(0, FRUIT.asked, "A green pear.")
    assert overlaps([with_options], [FRUIT])["fruit"].evidence == "question+answer"
    other_template = chat(0, f"{FRUIT.asked} just the letter, please. Go:", "B")
    assert overlaps([other_template], [FRUIT])["fruit"].evidence == "question+answer"
    other_letter = chat(0, FRUIT.asked, "C")
    assert overlaps([other_letter], [FRUIT])["fruit"].evidence == "question"
    wrong = chat(0, FRUIT.question, "a blue grape")
    assert overlaps([wrong], [FRUIT])["fruit"].evidence == "question"


def test_a_long_option_alone_is_the_answer_alone() -> None:
    """Its words stand in the question too, where the options are shown."""
    options = [" ".join(f"o{n}w{place}" for place in range(15)) for n in range(4)]
    essay = multiple_choice("essay", FRUIT.question, options, 1)
    assert overlaps([plain(0, options[1])], [essay])["essay"].evidence == "answer"
    assert overlaps([plain(0, options[2])], [essay])["essay"].evidence == "question"


def test_every_right_answer_counts() -> None:
    question = "who was the first person that ever sailed alone around the whole wide world"
    several = item("sailor", question, "Joshua Slocum", "Captain Slocum of Nova Scotia", "Slocum")
    spoken = plain(0, "ever sailed alone around the whole wide world captain slocum of nova scotia")
    assert overlaps([spoken], [several])["sailor"].evidence == "question+answer"


# --- short items


def test_short_items_are_compared_as_a_whole() -> None:
    short = [*ITEMS, item("capital", "What is the capital of Peru?", "Lima")]
    (task,) = found([], short).tasks
    assert (task.n, task.unchecked) == (31, 1)
    for row in (
        chat(0, "what is the CAPITAL of Peru", "Lima."),
        chat(0, "Question: What is the capital of Peru?\nAnswer:", "It is Lima, of course."),
        plain(0, "Question: What is the capital of Peru?\nAnswer: Lima"),
        plain(0, "What is the capital of Peru? Lima"),
        chat(0, "hi", "ho", "What is the capital of Peru?", "Lima"),
        chat(0, "What is the capital of Peru?", "Quito", rejected="Lima"),
    ):
        overlap = overlaps([row], short)["capital"]
        assert (overlap.evidence, overlap.coverage) == ("exact", 1.0), row
    alone = overlaps([chat(0, "What is the capital of Peru?", "Quito")], short)["capital"]
    assert (alone.evidence, alone.coverage) == ("question", pytest.approx(6 / 7))
    assert overlaps([chat(0, "What is the capital of Chile?", "Santiago")], short) == {}
    assert overlaps([plain(0, f"{FILLER} What is the capital of Peru? Lima {FILLER}")], short) == {}


def test_a_very_short_question_says_nothing_alone_and_signs_count() -> None:
    short = [item("sum", "Compute 3 + 5", "8"), item("hello", "Hello there", "General Kenobi")]
    assert set(overlaps([chat(0, "compute 3 + 5.", "8")], short)) == {"sum"}
    assert overlaps([chat(0, "compute 3 * 5", "8 or 15")], short) == {}
    assert overlaps([chat(0, "Hello there!", "Hi")], short) == {}


def test_a_short_stem_with_long_options_is_compared_too() -> None:
    asked = multiple_choice("rh", "The Rh factor is:", [f"{FILLER} {n}" for n in range(4)], 2)
    asked = BenchmarkItem(asked.id, asked.question, ("a protein",), asked.asked, "C")
    assert overlaps([chat(0, "The Rh factor is", "a protein")], [*ITEMS, asked])["rh"].evidence == "exact"


# --- phrases of the benchmark


def test_boilerplate_is_no_contamination() -> None:
    preamble = "Read the following passage with care and then answer the question that stands below it in one word"
    items = [item(one.id, f"{preamble}: {one.question}", one.answer) for one in ITEMS]
    rows = [chat(0, f"{preamble}: {FILLER}?", "yes")]
    (task,) = found(rows, items).tasks
    assert task.overlaps == ()
    assert task.common == len(words(preamble)) - 13 + 1
    (pair,) = found(rows, items[:2]).tasks
    assert len(pair.overlaps) == 2, "two items may share a passage"


def test_boilerplate_is_counted_over_all_tasks() -> None:
    phrase = "which of the following four is the best example of what is called a"
    tasks = [BenchmarkItems(f"t{n}", (item(f"id{n}", f"{phrase} term{n}?", f"y{n}"),)) for n in range(3)]
    rows = [chat(0, f"{phrase} thing?", "z")]
    assert find_contamination(rows, tasks, "flag-eval")[0].found == 0
    assert find_contamination(rows, tasks[:2], "flag-eval")[0].found == 2


def test_copies_of_an_item_are_no_boilerplate() -> None:
    copies = [item(identity, SEVENTH.question, SEVENTH.answer) for identity in ("x", "x#2", "x#3")]
    assert set(overlaps([chat(0, SEVENTH.question, SEVENTH.answer)], copies)) == {"x", "x#2", "x#3"}
    forms = [BenchmarkItems(name, (item("x", f"{name} {SEVENTH.question}", name),)) for name in ("a", "b", "c")]
    assert find_contamination([plain(0, SEVENTH.question)], forms, "flag-eval")[0].found == 3


def test_an_item_that_is_all_boilerplate_is_unchecked() -> None:
    shared = " ".join(f"w{n}" for n in range(20))
    items = [item("bare", shared), item("one", f"one {shared}"), item("two", f"two {shared}"), *ITEMS]
    rows = [plain(0, shared), chat(1, shared, "well")]
    (task,) = found(rows, items).tasks
    assert (task.unchecked, task.common) == (1, 8)
    (overlap,) = task.overlaps
    assert (overlap.id, overlap.evidence) == ("bare", "exact")
    assert overlaps(rows[1:], items)["bare"].evidence == "question"


# --- scripts


def test_chinese() -> None:
    items = [
        item("长", "中华人民共和国的首都是哪一座城市，它位于哪条河流的流域之内？", "北京，海河流域"),
        item("短", "水的化学式？", "H2O"),
        *ITEMS,
    ]
    rows = [
        chat(0, "中华人民共和国的首都是哪一座城市,它位于哪条河流的流域之内", "北京 海河流域"),
        chat(1, "水的化学式", "H2O"),
    ]
    chinese = overlaps(rows, items)
    assert (chinese["长"].evidence, chinese["长"].coverage) == ("question+answer", 1.0)
    assert chinese["短"].evidence == "exact"
    assert len(chinese["长"].ngram) == 13, "shown without spaces"
    assert overlaps([chat(0, "中华人民共和国的首都叫什么名字", "北京")], items) == {}


# --- policies


def test_policies() -> None:
    rows, items = [plain(0, FILLER), chat(1, SEVENTH.question, SEVENTH.answer)], [BenchmarkItems("quiz", tuple(ITEMS))]
    for policy in get_args(ContaminationPolicy):
        if policy == "fail":
            continue
        contamination, dropped = find_contamination(rows, items, policy)
        assert dropped == ({("train.jsonl", 1)} if policy == "drop-train" else frozenset())
        assert (contamination.policy, contamination.rows, contamination.rows_found, contamination.found) == (
            *(policy, 2, 1, 1),
        )
        assert contamination.seconds > 0
    with pytest.raises(TrainingDataError) as caught:
        find_contamination(rows, items, "fail")
    assert caught.value.exit_code == 2
    assert "1 of 2 training rows" in caught.value.message
    assert "quiz 1 of 30" in caught.value.message
    assert "row 2 of train.jsonl" in caught.value.message
    assert "drop-train" in (caught.value.hint or "")
    find_contamination(rows[:1], items, "fail")


def test_nothing_at_all() -> None:
    for rows, items in (([], ITEMS), ([plain(0, "")], ITEMS), ([plain(0, FILLER)], []), ([], [item("x", "", "")])):
        contamination, dropped = find_contamination(rows, [BenchmarkItems("quiz", tuple(items))], "drop-train")
        assert (contamination.found, dropped) == (0, frozenset())
    assert find_contamination([plain(0, FILLER)], [], "drop-train")[0].tasks == ()


# --- outside truth


def test_size_of_ngrams() -> None:
    """Brown et al. 2020, appendix C: the 5th percentile of the lengths, at least 8 and at most 13."""
    assert ngram_size([3] * 100) == 8
    assert ngram_size([50] * 100) == 13
    assert ngram_size([10] * 6 + [50] * 94) == 10
    assert ngram_size([10] * 4 + [50] * 96) == 13


WORDS = st.lists(st.sampled_from("abcd"), max_size=40).map(" ".join)


def windows(text: Sequence[str], n: int) -> Iterator[tuple[str, ...]]:
    return (tuple(text[place : place + n]) for place in range(len(text) - n + 1))


@given(st.lists(st.tuples(WORDS, WORDS), max_size=8), st.lists(WORDS, max_size=8))
def test_naive_reference(pairs: list[tuple[str, str]], rows: list[str]) -> None:
    """Every item against every row, n-gram by n-gram."""
    items = [item(f"id{n}", question, answer) for n, (question, answer) in enumerate(pairs)]
    texts = [[*question.split(), *answer.split()] for question, answer in pairs]
    (task,) = found([plain(n, text) for n, text in enumerate(rows)], items).tasks
    n = task.ngram
    known = [ngram for text in {tuple(text) for text in texts} for ngram in set(windows(text, n))]
    unique = {ngram for ngram in known if known.count(ngram) < 3}
    got = {one.id: one for one in task.overlaps if one.evidence != "exact" and len(one.ngram.split()) == n}
    for place, (text, (question, _)) in enumerate(zip(texts, pairs, strict=True)):
        boundary = len(question.split())
        told = min(3, len(text) - boundary)
        kinds, covered, held = set(), set(), set()
        for at, row in enumerate(rows):
            theirs = set(windows(row.split(), n)) & unique
            starts = [start for start, ngram in enumerate(windows(text, n)) if ngram in theirs]
            held |= {at} if starts else set()
            covered |= {start + step for start in starts for step in range(n)}
            kinds |= {
                "answer" if start >= boundary else "question+answer" if 0 < told <= start + n - boundary else "question"
                for start in starts
            }
        assert (f"id{place}" in got) == bool(held)
        if held:
            overlap = got[f"id{place}"]
            assert overlap.coverage == pytest.approx(len(covered) / len(text))
            assert {row for _, row in overlap.rows} <= held
            assert len(overlap.rows) == min(5, len(held))
            if len(kinds) == 1:
                assert overlap.evidence == kinds.pop()
    unchecked = sum(not set(windows(text, n)) & unique for text in texts)
    assert task.unchecked == unchecked
    assert task.common == len(set(known) - unique)


@given(
    st.lists(st.lists(st.sampled_from("abc"), min_size=13, max_size=30).map(" ".join), min_size=1, max_size=2), WORDS
)
def test_lm_evals_janitor_finds_the_same(items: list[str], row: str) -> None:
    from lm_eval.decontamination.janitor import Janitor

    dirty = set()
    for place, text in enumerate(items):
        janitor = Janitor(window_to_remove=0, minimum_slice_length=-1)
        janitor.register_contaminant_python(text)
        if "".join(janitor.clean_python(row)) != row:
            dirty.add(f"id{place}")
    ours = overlaps([plain(0, row)], [item(f"id{n}", text) for n, text in enumerate(items)])
    assert {name for name, one in ours.items() if one.evidence == "question"} == dirty


def test_equal_hashes_are_no_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a hash that is the same for all n-grams the words decide."""
    mixed = ngrams_module._mixed
    rows = [chat(0, SEVENTH.question, SEVENTH.answer), *(plain(n, ITEMS[n].whole[::-1]) for n in range(1, 5))]
    expected = overlaps(rows, ITEMS[6:8])
    assert set(expected) == {"id7"}
    monkeypatch.setattr(ngrams_module, "_mixed", lambda numbers: mixed(numbers * np.uint64(0)))
    monkeypatch.setattr("evalkit.sft.contamination.forms.COMMON", 3)
    assert overlaps(rows, ITEMS[6:8]) == expected


def test_order_and_portions_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [chat(n, one.question, one.answer) for n, one in enumerate(ITEMS[:10])] + [
        plain(n, FILLER) for n in range(9)
    ]
    whole = found(rows, ITEMS).tasks
    monkeypatch.setattr("evalkit.sft.contamination.find._CHUNK", 1)
    assert found(rows, ITEMS).tasks == whole
    turned = found(rows[::-1], ITEMS).tasks
    assert [one.id for one in turned[0].overlaps] == [one.id for one in whole[0].overlaps]
