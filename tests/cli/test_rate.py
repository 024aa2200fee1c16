"""`evalkit rate` as users meet it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from evalkit.cli.main import app
from evalkit.errors import EvalkitError, UsageError
from evalkit.ratings import load_items, read_ratings
from evalkit.ratings.file import RatingLog
from evalkit.ratings.session import Session
from tests.ratings.examples import write_pair, write_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rate")
    write_pair(path, {"Name a fruit.": "Pear"}, {"Name a fruit.": "Pear"})
    write_run(path / "chat.json", "chat", chat_template="on")
    return path


@contextmanager
def rating(folder: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A session that has said its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "evalkit", "rate", *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "DISPLAY": "", "WAYLAND_DISPLAY": "", "COLUMNS": "80"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    said = ""
    while "every rating is saved at once" not in said:
        line = process.stderr.readline()
        assert line, said
        said += line
    try:
        yield process, said
    finally:
        process.kill()
        process.communicate()


def address(said: str) -> str:
    found = re.search(r"http://127\.0\.0\.1:\d+/\S+/", said)
    assert found
    return found.group()


def act(said: str, **body: Any) -> dict[str, Any]:
    base = address(said)
    origin = base.split("/", 3)[0] + "//" + base.split("/")[2]
    headers = {"Content-Type": "application/json", "Origin": origin}
    request = urllib.request.Request(base + "act", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=10) as response:
        found: dict[str, Any] = json.load(response)
        return found


def choose(said: str, place: int, choice: str) -> dict[str, Any]:
    return act(said, action="rate", item=place, answer={"choice": choice}, seconds=1.0)


def test_a_session_that_is_finished_prints_the_summary(folder: Path) -> None:
    command = ("base.json", "tuned.json", "--rater", "ann", "-o", "finished.jsonl", "--no-browser")
    with rating(folder, *command) as (process, said):
        assert "Rate here, as ann" in said
        assert "1 pairs of identical answers are counted as ties" in said
        for place in range(4):
            choose(said, place, "left")
        act(said, action="finish")
        out, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "4 of 4 rated" in errors
    assert "tuned wins" in out
    assert "base: secret-alpha; tuned: secret-omega-2; 1 rater" in out
    assert len(read_ratings(folder / "finished.jsonl").ratings) == 5


def test_a_rater_who_only_looks(folder: Path) -> None:
    with rating(folder, "base.json", "-o", "looked.jsonl") as (process, said):
        assert "0 of 5 rated" in said + str(process.stderr and process.stderr.readline())
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=30)
    assert (process.returncode, out) == (0, "")
    assert "nothing is rated yet" in errors


def test_nothing_is_lost_when_killed_and_the_same_command_goes_on(folder: Path) -> None:
    command = ("base.json", "tuned.json", "--rater", "bob", "-o", "killed.jsonl", "--limit", "3")
    with rating(folder, *command) as (process, said):
        choose(said, 0, "left")
        choose(said, 1, "tie")
        process.kill()
        process.communicate(timeout=30)
    assert len([one for one in read_ratings(folder / "killed.jsonl").ratings if not one.identical]) == 2
    with rating(folder, *command) as (process, said):
        assert choose(said, 2, "right")["rated"] == 3
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "Traceback" not in errors
    assert "sign test" in out


def run(folder: Path, *arguments: str) -> str:
    """What a command prints, run in this process."""
    places = [str(folder / word) if word.endswith(("json", "jsonl")) and word != "json" else word for word in arguments]
    done = CliRunner().invoke(app, ["rate", *places], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_merge_and_report(folder: Path) -> None:
    found = load_items(folder / "base.json", folder / "tuned.json")
    for rater in ("cyd", "dan"):
        with RatingLog(folder / f"{rater}.jsonl", found.base, found.tuned) as log:
            session = Session(found.items, rater, "choice", log.add)
            for place, choice in enumerate(("left", "tie", "right", "both_bad")):
                session.rate(place, {"choice": choice}, 1.0)
    assert run(folder, "--merge", "cyd.jsonl", "dan.jsonl", "-o", "all.jsonl").endswith("\t10 ratings of 2 raters\n")
    assert "raters agree on choices: alpha" in run(folder, "--report", "all.jsonl")
    summary = json.loads(run(folder, "--report", "cyd.jsonl", "dan.jsonl", "--format", "json"))
    assert summary["preference"]["documents"] == 5
    assert "| questions | 5 |" in run(folder, "--report", "all.jsonl", "--format", "markdown")


def test_where_all_answers_are_identical_nobody_is_asked(folder: Path) -> None:
    write_run(folder / "alike.json", "secret-bravo", {"Name a fruit.": "Pear"})
    out = run(folder, "base.json", "alike.json", "-o", "same.jsonl")
    assert "5 documents with identical answers" in " ".join(out.split())
    assert out.startswith("Undecided which one people prefer: tuned wins 50% of 5 documents")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["missing.json"], 2, ["missing.json cannot be read"]),
        (["base.json", "--mode", "choice"], 2, ["a choice needs two result files"]),
        (["base.json", "tuned.json", "chat.json"], 2, ["3 result files"]),
        (["base.json", "tuned.json", "--tasks", "other"], 2, ["no generated texts of other", "questions"]),
        (["base.json", "chat.json"], 4, ["all prompts of base.json and chat.json differ", "--different-prompts"]),
        (["base.json", "tuned.json", "-o", "base.json/x.jsonl"], 2, ["cannot be written"]),
        (["base.json", "tuned.json", "-o", "base.json"], 2, ["base.json line 1"]),
        (["base.json", "tuned.json", "-o", "alone.jsonl"], 2, ["holds ratings of other runs"]),
        (["base.json", "tuned.json", "-o", "new.jsonl", "--port", "PORT"], 2, ["port PORT cannot be used"]),
        (["--report", "missing.jsonl"], 2, ["missing.jsonl cannot be read"]),
        (["--report", "alone.jsonl"], 2, ["holds no rating yet"]),
        (["--merge", "alone.jsonl"], 2, ["-o"]),
        (["--merge", "--report", "alone.jsonl"], 2, ["do not go together"]),
    ],
)
def test_bad_input_is_one_sentence_and_an_exit_code(
    folder: Path, arguments: list[str], code: int, words: list[str]
) -> None:
    alone = load_items(folder / "base.json")
    RatingLog(folder / "alone.jsonl", alone.base, None).__exit__()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        with pytest.raises(EvalkitError) as caught:
            run(folder, *(port if word == "PORT" else word for word in arguments))
    assert caught.value.exit_code == code
    said = f"{caught.value.message} {caught.value.hint}"
    for word in words:
        assert word.replace("PORT", port) in said


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["--report", "bad.jsonl"], "not JSON", "evalkit rate"),
        (["--report", "base.json"], "is a result file; --report takes ratings files (.jsonl)", "evalkit rate"),
        (["base.samples.parquet"], "is a sample log", "base.json"),
        (["base.json", "base.json"], "are the same result", "--mode score"),
        (["base.json", "copy.json"], "are the same result", "--mode score"),
    ],
)
def test_a_file_of_another_kind(
    arguments: list[str], message: str, hint: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    Path("bad.jsonl").write_text("no ratings\n")
    Path("copy.json").write_bytes(Path("base.json").read_bytes())
    done = CliRunner().invoke(app, ["rate", *arguments])
    assert isinstance(done.exception, UsageError)
    assert message in done.exception.message
    assert hint in str(done.exception.hint)
