import gzip
import json
from pathlib import Path

import pytest

from evalkit.data import olmo
from evalkit.errors import DataError


def write_requests(package: Path, name: str, documents: list[dict[str, object]]) -> None:
    path = package / "oe_eval_tasks" / name / "requests.jsonl.gz"
    path.parent.mkdir(parents=True)
    requests = [{"native_id": document["id"], "doc": document} for document in documents for _ in range(4)]
    path.write_bytes(gzip.compress("".join(json.dumps(request) + "\n" for request in requests).encode()))


def test_documents_come_once_and_in_order(tmp_path: Path) -> None:
    documents: list[dict[str, object]] = [
        {"id": "b", "query": "Question: Two\nlines?\nAnswer:", "choices": ["x", "y", "z", "u", "v"], "gold": 4},
        {"id": "a", "query": "Question: Question: ?\nAnswer:", "choices": ["x", "y"], "gold": 0},
    ]
    write_requests(tmp_path, "arc_easy/test_rc_5shot", documents)
    assert olmo._rebuild(olmo._arc, "arc_easy/test_rc_5shot")(tmp_path).to_pylist() == [
        {
            "id": "b",
            "question": "Two\nlines?",
            "choices": {"text": ["x", "y", "z", "u", "v"], "label": ["A", "B", "C", "D", "E"]},
            "answerKey": "E",
        },
        {
            "id": "a",
            "question": "Question: ?",
            "choices": {"text": ["x", "y"], "label": ["A", "B"]},
            "answerKey": "A",
        },
    ]


def test_an_unexpected_form_is_told(tmp_path: Path) -> None:
    write_requests(tmp_path, "x", [{"id": 1, "query": "Q: ?", "choices": ["x"], "gold": 0}])
    with pytest.raises(DataError, match="unexpected content: the request 'Q:"):
        olmo._rebuild(olmo._arc, "x")(tmp_path)
    with pytest.raises(DataError, match="no data in nowhere"):
        olmo._copy("nowhere")(tmp_path)


def test_boolq_keeps_a_passage_that_looks_like_a_question() -> None:
    query = "Title -- Text\nQuestion: not this?\nmore text\nQuestion: is it?\nAnswer:"
    assert olmo._boolq({"query": query, "choices": ["yes", "no"], "gold": 0, "idx": 7}) == {
        "question": "is it",
        "passage": "Title -- Text\nQuestion: not this?\nmore text",
        "idx": 7,
        "label": 1,
    }
