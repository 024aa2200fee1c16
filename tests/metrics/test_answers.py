from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.documents import OpenQuestion
from evalkit.errors import TaskDefinitionError
from evalkit.metrics import text_metric

WORDS = st.lists(
    st.sampled_from(["the", "The", "a", "cat", "Cat.", "sat", "on,", "mat", "42", "-", "an", "ünder"]), max_size=6
)


def value(name: str, text: str | None, *references: str) -> float | None:
    return text_metric(name).value(OpenQuestion("q", references[0], references), text)


@pytest.mark.filterwarnings("ignore")
@given(WORDS.map(" ".join), WORDS.map(" ".join))
def test_exact_match_and_f1_are_squads(text: str, reference: str) -> None:
    oracle = pytest.importorskip("transformers.data.metrics.squad_metrics")
    assert value("token_f1", text, reference) == pytest.approx(oracle.compute_f1(reference, text), abs=1e-15)
    assert value("quasi_exact_match", text, reference) == oracle.compute_exact(reference, text)


def test_the_best_reference_counts() -> None:
    assert value("token_f1", "big red dog", "a cat", "the red dog") == pytest.approx(0.8)
    assert value("quasi_exact_match", " The Dog!", "a cat", "dog") == 1.0
    assert value("quasi_exact_match", None, "dog") == 0.0


@pytest.mark.parametrize(
    ("text", "reference", "expected"),
    [
        ("It is  Paris, I think", "paris", 1.0),
        ("I know", "no", 0.0),
        ("no: know", "no", 1.0),
        ("New\nYork City", "new york", 1.0),
        ("C++ it is", "C++", 1.0),
        ("首都是北京。", "北京", 1.0),
        ("서울은 수도다", "서울", 1.0),
        ("Straße 5", "strasse", 1.0),
        ("", "Paris", 0.0),
        (None, "Paris", 0.0),
        ("anything", "", 0.0),
    ],
)
def test_contains_looks_for_whole_words(text: str | None, reference: str, expected: float) -> None:
    assert value("contains", text, "something else", reference) == expected


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("exact_matsh", "no metric of generated text named 'exact_matsh'", "exact_match"),
        ("token_f1?beta=2", "takes no options", "token_f1"),
        ("bleu?tok=zh", "no option 'tok'", "tokenize"),
        ("bleu?lowercase=perhaps", "lowercase is 'perhaps'", "bool"),
        ("bleu?lowercase", "has no value", "option=value"),
        ("rouge1?tokens=letters", "no tokens 'letters'", "characters"),
    ],
)
def test_unknown_names_and_options_are_refused(name: str, message: str, hint: str) -> None:
    with pytest.raises(TaskDefinitionError, match=message.replace("?", ".")) as caught:
        text_metric(name)
    assert hint in (caught.value.hint or "")
