from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.decoding import Decoding
from evalkit.errors import UsageError
from evalkit.requests import Completion, Failure, Generate, Generation, Response, Score
from evalkit.thinking import Thoughts, answer, find_tags, opens_thought, parse_tags

TAGS = ("<think>", "</think>")


@pytest.mark.parametrize(
    ("text", "opened", "rest"),
    [
        ("The answer is 4.", False, "The answer is 4."),
        (" untouched \n", False, " untouched \n"),
        ("<think>2+2</think>\n\nThe answer is 4.", False, "The answer is 4."),
        ("2+2</think>\n\n4", True, "4"),
        ("2+2</think>4", False, "4"),  # the opening tag stood in a prompt that we did not see
        ("<think>2+2</think>4", True, "4"),  # a model that repeats the tag its prompt ends with
        ("\n<think>\n2+2</think>4", True, "4"),
        ("<think><think>a</think>4", False, "4"),
        ("<think>a<think>b</think>c</think>4", False, "4"),
        ("<think>a</think>4<think>b</think> or 5", False, "4 or 5"),
        ("First. <think>a</think>4", False, "First. 4"),
        ("<think></think>4", False, "4"),
        ("<think>a</think>", False, ""),
        ("<think>a</think>4</think>5", False, "5"),
        ("<think>2+2", False, None),
        ("2+2", True, None),
        ("", True, None),
        ("4<think>or is it", False, None),
        ("<think>a<think>b</think>c", False, None),
        ("<THINK>a</THINK>4", False, "<THINK>a</THINK>4"),
        ("<think", False, "<think"),
    ],
)
def test_golden_texts(text: str, opened: bool, rest: str | None) -> None:
    assert Thoughts(TAGS, opened).answer(text) == rest


@settings(deadline=None)
@given(st.text(alphabet="ab \n<>/", max_size=40).filter(lambda text: "think>" not in text))
def test_a_text_without_tags_is_untouched(text: str) -> None:
    assert Thoughts(TAGS).answer(text) == text


ANSWER, THOUGHT = "0123456789 \n", "abcdef \n"


@st.composite
def thoughts(draw: st.DrawFn, depth: int = 0) -> str:
    parts = [draw(st.text(THOUGHT, min_size=1, max_size=5).filter(str.strip))]
    if depth < 3:
        parts += draw(st.lists(thoughts(depth + 1) | st.text(THOUGHT, max_size=5), max_size=3))
    return f"{TAGS[0]}{''.join(parts)}{TAGS[1]}"


@settings(deadline=None)
@given(st.lists(thoughts() | st.text(ANSWER, max_size=6), max_size=6), st.booleans(), st.data())
def test_no_thought_ever_survives(parts: list[str], opened: bool, data: st.DataObject) -> None:
    """Letters are thoughts, digits answers: wherever the text is cut, no letter is left, and whole texts keep all digits."""
    begun = data.draw(st.text(THOUGHT, min_size=1, max_size=5)) + TAGS[1] if opened else ""
    whole = begun + "".join(parts)
    rest = Thoughts(TAGS, opened).answer(whole)
    assert rest is not None
    outside = "".join(part for part in parts if not part.startswith(TAGS[0]))
    assert rest == outside or rest == outside.lstrip()
    cut = whole[: data.draw(st.integers(0, len(whole)))]
    rest = Thoughts(TAGS, opened).answer(cut)
    # half a tag at the cut is neither a thought nor an answer
    for length in range(1, len(TAGS[1])):
        rest = rest.removesuffix(TAGS[0][:length]).removesuffix(TAGS[1][:length]) if rest else rest
    assert rest is None or not set(rest) & set("abcdef")


def test_only_texts_of_requests_with_tags_are_cleaned() -> None:
    generation = Generation((Completion("<think>a</think>4", "stop", 5), Completion("<think>a", "length", 3)), 9)
    plain = Generate("2+2=", Decoding())
    assert answer(plain, generation) is generation
    response, failure = Response(-1.0, True, (-1.0,), 1), Failure("gone")
    assert answer(Score("a", "b"), response) is response
    thinking = Generate("2+2=", Decoding(thinking=TAGS))
    assert answer(thinking, failure) is failure
    cleaned = answer(thinking, generation)
    assert isinstance(cleaned, Generation)
    assert [(one.text, one.answered) for one in cleaned.completions] == [("4", True), ("", False)]
    assert cleaned.context_tokens == 9


def test_a_prompt_that_opens_the_thought() -> None:
    opening = Generate("<|assistant|>\n<think>\n", Decoding(thinking=TAGS))
    cleaned = answer(opening, Generation((Completion("2+2</think>4", "stop", 5), Completion("2+2", "stop", 1)), 9))
    assert isinstance(cleaned, Generation)
    assert [(one.text, one.answered) for one in cleaned.completions] == [("4", True), ("", False)]
    assert not opens_thought("<think>\n\n</think>\n\n", TAGS)


def test_a_prompt_that_speaks_of_tags_opens_no_thought() -> None:
    """Stops and scores read the text alike: what is an answer to one ends at the other's stop text."""
    request = Generate("System: start with <think>.\nQ: 1+1?\nA:", Decoding(stop=("\n",), thinking=TAGS))
    thoughts = Thoughts.after(request)
    assert thoughts == Thoughts(TAGS)
    assert (thoughts.answer("2\nQ:"), thoughts.first_stop("2\nQ:", request.decoding.stop)) == ("2\nQ:", 1)


@settings(deadline=None)
@given(st.lists(thoughts() | st.text(ANSWER, max_size=6), max_size=6), st.booleans())
def test_a_stop_text_is_part_of_the_answer(parts: list[str], opened: bool) -> None:
    whole = "a\n</think>" * opened + "".join(parts)
    thoughts = Thoughts(TAGS, opened)
    place = thoughts.first_stop(whole, ("\n",))
    if place is not None:
        assert thoughts.answer(whole[:place]) is not None
    # a line that ends with a digit of the answer ends the text; white space behind a thought is part of it and ends nothing,
    # also where digits stand before the thought
    assert not re.search(r"[0-9] *\n", whole[:place])


@pytest.mark.parametrize(
    ("template", "tokens", "tags"),
    [
        ("{{ x }}", ["<eos>"], None),
        ("{% if '</think>' in content %}", [], ("<think>", "</think>")),
        ("", ["<think>", "</think>", "<eos>"], ("<think>", "</think>")),
        ("", ["<think>"], None),
        ("", ["[THINK]", "[/THINK]"], ("[THINK]", "[/THINK]")),
    ],
)
def test_tags_are_found(template: str, tokens: list[str], tags: tuple[str, str] | None) -> None:
    assert find_tags(template, tokens) == tags


def test_tags_are_read() -> None:
    assert parse_tags("<a>, </a>") == ("<a>", "</a>")
    for wrong in ("<a>", "<a>,", ",</a>", "<a>,<a>"):
        with pytest.raises(UsageError, match="neither auto nor off"):
            parse_tags(wrong)
