"""Training rows in every form, and what becomes of those that cannot be used."""

from __future__ import annotations

import gzip
import json
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.data import DataOptions
from evalkit.errors import TrainingDataError
from evalkit.sft.data import CleaningOptions, TrainingData, read_training_data, write_dropped
from evalkit.sft.rows import Message
from evalkit.training_data import Quantiles
from tests.tasks.test_golden_prompts import HUB, hub_data

OPTIONS = DataOptions.resolve(None, True)
ASKED = (Message("user", "Which colour is the sky?"), Message("assistant", "Blue"))

SHAPES: list[tuple[str, dict[str, Any]]] = [
    (
        "messages",
        {
            "messages": [
                {"role": "user", "content": " Which colour is the sky? "},
                {"role": "assistant", "content": "Blue\n"},
            ]
        },
    ),
    (
        "sharegpt",
        {"conversations": [{"from": "human", "value": "Which colour is the sky?"}, {"from": "gpt", "value": "Blue"}]},
    ),
    ("prompt-completion", {"prompt": "Which colour is the sky?", "completion": "Blue"}),
    (
        "prompt-completion",
        {
            "prompt": [{"role": "user", "content": "Which colour is the sky?"}],
            "completion": [{"role": "assistant", "content": "Blue"}],
        },
    ),
    ("alpaca", {"instruction": "Which colour is the sky?", "input": "", "output": "Blue"}),
]


def read(*names: Path, mapping: dict[str, str] | None = None, **cleaning: Any) -> TrainingData:
    return read_training_data([str(name) for name in names], mapping or {}, OPTIONS, CleaningOptions(**cleaning))


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize(("form", "row"), SHAPES)
def test_every_form_is_the_same_conversation(tmp_path: Path, form: str, row: dict[str, Any]) -> None:
    path = write(tmp_path / "rows.jsonl", row)
    found = read(path)
    assert [one.messages for one in found.rows[str(path)]] == [ASKED]
    assert found.report.sources[0].format == form


def test_alpaca_with_an_input_and_a_history(tmp_path: Path) -> None:
    row = {"instruction": "Add.", "input": "2, 3", "output": "5", "system": "Be brief.", "history": [["Hi", "Hello"]]}
    path = write(tmp_path / "rows.jsonl", row)
    assert [tuple(one) for one in read(path).rows[str(path)][0].messages] == [
        ("system", "Be brief."),
        ("user", "Hi"),
        ("assistant", "Hello"),
        ("user", "Add.\n\n2, 3"),
        ("assistant", "5"),
    ]


def test_texts_and_pairs(tmp_path: Path) -> None:
    text = write(tmp_path / "text.jsonl", {"text": "天空是蓝色的。"})
    assert read(text).rows[str(text)][0].text == "天空是蓝色的。"
    turns = [{"role": "user", "content": "Hi"}]
    pairs = write(
        tmp_path / "pairs.jsonl",
        {"prompt": "Hi", "chosen": "Hello", "rejected": "No"},
        {
            "prompt": None,
            "chosen": [*turns, {"role": "assistant", "content": "Good day"}],
            "rejected": [*turns, {"role": "assistant", "content": "Go"}],
        },
    )
    found = read(pairs).rows[str(pairs)]
    assert [(one.prompt_text, one.answer, one.rejected) for one in found] == [
        ("Hi", "Hello", "No"),
        ("Hi", "Good day", "Go"),
    ]


@pytest.mark.parametrize("ending", ["json", "csv", "parquet", "jsonl.gz"])
def test_every_kind_of_file(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"rows.{ending}"
    rows = [{"prompt": "2 + 2?", "completion": "4"}, {"prompt": "3 + 3?", "completion": "6"}]
    if ending == "json":
        path.write_text(json.dumps(rows))
    elif ending == "csv":
        path.write_text("prompt,completion\n2 + 2?,4\n3 + 3?,6\n")
    elif ending == "parquet":
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    else:
        path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
    assert [(one.prompt_text, one.answer) for one in read(path).rows[str(path)]] == [("2 + 2?", "4"), ("3 + 3?", "6")]


@hub_data
@pytest.mark.hub_data
def test_a_data_set_of_the_hub() -> None:
    mapping = {"question": "prompt", "answer": "completion"}
    name = "openai/gsm8k:main"
    found = read_training_data([name], mapping, DataOptions((HUB,), offline=True), CleaningOptions())
    assert found.report.sources[0].rows == 7473  # the size of the published training split
    assert found.rows[name][0].prompt_text.startswith("Natalia sold clips")


def test_a_folder_is_its_files(tmp_path: Path) -> None:
    (tmp_path / "rows").mkdir()
    write(tmp_path / "rows/a.jsonl", {"prompt": "1?", "completion": "a"})
    write(tmp_path / "rows/b.jsonl", {"prompt": "2?", "completion": "b"})
    assert [one.answer for one in read(tmp_path / "rows").rows[str(tmp_path / "rows")]] == ["a", "b"]


def test_other_names_are_mapped(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", {"question": "2 + 2?", "reply": 4})
    with pytest.raises(TrainingDataError, match="has the columns question, reply") as caught:
        read(path)
    assert caught.value.hint is not None
    assert "--map" in caught.value.hint
    found = read(path, mapping={"question": "prompt", "reply": "completion"})
    assert found.rows[str(path)][0].answer == "4"


BROKEN: list[tuple[dict[str, Any], str]] = [
    ({"prompt": "2 + 2?", "completion": "  "}, "no-answer"),
    ({"prompt": "2 + 2?", "completion": None}, "no-answer"),
    ({"prompt": "2 + 2?"}, "no-answer"),
    ({"prompt": " ", "completion": "4"}, "empty-prompt"),
    ({"prompt": {"a": 1}, "completion": "4"}, "wrong-type"),
    ({"prompt": True, "completion": "4"}, "wrong-type"),
]


@pytest.mark.parametrize(("row", "reason"), BROKEN)
def test_a_row_that_cannot_be_used_is_dropped_with_its_reason(tmp_path: Path, row: dict[str, Any], reason: str) -> None:
    path = write(tmp_path / "rows.jsonl", row, {"prompt": "3 + 3?", "completion": "6"})
    found = read(path)
    assert [(one.index, one.reason) for one in found.dropped] == [(0, reason)]
    assert found.report.sources[0].dropped == {reason: 1}
    assert [one.index for one in found.rows[str(path)]] == [1]
    write_dropped(tmp_path / "dropped.jsonl", found.dropped)
    written = json.loads((tmp_path / "dropped.jsonl").read_text())
    assert written["reason"] == reason
    assert written["content"] == row


TURNS: list[tuple[list[tuple[str, str]], str]] = [
    ([("user", "Hi")], "no-answer"),
    ([("assistant", "Hello")], "empty-prompt"),
    ([("user", "Hi"), ("user", "Hi?"), ("assistant", "Hello")], "roles"),
    ([("assistant", "Hello"), ("user", "Hi"), ("assistant", "Yes")], "roles"),
    ([("user", "Hi"), ("system", "Be kind"), ("assistant", "Yes")], "roles"),
    ([("user", "Hi"), ("wizard", "Abra")], "roles"),
]


@pytest.mark.parametrize(("turns", "reason"), TURNS)
def test_turns_that_make_no_conversation(tmp_path: Path, turns: list[tuple[str, str]], reason: str) -> None:
    good = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}
    path = write(tmp_path / "rows.jsonl", {"messages": [{"role": role, "content": text} for role, text in turns]}, good)
    assert [one.reason for one in read(path).dropped] == [reason]


def test_nothing_left_says_why_with_the_first_row(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", {"prompt": "a", "completion": ""}, {"prompt": "b", "completion": ""})
    with pytest.raises(TrainingDataError, match=r"none can be trained on: 2 no-answer \(row 1: the answer is empty\)"):
        read(path)


@pytest.mark.parametrize("name", ["missing.jsonl", "nothing.jsonl"])
def test_missing_and_empty_files(tmp_path: Path, name: str) -> None:
    (tmp_path / "nothing.jsonl").write_text("")
    with pytest.raises(TrainingDataError):
        read(tmp_path / name)


@given(st.lists(st.integers(0, 500), min_size=1, max_size=60))
def test_quantiles_are_those_of_numpy(values: list[int]) -> None:
    found = Quantiles.of(values)
    assert found is not None
    wanted = np.quantile(values, [0, 0.25, 0.5, 0.75, 0.99, 1])
    assert astuple(found) == pytest.approx(tuple(wanted))
    assert Quantiles.of([]) is None


def test_the_report_describes_what_was_kept(tmp_path: Path) -> None:
    rows = [{"prompt": f"What is {at} + {at}?", "completion": str(2 * at)} for at in range(40)]
    path = write(tmp_path / "rows.jsonl", *rows, rows[0], {"prompt": "What is 1 + 1?", "completion": "three"})
    source = read(path).report.sources[0]
    assert (source.rows, source.kept) == (42, 41)
    assert source.dropped == {"duplicate": 1}
    assert source.flagged["conflicting"] == 2
    assert source.turns == {2: 41}
    assert source.answer_characters is not None
    assert source.answer_characters.maximum == len("three")
    assert read(path).report.conflicts == ("what is 1 + 1?",)
