"""Extractors find what lm-eval's filters find, and final letters however they are dressed."""

import random
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from evalkit.documents import OpenQuestion
from evalkit.extraction import LETTERS, NUMBER, ChoiceLetter, Extractor, Pattern, Whole, extract

STRICT = r"#### (\-?[0-9\.\,]+)"
FLEXIBLE = r"(-?[$0-9.,]{2,})|(-?[0-9]+)"
COT = r"The answer is (\-?[0-9\.\,]+)."
BBH = r"(?<=the answer is )(.*)(?=.)"
PIECES = [
    "#### ",
    "-1,234.50",
    "$5",
    "7",
    ".",
    ",",
    " ",
    "\n",
    "The answer is ",
    "the answer is ",
    "(A)",
    "x",
    "True",
    "$",
]

texts = st.one_of(st.text(max_size=40), st.lists(st.sampled_from(PIECES), max_size=12).map("".join))


@pytest.mark.filterwarnings("ignore")
@settings(deadline=None, max_examples=300)  # the first example imports lm-eval
@given(texts, st.sampled_from([STRICT, FLEXIBLE, COT, BBH, r"\d+", r"(a)|(b)?x"]), st.sampled_from([0, -1]))
@example("A: 1 and 2,000.", FLEXIBLE, -1)
@example("the answer is .", BBH, 0)
@example("x", r"(a)|(b)?x", 0)
def test_a_pattern_finds_what_lm_evals_filter_finds(text: str, pattern: str, place: int) -> None:
    extraction = pytest.importorskip("lm_eval.filters.extraction")
    selection = pytest.importorskip("lm_eval.filters.selection")
    found = extraction.RegexFilter(pattern, group_select=place).apply([[text]], [{}])
    (theirs,) = selection.TakeFirstFilter().apply(found, [{}])
    assert Pattern(pattern, place)(text) == (None if theirs in ("[invalid]", "") else theirs)


@pytest.mark.filterwarnings("ignore")
@settings(deadline=None)
@given(texts)
def test_the_whole_text_is_lm_evals_without_white_space(text: str) -> None:
    extraction = pytest.importorskip("lm_eval.filters.extraction")
    ((theirs,),) = extraction.WhitespaceFilter().apply([[text]], [{}])
    assert (Whole()(text) or "") == theirs


def test_a_place_that_is_not_there_is_no_answer() -> None:
    assert Pattern(r"\d", place=1)("only 1") is None
    assert Pattern(r"\d", place=1)("1 and 2") == "2"
    assert Pattern("the (CAT)", ignore_case=True)("The cat") == "cat"


def test_the_last_number() -> None:
    assert NUMBER("First 3, then $1,200.50 in all") == "$1,200.50"
    assert NUMBER("none") is None
    assert isinstance(NUMBER, Extractor)


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("So the answer is (B).", "B"),
        ("The answer is (A). No, wait: the answer is (C).", "C"),
        ("The answer is **D**.", "D"),
        ("**Answer: (b)**", "B"),
        ("**Answer:** B", "B"),
        ("the answer is b", "B"),
        ("The answer is b.", "B"),
        ("The correct answer is: C, because", "C"),
        ("The answer is \\boxed{D}.", "D"),
        (r"the answer is $\boxed{\text{A}}$", "A"),
        (r"Thus \boxed{B}", "B"),
        ("The answer is option C", "C"),
        ("The best answer would be (E)", "E"),
        ("The answer is most likely B.", "B"),
        ("答案是B", "B"),
        ("因此，答案为：**C**。", "C"),
        ("答案：D", "D"),
        ("所以选A。", "A"),
        ("正确答案是（B）。", "B"),
        ("B", "B"),
        ("(c)", "C"),
        ("**B**", "B"),
        ("B. granite", "B"),
        ("Both are stones.\nA", "A"),
        ("It cannot be (A), so (C) it is.", "C"),
        ("The answer is A because it floats", "A"),
        # nothing is settled
        ("The answer is a triangle.", None),
        ("The answer is I think unknown", None),
        ("The answer is Berlin.", None),
        ("A dog barks. I do not know.", None),
        ("The answer is 42", None),
        ("I have no answer", None),
        ("", None),
    ],
)
def test_the_final_letter(text: str, letter: str | None) -> None:
    assert ChoiceLetter()(text) == letter


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ('The answer is (B). As asked: "The answer is (X)."', "B"),
        ("The answer is (X).", None),
        ("Thus \\boxed{x}, so (B).", "B"),
        ("I do not know.\nI", None),
        ("I do not know.\nd", "D"),
        ("(E)", None),
    ],
)
def test_only_letters_of_the_question_count(text: str, letter: str | None) -> None:
    question = OpenQuestion("Q?", "A", details={LETTERS: "ABCD"})
    assert extract(ChoiceLetter(), question, text) == letter
    assert extract(Whole(), question, text) == Whole()(text)
    assert ChoiceLetter().of(OpenQuestion("Q?", "A")) == ChoiceLetter()


@given(st.text(max_size=80))
def test_a_letter_is_one_upper_case_letter_or_none(text: str) -> None:
    found = ChoiceLetter()(text)
    assert found is None or re.fullmatch("[A-Z]", found)


def test_long_replies_take_no_time() -> None:
    generator = random.Random(1)
    text = "".join(generator.choices(["answer is ", "* ", "(", "{", "\\boxed{", "选", " ", "答案"], k=20000))
    ChoiceLetter()(text)
