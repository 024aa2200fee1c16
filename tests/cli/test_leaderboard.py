from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from tests.cli.commands import Done, command
from tests.comparing.rankings import pattern, side

Command = partial[Done]


@pytest.fixture
def evalkit(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return partial(command, monkeypatch, capsys)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, right in (("low", 30), ("high", 80), ("middle", 33)):
        side(name, {"arc": pattern(right, 100), "boolq": pattern(50, 100)}).run.save(tmp_path / f"{name}.json")
    return tmp_path


def test_it_ranks_the_files(folder: Path, evalkit: Command) -> None:
    done = evalkit("leaderboard", *sorted(folder.glob("*.json")))
    assert done.code == 0, done.err
    assert done.out.startswith("high is best, beyond chance\n")
    order = [line.split()[1] for line in done.out.splitlines() if line.lstrip()[:2] in ("1 ", "2 ")]
    assert order == ["high", "middle", "low"]


def test_every_format(folder: Path, evalkit: Command) -> None:
    files = sorted(folder.glob("*.json"))
    out = {name: evalkit("leaderboard", *files, "--format", name).out for name in ("markdown", "csv", "latex", "json")}
    assert "| 1 | high | 65.0 |" in out["markdown"]
    assert next(csv.DictReader(io.StringIO(out["csv"], newline="")))["average"] == "0.65"
    assert r"\begin{tabular}" in out["latex"]
    found = json.loads(out["json"])
    assert found["schema"] == "evalkit.ranking/1"
    assert [one["label"] for one in found["standings"]] == ["high", "middle", "low"]
    assert found["tie_groups"] == [["middle", "low"]]
    assert len(found["pairs"]) == 3


@pytest.mark.parametrize("ending", ["md", "csv", "tex", "json"])
def test_the_ending_of_the_output_says_the_format(folder: Path, evalkit: Command, ending: str) -> None:
    files = sorted(folder.glob("*.json"))
    place = folder / "out" / f"table.{ending}"
    done = evalkit("leaderboard", *files, "-o", place)
    assert (done.code, done.out) == (0, f"{place}\n")
    formats = {"md": "markdown", "tex": "latex"}
    printed = evalkit("leaderboard", *files, "--format", formats.get(ending, ending)).out
    assert place.read_bytes().decode() == printed


def test_html_goes_to_a_file(folder: Path, evalkit: Command) -> None:
    files = sorted(folder.glob("*.json"))
    done = evalkit("leaderboard", *files, "-o", folder / "board.html")
    assert (done.code, done.out) == (0, f"{folder / 'board.html'}\n")
    text = (folder / "board.html").read_text()
    places = [text.index(f'<th scope="row">{name}</th>') for name in ("high", "middle", "low")]
    assert places == sorted(places)


def test_rows_can_be_sorted_by_another_column_and_keep_their_ranks(folder: Path, evalkit: Command) -> None:
    side("odd", {"arc": pattern(60, 100), "boolq": pattern(60, 100)}).run.save(folder / "odd.json")
    files = sorted(folder.glob("*.json"))

    def rows(*more: str) -> list[tuple[str, str]]:
        text = evalkit("leaderboard", *files, "--format", "csv", *more).out
        return [(row["run"], row["rank"]) for row in csv.DictReader(io.StringIO(text, newline=""))]

    assert [name for name, _ in rows()] == ["high", "odd", "middle", "low"]
    by_boolq = rows("--sort", "boolq")
    assert by_boolq[0] == ("odd", dict(rows())["odd"])
    assert [name for name, _ in rows("--sort", "name")] == ["high", "low", "middle", "odd"]
    assert [name for name, _ in rows("--sort", "chance-corrected")] == [name for name, _ in rows()]


def test_tasks_can_be_chosen(folder: Path, evalkit: Command) -> None:
    done = evalkit("leaderboard", *sorted(folder.glob("*.json")), "--tasks", "boolq", "--format", "json")
    assert json.loads(done.out)["tasks"] == ["boolq"]


def test_the_same_model_twice_is_told_apart_by_the_files(folder: Path, evalkit: Command) -> None:
    one = side("tuned", {"arc": pattern(30, 100)}).run
    paths = []
    for name in ("first", "second"):
        paths.append(folder / name / "base.json")
        one.save(paths[-1])
    one.save(folder / "third.json")
    found = json.loads(evalkit("leaderboard", *paths, folder / "third.json", "--format", "json").out)
    assert sorted(one["label"] for one in found["standings"]) == ["first/base", "second/base", "third"]


def test_runs_that_cannot_be_ranked_together(folder: Path, evalkit: Command) -> None:
    odd = side("odd", {"arc": pattern(90, 100), "boolq": pattern(50, 100)}).run
    tasks = {name: replace(task, version=7) for name, task in odd.tasks.items()}
    replace(odd, tasks=tasks).save(folder / "odd.json")
    done = evalkit("leaderboard", *sorted(folder.glob("*.json")))
    assert done.code == 0
    # said once, with the table
    assert "not ranked" not in done.err
    assert done.out.count("not ranked") == 1
    assert "not ranked: odd" in done.out
    done = evalkit("leaderboard", *sorted(folder.glob("*.json")), "--format", "csv")
    assert "note: odd is not ranked: task version 7, not 1" in done.err
    done = evalkit("leaderboard", folder / "odd.json", folder / "low.json")
    assert done.code == 4
    assert "hint: " in done.err
    assert "--allow" in done.err
    assert evalkit("leaderboard", folder / "odd.json", folder / "low.json", "--allow", "task version").code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["low.json"], "at least two"),
        (["low.json", "gone.json"], "gone.json"),
        (["low.json", "low.json"], "twice"),
        (["low.json", "high.json", "--sort", "colour"], "colour"),
        (["low.json", "high.json", "--tasks", "mmlu"], "mmlu"),
        (["low.json", "high.json", "--alpha", "7"], "alpha"),
        (["low.json", "high.json", "--format", "html"], "HTML goes to a file"),
        (["low.json", "high.json", "-o", "table.docx"], "table.docx"),
        (["low.json", "high.json", "-o", "lb.csv", "--format", "html"], "lb.csv would hold HTML"),
        (["low.json", "high.json", "-o", "low.json"], "low.json"),
        (["low.json", "high.json", "-o", "."], "is a directory"),
    ],
)
def test_bad_input(
    folder: Path, evalkit: Command, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    monkeypatch.chdir(folder)
    before = (folder / "low.json").read_bytes()
    done = evalkit("leaderboard", *arguments)
    assert done.code == 2
    assert words in done.err
    assert "Traceback" not in done.err
    assert (folder / "low.json").read_bytes() == before
