"""`evalkit verify`: what is printed, and the exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import evalkit
from evalkit.backends.mock import MockModel
from tests.cli.commands import command


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    rows = [{"q": f"Number {n}", "c": ["yes", "no"], "a": n % 2} for n in range(8)]
    (tmp_path / "quiz.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "quiz.yaml").write_text("task: quiz\ndata: quiz.jsonl\nquestion: q\nchoices: c\nanswer: a\n")
    monkeypatch.chdir(tmp_path)
    evalkit.run(model=MockModel(), tasks="quiz.yaml", output="base.json")
    return tmp_path


def test_agreement_ends_with_0_and_says_what_was_not_checked(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done = command(monkeypatch, capsys, "verify", "base.json", "--tasks", "quiz.yaml")
    assert done.code == 0, done.err
    assert done.out.startswith("base.json: everything that was checked agrees; 2 checks could not be made\n")
    assert "scores follow from the samples       agrees       quiz: 2 metrics" in done.out
    assert "name a model with --model" in done.out
    markdown = command(monkeypatch, capsys, "verify", "base.json", "--tasks", "quiz.yaml", "--format", "markdown").out
    assert "| samples follow from the log | agrees | quiz: 8 documents |" in markdown


def test_a_difference_ends_with_1_and_stands_first(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    document = json.loads(Path("base.json").read_text())
    document["tasks"]["quiz"]["metrics"]["acc"]["value"] = 0.99
    document["tasks"]["quiz"]["samples"][0]["picked"] = 1 - document["tasks"]["quiz"]["samples"][0]["picked"]
    Path("base.json").write_text(json.dumps(document))
    done = command(monkeypatch, capsys, "verify", "base.json", "--tasks", "quiz.yaml", columns=120)
    assert done.code == 1
    lines = done.out.splitlines()
    assert lines[0] == "base.json: 2 of 6 checks differ"
    assert "differs" in lines[3]
    assert "quiz: acc: value is 0.99; the samples give " in done.out
    found = json.loads(
        command(monkeypatch, capsys, "verify", "base.json", "--tasks", "quiz.yaml", "--format", "json").out
    )
    assert found["schema"] == "evalkit.verification/1"
    assert [one["what"] for one in found["checks"] if one["status"] == "differs"] == ["scores", "samples"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["none.json"], "none.json cannot be read"),
        (["base.json", "--samples", "none.parquet"], "none.parquet is missing"),
        (["base.json", "--share", "2"], "--share is 2"),
        (["quiz.jsonl"], "quiz.jsonl: "),
        (["base.json", "--tasks", "none.yaml"], "none.yaml"),
    ],
)
def test_bad_input_is_one_sentence(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    done = command(monkeypatch, capsys, "verify", *arguments)
    assert done.code == 2
    assert words in done.err
    assert done.out == ""
