from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from evalkit import api
from evalkit.results import Run
from evalkit.run_plan import RunPlan, Sight, TaskPlan
from tests.cli.commands import Done, command
from tests.comparing.rankings import pattern, side

Command = partial[Done]


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[Run]]:
    """The baselines that a plan was asked with; nothing is loaded or measured."""
    seen: list[Sequence[Run]] = []

    class Planned:
        def __init__(self, **options: Any) -> None:
            assert options["tasks"] == "arc"

        def plan(self, baselines: Sequence[Run]) -> RunPlan:
            seen.append(baselines)
            sight = Sight(100, 50.0, 0.123, True, {0.02: 900, 0.01: 3600}, "the baselines disagree on 3 of 100")
            return RunPlan("tiny", "cpu", (TaskPlan("arc", 100, 400, 4000),), {}, None, 1.0, {"arc": sight})

    monkeypatch.setattr(api, "Evaluation", Planned)
    return seen


@pytest.fixture
def evalkit(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, given: list[Sequence[Run]]
) -> Command:
    monkeypatch.chdir(tmp_path)
    for name, right in (("base", 20), ("tuned", 30)):
        side(name, {"arc": pattern(right, 50)}).run.save(f"{name}.json")
    return partial(command, monkeypatch, capsys, "plan", "--model", "tiny", "--tasks", "arc")


@pytest.mark.parametrize(
    ("arguments", "models"),
    [
        ([], []),
        (["--baseline", "base.json"], ["base"]),
        (["--baseline", "base.json", "tuned.json"], ["base", "tuned"]),
    ],
)
def test_baselines_are_read(
    evalkit: Command, given: list[Sequence[Run]], arguments: list[str], models: list[str]
) -> None:
    done = evalkit(*arguments)
    assert done.code == 0, done.err
    assert [[run.model.name for run in runs] for runs in given] == [models]
    assert "12.3 points" in done.out
    assert "disagree on 3 of 100" in done.out


def test_formats(evalkit: Command) -> None:
    assert "| arc | 100 | 12.3 points | 900 | 3,600 |" in evalkit("--format", "markdown").out
    plan = json.loads(evalkit("--format", "json").out)
    assert plan["schema"] == "evalkit.plan/1"
    assert plan["sights"]["arc"]["needed"] == [
        {"difference": 0.02, "documents": 900},
        {"difference": 0.01, "documents": 3600},
    ]
    assert plan["tasks"] == [{"name": "arc", "documents": 100, "requests": 400, "tokens": 4000}]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["tuned.json"], "--baseline"), (["--baseline", "gone.json"], "gone.json"), (["--format", "pdf"], "pdf")],
)
def test_bad_input(evalkit: Command, arguments: list[str], words: str) -> None:
    done = evalkit(*arguments)
    assert done.code == 2
    assert words in done.err
    assert "Traceback" not in done.err
