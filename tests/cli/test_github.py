"""No text of a result gives orders to a GitHub Actions runner."""

from __future__ import annotations

import io
import os
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from evalkit.cli.github import Guarded, guard_streams, print_order
from tests.gating.examples import pair

STOP = "::stop-commands::x"
OLD = "##[stop-commands]x"


def obeyed(text: str) -> list[str]:
    """The lines that the runner takes for orders: `ActionCommand.TryParseV2` and `TryParse` of actions/runner."""
    lines = text.replace("\r", "\n").split("\n")
    return [line for line in lines if line.strip().startswith("::") or "##[" in line]


def guarded(*texts: str) -> str:
    stream = io.StringIO()
    guard = Guarded(stream)
    for text in texts:
        assert guard.write(text) == len(text)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("texts", "shown"),
    [
        ((STOP,), r":\u003astop-commands::x"),
        (("note\n \u00a0\u3000\t::a",), "note\n \u00a0\u3000\t:\\u003aa"),
        (("50 %\r::a",), "50 %\r:\\u003aa"),
        (("\u200c::a",), "\u200c:\\u003aa"),
        (("\n", " ", ":", ":", "a"), "\n :\\u003aa"),
        ((f"see {OLD}",), r"see ##\u005bstop-commands]x"),
        (("see #", "#", "[a"), r"see ##\u005ba"),
        (("::##[",), r":\u003a##\u005b"),
        (("a", "::b"), "a::b"),
        (("a::b #[ [## \n: :\n",), "a::b #[ [## \n: :\n"),
        (("\x1b[1m::a",), "\x1b[1m::a"),
    ],
)
def test_orders_are_escaped_and_nothing_else(texts: tuple[str, ...], shown: str) -> None:
    assert guarded(*texts) == shown
    assert not obeyed(shown)


def test_no_way_of_writing_it_in_pieces_gets_through() -> None:
    draw = random.Random(1)
    for _ in range(3000):
        text = "".join(draw.choices([":", "::", "#", "##[", "[", " ", "\n", "\r", "a", "\u00a0"], k=12))
        cuts = sorted(draw.choices(range(len(text) + 1), k=3))
        pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        shown = guarded(*pieces)
        assert not obeyed(shown), pieces
        assert shown.replace("\\u003a", ":").replace("\\u005b", "[") == text


def test_orders_of_evalkit_itself_pass() -> None:
    stream = io.StringIO()
    print_order("::error title=evalkit gate::why", Guarded(stream))  # type: ignore[arg-type]
    assert stream.getvalue() == "::error title=evalkit gate::why\n"


def test_the_streams_are_guarded_only_where_a_runner_reads_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    guard_streams()
    assert not isinstance(sys.stdout, Guarded)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    guard_streams()
    guard_streams()
    assert isinstance(sys.stdout, Guarded)
    assert not isinstance(sys.stdout.stream, Guarded)
    assert not hasattr(sys.stderr, "buffer")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("orders")
    for run, name in zip(pair(60, 10), ("base", "tuned"), strict=True):
        tasks = {STOP: run.tasks["quiz"], f"{OLD} {'long ' * 14}{STOP}": run.tasks["quiz"]}
        hostile = replace(run, tasks=tasks, model=replace(run.model, name=f"{STOP} {name}"))
        hostile.save(path / f"{name}.json")
    return path


@pytest.mark.parametrize(
    "command", ["gate base.json tuned.json", "compare base.json tuned.json", "leaderboard base.json tuned.json", "gate"]
)
def test_names_give_no_orders(folder: Path, command: str) -> None:
    environment = {**os.environ, "GITHUB_ACTIONS": "true", "COLUMNS": "80", "OMP_NUM_THREADS": "1"}
    environment.pop("GITHUB_STEP_SUMMARY", None)
    arguments = command.split() if " " in command else ["gate", f"{STOP}.json", "tuned.json", "--no-annotations"]
    result = subprocess.run(
        [sys.executable, "-m", "evalkit", *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )
    own = [
        line
        for line in result.stdout.split("\n")
        if line.startswith(("::error title=evalkit gate", "::warning title=evalkit gate"))
    ]
    assert bool(own) == command.startswith("gate base")
    assert [line for line in obeyed(result.stdout) if line not in own] == []
    assert obeyed(result.stderr) == []
    if " " in command:
        assert r":\u003astop-commands::x" in result.stdout
