"""`evalkit gate` as users meet it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

import evalkit
from evalkit.cli.gate import EVALUATION, SECTIONS
from evalkit.cli.main import app
from evalkit.errors import UnknownTaskError, UsageError
from tests.gating.examples import flipped, model, pair, values
from tests.result_examples import task_result
from tests.tiny_models import tiny_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gate")
    base, regressed = pair(60, 10)
    base.save(path / "base.json")
    regressed.save(path / "regressed.json")
    for name, changes in (("harmless", (3, 4)), ("unclear", (30, 20))):
        model(name, {"quiz": task_result(flipped(values(1000), *changes))}).save(path / f"{name}.json")
    task = replace(regressed.tasks["quiz"], prompt_sha256="1" * 64)
    replace(regressed, tasks={"quiz": task}).save(path / "reworded.json")
    return path


def gate(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A process with an environment of its own."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GITHUB")}
    return subprocess.run(
        [sys.executable, "-m", "evalkit", "gate", *arguments],
        cwd=folder,
        env={**clean, "OMP_NUM_THREADS": "1", "COLUMNS": "80", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def inside(folder: Path, *arguments: str) -> tuple[int, str]:
    """The same in this process, which is faster; errors are raised."""
    result = CliRunner().invoke(app, ["gate", *arguments], catch_exceptions=False, env={"COLUMNS": "80"})
    return result.exit_code, result.stdout


@pytest.mark.parametrize(
    ("candidate", "options", "code"),
    [
        ("harmless", [], 0),
        ("regressed", [], 1),
        ("regressed", ["--exit-zero"], 0),
        ("regressed", ["--margin", "8pt", "--on-undecided", "pass"], 0),
        ("unclear", [], 3),
        ("unclear", ["--on-undecided", "warn"], 0),
        ("reworded", [], 4),
        ("reworded", ["--allow", "prompt"], 1),
        ("reworded", ["--allow", "shots,prompt"], 1),
    ],
)
def test_exit_codes(folder: Path, candidate: str, options: list[str], code: int) -> None:
    files = [str(folder / "base.json"), str(folder / f"{candidate}.json")]
    found, output = inside(folder, *files, *options)
    assert found == code, output


def test_a_process_in_ci(folder: Path, tmp_path: Path) -> None:
    """One run as a workflow has it: every file, the step summary after what is in it already, and annotations."""
    summary = tmp_path / "step.md"
    summary.write_text("# Before\n")
    files = {name: str(tmp_path / name) for name in ("gate.json", "gate.xml", "gate.md")}
    outputs = ["--json", files["gate.json"], "--junit", files["gate.xml"], "--summary", files["gate.md"]]
    environment = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary)}
    result = gate(folder, "base.json", "regressed.json", *outputs, **environment)
    assert (result.returncode, result.stderr) == (1, "")
    assert result.stdout.startswith("failed on quiz\n")
    assert result.stdout.splitlines()[-1].startswith("::error title=evalkit gate%3A quiz")
    assert json.loads(Path(files["gate.json"]).read_text())["exit_code"] == 1
    assert ElementTree.parse(files["gate.xml"]).getroot().attrib["failures"] == "1"
    markdown = Path(files["gate.md"]).read_text()
    assert summary.read_text() == f"# Before\n{markdown}"
    off = gate(folder, "base.json", "regressed.json", "--no-step-summary", "--no-annotations", **environment)
    assert off.returncode == 1
    assert "::error" not in off.stdout
    assert summary.read_text() == f"# Before\n{markdown}"


def test_a_baseline_of_another_commit(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.gating.test_baseline import git

    (tmp_path / "base.json").write_bytes((folder / "base.json").read_bytes())
    git(tmp_path, "init", "-b", "main")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "baseline")
    (tmp_path / "base.json").unlink()
    monkeypatch.chdir(tmp_path)
    code, output = inside(folder, str(folder / "regressed.json"), "--baseline", "git:main:base.json")
    assert code == 1
    assert re.search(
        r"^tuned against base \(base\.json of main, [0-9a-f]{10}\), policy: built-in$", output, re.MULTILINE
    )


def test_a_gate_without_a_decision_is_an_annotation_too(folder: Path) -> None:
    result = gate(folder, "none.json", "regressed.json", GITHUB_ACTIONS="true")
    assert (result.returncode, result.stdout) == (4, "")
    assert result.stderr.splitlines()[0] == "::error title=evalkit gate::there is no baseline none.json"


def test_documents_on_standard_output_stay_whole(folder: Path) -> None:
    for output_format, start in (("json", "{"), ("markdown", "<!--")):
        arguments = ["base.json", "regressed.json", "--format", output_format]
        result = gate(folder, *arguments, GITHUB_ACTIONS="true", GITHUB_STEP_SUMMARY=str(folder / "none" / "x"))
        assert result.returncode == 1
        assert result.stdout.startswith(start)
        assert "::error" not in result.stdout
        assert "::error" in result.stderr
        assert "the step summary" in result.stderr
    assert (
        json.loads(gate(folder, "base.json", "regressed.json", "--format", "json").stdout)["schema"] == "evalkit.gate/1"
    )


def test_a_decision_is_shown_again(folder: Path, tmp_path: Path) -> None:
    written = str(tmp_path / "gate.json")
    code, first = inside(folder, str(folder / "base.json"), str(folder / "regressed.json"), "--json", written)
    again, second = inside(folder, "--from", written)
    assert (code, again) == (1, 1)
    assert second.splitlines() == [line for line in first.splitlines() if line != written]


def test_the_printed_policy_can_be_used(folder: Path, tmp_path: Path) -> None:
    code, policy = inside(folder, "--print-policy")
    assert code == 0
    (tmp_path / "gate.yaml").write_text(policy)
    files = [str(folder / "base.json"), str(folder / "harmless.json")]
    assert inside(folder, *files, "--policy", str(tmp_path / "gate.yaml"))[0] == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["none.json", "harmless.json"], 4, "error: there is no baseline none.json\nhint: make one: evalkit run"),
        (["base.json", "none.json"], 2, "none.json does not exist"),
        (["base.json"], 2, "1 result file was given\nhint: give a baseline and a candidate"),
        (["base.json", "harmless.json", "--baseline", "base.json"], 2, "give one candidate beside --baseline"),
        (["base.json", "harmless.json", "--policy", "none.yaml"], 2, "--print-policy > gate.yaml writes one"),
        (["base.json", "harmless.json", "--margin", "two"], 2, "--margin 'two' is no loss"),
        (
            ["base.json", "regressed.json", "--margin", "2"],
            2,
            "--margin '2' is no loss\nhint: without a unit it is a share",
        ),
        (["base.json", "harmless.json", "--margin", "-1pt"], 2, "is less than 0"),
        (["base.json", "harmless.json", "--alpha", "5"], 2, "--alpha is 5.0"),
        (["base.json", "harmless.json", "--allow", "promt"], 2, "there is no field 'promt' to allow"),
        (["base.json", "harmless.json", "--junit", "."], 2, "is a directory"),
        (["base.json", "harmless.json", "--model", "smollm2"], 2, "--model is for --sequential"),
        (["base.json", "harmless.json", "-o", "x.json"], 2, "-o is where --sequential writes the candidate"),
        (["base.json", "--sequential"], 2, "none is named\nhint: add --model MODEL"),
        (["base.json", "harmless.json", "--sequential", "--model", "m"], 2, "give one baseline beside --sequential"),
        (["base.json", "--from", "gate.json"], 2, "--from shows a decision again"),
        (["base.json", "base.json"], 2, "is given twice"),
        (["base.json", "harmless.json", "--baseline"], 2, "requires an argument"),
        (["harmless.json", "--baseline", "git:none:base.json"], 2, "git"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    from evalkit.cli import main

    monkeypatch.chdir(folder)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(folder.parent))
    monkeypatch.setattr(sys, "argv", ["evalkit", "gate", *arguments])
    with pytest.raises(SystemExit) as caught:
        main.main()
    said = capsys.readouterr().err
    assert caught.value.code == code
    assert message in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["base.json", "regressed.json", "--junit", "base.json"], "base.json is one of the results"),
        (["base.json", "regressed.json", "--json", "./regressed.json"], "regressed.json is one of the results"),
        (["regressed.json", "--baseline", "base.json", "--json", "base.json"], "base.json is one of the results"),
        (["base.json", "regressed.json", "--summary", "base.samples.parquet"], "the log of a result's samples"),
        (["base.json", "regressed.json", "--policy", "gate.yaml", "--summary", "gate.yaml"], "gate.yaml is the policy"),
        (["--from", "gate.json", "--json", "gate.json"], "gate.json is the decision to show"),
        (["base.json", "regressed.json", "--json", "y", "--junit", "./y"], "--json and --junit both name y"),
        (["base.json", "--sequential", "--model", "smollm2", "-o", "base.json"], "base.json is one of the results"),
        (
            ["base.json", "--sequential", "--model", "smollm2", "-o", "t.json", "--json", "t.samples.parquet"],
            "--json and the sample log of -o both name t.samples.parquet",
        ),
        (["base.json", "regressed.json", "--json", "linked.json"], "linked.json is one of the results"),
    ],
)
def test_nothing_that_is_read_is_overwritten(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    for name in ("base.json", "regressed.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    (tmp_path / "gate.yaml").write_text("defaults: {margin: 1pt}\n")
    (tmp_path / "linked.json").symlink_to("base.json")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=re.escape(message)):
        inside(tmp_path, *arguments)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("gate base.json harmless.json", 0),
        ("gate base.json regressed.json", 1),
        ("gate base.json unclear.json --format json", 3),
        ("gate base.json unclear.json --format markdown", 3),
        ("compare base.json regressed.json", 141),
        ("compare base.json regressed.json --format json", 141),
        ("tasks list", 141),
        ("gate --help", 141),
    ],
)
def test_a_reader_that_leaves_is_no_regression(folder: Path, command: str, code: int) -> None:
    """As with `| head -1` under `set -o pipefail`; here the pipe is closed before anything is written."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "evalkit", *command.split()],
            cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (code, "")


def test_every_option_has_its_section() -> None:
    import typer

    command: Any = typer.main.get_command(app).commands["gate"]  # type: ignore[attr-defined]
    named = {name for names in SECTIONS.values() for name in names}
    assert {parameter.name for parameter in command.params} - named == set()
    assert set(EVALUATION) <= named


def test_sequential_with_a_real_model(tmp_path: Path) -> None:
    """A model against itself: bets on 40 documents are never certain, all are asked, and all scores are the same."""
    model_folder = tiny_model("llama", tmp_path / "models")
    rows = [{"question": f"{n} + {n} =", "choices": [str(2 * n), "none"], "answer": 0} for n in range(40)]
    (tmp_path / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "sums.yaml").write_text(
        'task: sums\ndata: sums.jsonl\nquestion: "{{question}}"\nchoices: choices\nanswer: answer\n'
    )
    evalkit.run(model=str(model_folder), tasks=str(tmp_path / "sums.yaml"), output=tmp_path / "base.json")
    base, tuned, tasks = (str(tmp_path / name) for name in ("base.json", "tuned.json", "sums.yaml"))
    arguments = ["gate", base, "--sequential", "--model", str(model_folder), "-o", tuned, "--margin", "5pt"]
    result = CliRunner().invoke(app, [*arguments, "--tasks", tasks], catch_exceptions=False, env={"COLUMNS": "80"})
    assert result.exit_code == 0, result.stderr
    assert "sequential: went through all documents, after 40 of 40 documents (100.0 %) in 1 look" in result.stdout
    assert "note: look 1: 40 of 40 documents" in result.stderr
    assert result.stdout.splitlines()[-2:] == [tuned, tuned.replace(".json", ".samples.parquet")]
    assert evalkit.Run.load(tuned).tasks["sums"].n == 40
    with pytest.raises(UnknownTaskError) as caught:
        CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert "say where it comes from, as --tasks ./mine.yaml" in str(caught.value.hint)
