"""`evalkit compare` as users meet it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from evalkit.cli.compare import parse_margin
from evalkit.cli.main import app
from evalkit.errors import EvalkitError, NotComparableError, UsageError
from tests.comparing.examples import model_run, paired


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("compare")
    before, after = paired(400, 60, 20, 520)
    model_run("base", {"arc": before}).save(path / "base.json")
    model_run("tuned", {"arc": after}).save(path / "tuned.json")
    model_run("third", {"arc": paired(400, 10, 20, 570)[1]}).save(path / "third.json")
    model_run("other", {"arc": replace(after, prompt_sha256="1" * 64)}).save(path / "other.json")
    return path


def said(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, ["compare", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert not result.stderr
    return result.stdout


def refused(*arguments: str | Path) -> EvalkitError:
    with pytest.raises(EvalkitError) as caught:
        CliRunner().invoke(app, ["compare", *map(str, arguments)], catch_exceptions=False)
    return caught.value


def test_two_results(folder: Path) -> None:
    text = said(folder / "base.json", folder / "tuned.json")
    assert text.startswith("tuned is better than base on arc by 4.0 points")


def test_formats_and_files(folder: Path, tmp_path: Path) -> None:
    files = (folder / "base.json", folder / "tuned.json")
    printed = json.loads(said(*files, "--format", "json"))
    assert printed["schema"] == "evalkit.comparison/1"
    assert printed["tasks"]["arc"]["change"]["verdict"] == "improved"
    assert said(*files, "--format", "markdown").startswith("**tuned is better")
    text = said(*files, "-o", tmp_path / "new" / "diff.json")
    assert json.loads((tmp_path / "new" / "diff.json").read_text()) == printed
    assert text.rstrip().endswith("diff.json")


def test_options_change_what_is_said(folder: Path) -> None:
    files = (folder / "base.json", folder / "tuned.json")

    def change(*options: str) -> dict[str, object]:
        return json.loads(said(*files, "--format", "json", *options))["tasks"]["arc"]["change"]  # type: ignore[no-any-return]

    assert change("--margin", "2pt")["margin"] == pytest.approx(0.02)
    assert change("--alpha", "0.01")["alpha"] == 0.01
    assert change("--alpha", "0.01")["interval"] != change()["interval"]
    assert "that changed" not in said(*files, "--flips", "0")


def test_runs_that_were_asked_other_questions(folder: Path) -> None:
    files = (folder / "base.json", folder / "other.json")
    result = CliRunner().invoke(app, ["compare", *map(str, files)])
    assert isinstance(result.exception, NotComparableError)
    assert result.exception.exit_code == 4
    assert result.exception.message == f"{files[0]} and {files[1]} were asked different questions: prompt differs"
    assert '--allow "prompt"' in (result.exception.hint or "")
    assert "42.0%" in result.stdout  # the numbers are shown all the same
    assert "improved" in said(*files, "--allow", "prompt")


def test_three_results(folder: Path, tmp_path: Path) -> None:
    files = [folder / name for name in ("base.json", "tuned.json", "third.json")]
    text = said(*files, "-o", tmp_path / "all.json")
    assert "base" in text
    assert "third" in text
    assert len(json.loads((tmp_path / "all.json").read_text())["pairs"]) == 3
    assert said(*files, "--format", "markdown").count("| arc |") == 3
    for options in (("--html", tmp_path / "x.html"), ("--flips", "3"), ("--unpaired",)):
        assert f"{options[0]} shows two results" in refused(*files, *options).message
    assert said(*files, "--expand")


def test_three_results_of_which_none_can_be_compared(folder: Path, tmp_path: Path) -> None:
    third = model_run("more", {"arc": replace(paired(400, 60, 20, 520)[0], prompt_sha256="2" * 64)})
    third.save(tmp_path / "more.json")
    files = [str(folder / "base.json"), str(folder / "other.json"), str(tmp_path / "more.json")]
    result = CliRunner().invoke(app, ["compare", *files])
    assert isinstance(result.exception, NotComparableError)
    assert "no ranking:" in result.stdout


def test_slips(folder: Path, tmp_path: Path) -> None:
    base, tuned = folder / "base.json", folder / "tuned.json"
    for given in ((), (base,)):
        error = refused(*given)
        assert error.message == "a comparison needs two results"
        assert error.hint == "evalkit compare base.json tuned.json"
    assert "given twice" in refused(base, base).message
    assert "does not exist" in refused(base, tmp_path / "no.json").message
    for option, name, what in (("-o", "x.html", "JSON"), ("-o", "x.MD", "JSON"), ("--html", "x.json", "HTML")):
        error = refused(base, tuned, option, tmp_path / name)
        assert f"{name} would hold {what}" in error.message
        assert "--html" in (error.hint or "")
        assert not (tmp_path / name).exists()
    assert "one of the results" in refused(base, tuned, "-o", tuned).message
    assert "the log of a result's samples" in refused(base, tuned, "--html", folder / "base.samples.parquet").message
    assert "-o and --html both name" in refused(base, tuned, "--html", tmp_path / "x", "-o", tmp_path / "x").message
    assert "neither run has a task" in refused(base, tuned, "--tasks", "mmlu").message
    assert "--margin 'lots'" in refused(base, tuned, "--margin", "lots").message
    assert refused(base, tuned, "--allow", "x").exit_code == 2


@pytest.mark.parametrize(
    ("text", "share"), [("2pt", 0.02), ("0.5 points", 0.005), ("3%", 0.03), ("0.02", 0.02), ("0", 0)]
)
def test_margins(text: str, share: float) -> None:
    assert parse_margin(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["", "-1pt", "100pt", "2 apples", "nan"])
def test_no_margins(text: str) -> None:
    with pytest.raises(UsageError, match="is no loss"):
        parse_margin(text)


def test_help_is_in_sections() -> None:
    result = CliRunner().invoke(app, ["compare", "--help"])
    assert "How it is judged:" in result.stdout
    assert "--allow" in result.stdout
