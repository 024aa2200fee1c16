from typing import Any

import pytest

from evalkit.data import check_row

MMLU = {"question": str, "choices": [str], "answer": int}


def test_a_row_that_meets_the_schema() -> None:
    assert check_row({"question": "?", "choices": ["a", "b"], "answer": 1, "more": None}, MMLU) is None
    assert check_row({"choices": {"text": ["a"], "label": ["A"]}}, {"choices": {"text": [str], "label": [str]}}) is None
    assert check_row({"choices": []}, {"choices": [str]}) is None


@pytest.mark.parametrize(
    ("row", "columns", "problem"),
    [
        ({"answer": "B"}, {"answer": int}, "column 'answer' is str, expected int"),
        ({"answer": True}, {"answer": int}, "column 'answer' is bool, expected int"),
        ({"answer": None}, {"answer": int}, "column 'answer' is null, expected int"),
        ({"answer": 1.0}, {"answer": (int, str)}, "column 'answer' is float, expected int or str"),
        ({"choices": {}}, {"choices": {"text": [str]}}, "column 'choices.text' is missing (the row is empty)"),
        ({"a": 1}, {"b": int}, "column 'b' is missing (there are 'a')"),
        ({"choices": "abc"}, {"choices": [str]}, "column 'choices' is str, expected a list of str"),
        ({"choices": ["a", 3]}, {"choices": [str]}, "column 'choices[1]' is int, expected str"),
        ({"choices": ["a"]}, {"choices": {"text": [str]}}, "column 'choices' is list, expected a dict with 'text'"),
        ({"c": [{"t": 1}]}, {"c": [{"t": str}]}, "column 'c[0].t' is int, expected str"),
    ],
)
def test_says_what_is_wrong(row: dict[str, Any], columns: dict[str, Any], problem: str) -> None:
    assert check_row(row, columns) == problem


@pytest.mark.parametrize(
    ("value", "expected"), [(1, float), (None, (str, None)), ("x", (str, type(None))), ({}, object), (True, bool)]
)
def test_what_passes_for_what(value: Any, expected: Any) -> None:
    assert check_row({"column": value}, {"column": expected}) is None


def test_a_column_that_may_be_null_may_be_missing() -> None:
    assert check_row({}, {"hint": (str, None)}) is None
