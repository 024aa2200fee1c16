import datetime
import hashlib

import pytest

from evalkit.data import DatasetInfo, Rows, content_sha256, document_id


def test_document_id_is_the_hash_of_the_sorted_json() -> None:
    expected = hashlib.sha256('{"a":"é","b":[1,null]}'.encode()).hexdigest()[:16]
    assert document_id({"b": [1, None], "a": "é"}) == expected


def test_content_and_order_count() -> None:
    rows = [{"a": 1}, {"a": 2}]
    assert content_sha256(rows) == hashlib.sha256(b'{"a":1}\n{"a":2}\n').hexdigest()
    assert content_sha256(rows) != content_sha256(rows[::-1])
    assert document_id({"a": 1}) != document_id({"a": "1"})


@pytest.mark.parametrize("value", [b"\xff", datetime.date(2020, 1, 2), "\ud800", float("nan")])
def test_values_that_json_has_no_word_for(value: object) -> None:
    assert len(document_id({"a": value})) == 16


def test_rows_are_a_sequence() -> None:
    rows = Rows([{"a": 1}, {"a": 2}], DatasetInfo("x", None, "test", None, "file", "0"))
    assert len(rows) == 2
    assert rows[1] == {"a": 2}
    assert list(rows[:1]) == [{"a": 1}]
