"""The starter sets are read like a user's own files, and keep what their README.md promises."""

from pathlib import Path
from typing import Any

import pytest

from evalkit.data import DataOptions, Rows, document_id, load_rows
from evalkit.task import DataSource

FOLDER = Path(__file__).parents[2] / "tasks"


def load(name: str, columns: dict[str, Any]) -> Rows:
    source = DataSource(files={"test": f"starter/{name}.jsonl"}, base=str(FOLDER))
    rows = load_rows(source, "test", columns, DataOptions())
    assert rows.info.source == "file"
    assert len({document_id(row) for row in rows}) == len(rows) >= 60
    return rows


def test_truthful() -> None:
    rows = load("truthful", {"question": str, "correct": [str], "incorrect": [str]})
    for row in rows:
        answers = [*row["correct"], *row["incorrect"]]
        assert row["correct"]
        assert len(row["incorrect"]) >= 2
        assert len(set(answers)) == len(answers)
        assert row["question"].endswith("?")
    assert len({row["question"] for row in rows}) == len(rows)


def test_text() -> None:
    rows = load("text", {"title": str, "text": str, "language": str})
    assert {language: sum(row["language"] == language for row in rows) for language in ("en", "de", "zh")} == {
        "en": 42,
        "de": 9,
        "zh": 9,
    }
    for row in rows:
        length = len(row["text"]) / 1.5 if row["language"] == "zh" else len(row["text"].split())
        assert 80 <= length <= 200, row["title"]


def test_translation() -> None:
    rows = load("translation", {"en": str, "de": str, "zh": str})
    for row in rows:
        assert row["zh"][-1] in "。？"
        assert not any("a" <= letter <= "z" for letter in row["zh"].lower())


@pytest.mark.parametrize("name", ["truthful", "text", "translation"])
def test_files_are_plain(name: str) -> None:
    content = (FOLDER / "starter" / f"{name}.jsonl").read_bytes()
    assert content.endswith(b"}\n")
    assert b"\r" not in content
    assert "\\u" not in content.decode()
