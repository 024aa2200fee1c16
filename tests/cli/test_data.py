import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from evalkit.cli.data import app
from evalkit.data import embedded
from evalkit.errors import EvalkitError, UsageError

runner = CliRunner()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EVALKIT_HOME", str(tmp_path / "home"))
    for variable in ("EVALKIT_DATA_DIR", "EVALKIT_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(embedded, "_installed", lambda package: None)
    return tmp_path / "home"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "folder"
    (folder / "org/name").mkdir(parents=True)
    (folder / "org/name/test.jsonl").write_text('{"n": 1}\n' * 1500)
    (folder / "org/name/README.md").write_text("---\nlicense: cc-by-4.0\n---\n")
    for number in range(8):
        (folder / f"org/many/subject{number}").mkdir(parents=True)
        (folder / f"org/many/subject{number}/test.jsonl").write_text('{"n": 1}\n' * number)
    return folder


def refusal(*arguments: str) -> EvalkitError:
    error = runner.invoke(app, [*arguments]).exception
    assert isinstance(error, EvalkitError)
    return error


def test_list(folder: Path, home: Path) -> None:
    result = runner.invoke(app, ["list", "--data-dir", str(folder)])
    assert result.exit_code == 0
    lines = [line.split("  ") for line in result.stdout.splitlines()]
    cells = [[cell.strip() for cell in line if cell.strip()] for line in lines]
    assert cells == [
        ["DATA SET", "CONFIGURATION", "ROWS", "SOURCE", "FOLDER"],
        ["org/many", "8 configurations", "test 28", "data-dir", str(folder / "org/many")],
        ["org/name", "default", "test 1,500", "data-dir", str(folder / "org/name")],
    ]
    assert str(home) in result.stderr


def test_list_as_json(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVALKIT_DATA_DIR", str(folder))
    result = runner.invoke(app, ["list", "--json"])
    assert json.loads(result.stdout)[-1] == {
        "id": "org/name",
        "config": "default",
        "splits": {"test": 1500},
        "source": "data-dir",
        "folder": str(folder / "org/name"),
        "licence": "cc-by-4.0",
        "used": True,
    }


def test_list_of_nothing_says_what_to_do() -> None:
    result = runner.invoke(app, ["list"])
    assert result.stdout == ""
    assert "evalkit data pull --embedded" in result.stderr
    assert json.loads(runner.invoke(app, ["list", "--json"]).stdout) == []


def test_pack_and_unpack(folder: Path, home: Path, tmp_path: Path) -> None:
    archive = str(tmp_path / "kit.tar.gz")
    packed = runner.invoke(app, ["pack", archive, "org/name", "--data-dir", str(folder)])
    assert packed.stdout.split() == ["DATA", "SET", "FILES", "MB", "LICENCE", "org/name", "2", "0.0", "cc-by-4.0"]
    unpacked = runner.invoke(app, ["unpack", archive])
    assert unpacked.stdout == packed.stdout
    assert (home / "hub/org/name/test.jsonl").is_file()
    (home / "hub/org/name/test.jsonl").write_text("")
    assert "--replace" in str(refusal("unpack", archive).hint)
    assert runner.invoke(app, ["unpack", archive, "--replace"]).exit_code == 0
    other = runner.invoke(app, ["unpack", archive, "--into", str(tmp_path / "other")])
    assert f"--data-dir {tmp_path / 'other'}" in other.stderr
    assert (tmp_path / "other/org/name/test.jsonl").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pull"], "either a data set"),
        (["pull", "org/name", "--embedded"], "either a data set"),
        (["pull", "--embedded", "--config", "x"], "--config goes with a data set"),
        (["pull", "../etc"], "not a dataset id"),
        (["unpack", "missing.tar.gz"], "does not exist"),
        (["list", "--data-dir", "nowhere"], "does not exist"),
    ],
)
def test_usage_errors(arguments: list[str], message: str) -> None:
    error = refusal(*arguments)
    assert isinstance(error, UsageError)
    assert message in error.message
    assert error.hint


@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "EVALKIT_OFFLINE"])
def test_pull_is_refused_offline(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "1")
    assert "offline" in refusal("pull", "org/name").message


def test_pull_embedded(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = embedded.ManifestEntry("org/name", "default", "test", 1234, "0", "", False)
    monkeypatch.setattr(embedded, "pull_data", lambda: (entry,))
    monkeypatch.setattr(embedded, "pull_model", lambda: home / "models" / "model.gguf")
    result = runner.invoke(app, ["pull", "--embedded"])
    assert result.stdout == (
        f"{home / 'embedded'}\t1 data sets, 1,234 rows\n{home / 'models' / 'model.gguf'}\t--model smollm2\n"
    )


@pytest.mark.parametrize("command", [[], ["list"], ["pull"], ["pack"], ["unpack"]])
def test_help(command: list[str]) -> None:
    assert "Usage" in runner.invoke(app, [*command, "--help"]).stdout
