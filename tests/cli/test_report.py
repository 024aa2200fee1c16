from __future__ import annotations

import csv
import io
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.cli.commands import Done, command
from tests.comparing.rankings import pattern, side

Command = partial[Done]


@pytest.fixture
def evalkit(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    monkeypatch.chdir(tmp_path)
    return partial(command, monkeypatch, capsys)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    side("base", {"arc": pattern(30, 100)}).run.save(tmp_path / "runs" / "base.json")
    side("tuned", {"arc": pattern(60, 100)}).run.save(tmp_path / "runs" / "tuned.json")
    return Path("runs/base.json")


def test_several_formats_stand_beside_the_result(base: Path, evalkit: Command) -> None:
    done = evalkit("report", base, "--format", "md,junit,csv,latex")
    assert done.code == 0, done.err
    assert done.out.split() == ["runs/base.md", "runs/base.junit.xml", "runs/base.csv", "runs/base.tex"]
    assert "| arc |" in Path("runs/base.md").read_text()
    assert ElementTree.parse("runs/base.junit.xml").getroot().tag == "testsuites"
    (row,) = csv.DictReader(io.StringIO(Path("runs/base.csv").read_bytes().decode(), newline=""))
    assert (row["task"], row["value"]) == ("arc", "0.3")
    assert r"\toprule" in Path("runs/base.tex").read_text()


def test_a_result_without_tasks_is_an_error_and_writes_nothing(tmp_path: Path, evalkit: Command) -> None:
    side("base", {}).run.save(tmp_path / "runs" / "empty.json")
    done = evalkit("report", "runs/empty.json", "--format", "html,md")
    assert done.code == 2
    assert "runs/empty.json holds no tasks" in done.err
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["empty.json"]


def test_html_is_one_page_of_a_run_or_of_two(base: Path, evalkit: Command) -> None:
    assert evalkit("report", base).out == "runs/base.html\n"
    assert evalkit("report", base, "runs/tuned.json").out == "runs/base_tuned.html\n"
    for place in ("runs/base.html", "runs/base_tuned.html"):
        text = Path(place).read_text()
        assert text.lower().startswith("<!doctype html>")
        assert "arc" in text


@pytest.mark.parametrize(
    ("output", "formats", "places"),
    [
        ("scores.csv", "csv", ["scores.csv"]),
        ("scores.txt", "md", ["scores.txt"]),
        ("new/", "md,tex", ["new/base.md", "new/base.tex"]),
        ("runs", "md", ["runs/base.md"]),
        ("out/model-1.5b", "markdown,csv", ["out/model-1.5b.md", "out/model-1.5b.csv"]),
    ],
)
def test_where_the_files_go(base: Path, evalkit: Command, output: str, formats: str, places: list[str]) -> None:
    done = evalkit("report", base, "-f", formats, "-o", output)
    assert done.code == 0, done.err
    assert done.out.split() == places
    assert all(Path(place).is_file() for place in places)


def test_two_results_are_compared(base: Path, evalkit: Command) -> None:
    done = evalkit("report", base, "runs/tuned.json", "-f", "md,csv,latex,json")
    assert done.code == 0, done.err
    stem = "runs/base_tuned"
    assert done.out.split() == [f"{stem}.md", f"{stem}.csv", f"{stem}.tex", f"{stem}.comparison.json"]
    rows = list(csv.DictReader(io.StringIO(Path(f"{stem}.csv").read_bytes().decode(), newline="")))
    assert [(row["task"], row["fixed"], row["verdict"]) for row in rows] == [("arc", "30", "improved")]
    assert float(rows[0]["difference"]) == pytest.approx(0.3)
    assert r"arc & 100 & 30.0 & 60.0 & +30.0 &" in Path(f"{stem}.tex").read_text()
    assert "tuned" in Path(f"{stem}.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["runs/base.json", "-f", "pdf"], "pdf"),
        (["runs/base.json", "-f", ","], "not known"),
        (["runs/base.json", "-f", "json"], "JSON already"),
        (["runs/gone.json"], "gone.json"),
        (["runs/base.json", "-f", "md,csv", "-o", "all.csv"], "2 formats"),
        (["runs/base.json", "-f", "md", "-o", "runs/base.json"], "its name says JSON"),
        (["runs/base.json", "-o", "x.csv"], "x.csv would hold HTML, and its name says CSV"),
        (["runs/base.json", "runs/tuned.json", "-f", "junit"], "evalkit gate"),
        (["runs/base.json", "runs/tuned.json", "runs/base.json"], "leaderboard"),
    ],
)
def test_bad_input(base: Path, evalkit: Command, arguments: list[str], words: str) -> None:
    before = base.read_bytes()
    done = evalkit("report", *arguments)
    assert done.code == 2
    assert words in done.err
    assert "Traceback" not in done.err
    assert base.read_bytes() == before
