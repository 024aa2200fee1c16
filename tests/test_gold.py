import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.errors import TaskDefinitionError
from evalkit.gold import Answer, GoldForm, infer_form, read_gold

CHOICES = ("red", "green", "blue", "grey")


def answers(*values: object) -> list[Answer]:
    return [Answer(value, CHOICES) for value in values]


@pytest.mark.parametrize(
    ("values", "form"),
    [
        ((0, 3, 1), "index"),
        (("0", "2"), "index"),
        ((1, 4), "number"),
        (("4",), "number"),
        (("A", "d"), "letter"),
        (("red", "grey"), "text"),
        (([0, 1], [2]), "index"),
    ],
)
def test_the_form_follows_from_all_rows(values: tuple[object, ...], form: GoldForm) -> None:
    assert infer_form(answers(*values), "quiz") == form


def test_two_readings_that_differ_are_an_error() -> None:
    with pytest.raises(
        TaskDefinitionError, match="answer 2 of row 0 may be an index counted from 0 or a number"
    ) as caught:
        infer_form(answers(2, 3, 1), "quiz")
    assert "gold_is: index" in (caught.value.hint or "")


def test_two_readings_that_agree_are_none() -> None:
    letters = [Answer(letter, ("A", "B", "C")) for letter in "ACB"]
    assert [read_gold(infer_form(letters, "quiz"), answer) for answer in letters] == [0, 2, 1]


def test_texts_that_look_like_indices_are_an_error() -> None:
    with pytest.raises(TaskDefinitionError, match="the text of a choice"):
        infer_form([Answer("0", ("1", "0"))], "quiz")


def test_the_row_that_breaks_the_form_is_named() -> None:
    with pytest.raises(TaskDefinitionError, match=r"answer 'F' of row 2 names none of its 4 choices .*letter"):
        infer_form(answers("A", "D", "F"), "quiz")


@pytest.mark.parametrize(
    ("form", "value"),
    [
        ("index", 4),
        ("index", -1),
        ("index", "one"),
        ("index", True),
        ("index", 1.0),
        ("number", 0),
        ("letter", "E"),
        ("letter", "AB"),
        ("letter", "ä"),
        ("text", "Red"),
        ("index", []),
        ("index", "²"),
    ],
)
def test_what_names_no_choice_is_an_error(form: GoldForm, value: object) -> None:
    with pytest.raises(ValueError, match=r"answer"):
        read_gold(form, Answer(value, CHOICES))


def test_a_text_that_two_choices_have_is_an_error() -> None:
    with pytest.raises(ValueError, match="several"):
        read_gold("text", Answer("a", ("a", "a")))


@given(st.integers(0, 3))
def test_all_forms_agree_on_the_choice(index: int) -> None:
    values: dict[GoldForm, object] = {
        "index": str(index),
        "number": index + 1,
        "letter": "ABCD"[index],
        "text": CHOICES[index],
    }
    assert {read_gold(form, Answer(value, CHOICES)) for form, value in values.items()} == {index}
