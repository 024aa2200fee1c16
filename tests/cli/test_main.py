"""The command line as users meet it: exit codes, one sentence on stderr, never a traceback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from evalkit.cli.evaluation_options import SECTIONS
from evalkit.cli.main import app
from tests.cli.commands import Done, command
from tests.tiny_models import tiny_model

QUIZ = """task: sums
data: sums.jsonl
question: "{{question}}"
choices: choices
answer: answer
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cli")
    tiny_model("llama", path / "models")
    rows = [{"question": f"{n} + {n} =", "choices": [str(2 * n), "none", "all"], "answer": 0} for n in range(60)]
    (path / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (path / "sums.yaml").write_text(QUIZ)
    return path


@pytest.fixture(scope="module")
def model(folder: Path) -> str:
    return str(tiny_model("llama", folder / "models"))


def evalkit(*arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "evalkit", *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "COLUMNS": "80", **environment},
        timeout=300,
        check=False,
    )


@pytest.fixture
def inside(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """The command line in this process: a process of its own imports torch first, for five seconds."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return partial(command, monkeypatch, capsys)


def check_error(done: Done, code: int, *words: str) -> None:
    assert done.code == code, done.err
    assert "Traceback" not in done.err
    for word in words:
        assert word in done.err
    assert any(line.startswith(("error:", "Error:")) for line in done.err.splitlines())


def test_a_run_prints_the_table_and_writes_the_files(folder: Path, model: str) -> None:
    done = evalkit("run", "--model", model, "--tasks", "sums.yaml", "-o", "out/base.json", folder=folder)
    assert done.returncode == 0, done.stderr
    assert "sums" in done.stdout
    assert "acc" in done.stdout
    assert "base.json" in done.stdout
    assert "60/60 documents" in done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert json.loads((folder / "out/base.json").read_text())["tasks"]["sums"]["n"] == 60
    assert (folder / "out/base.samples.parquet").exists()


def test_a_plan_says_what_a_run_would_take_and_writes_nothing(
    folder: Path, model: str, inside: Callable[..., Done]
) -> None:
    before = set(folder.rglob("*"))
    done = inside("plan", "--model", model, "--tasks", "sums.yaml")
    assert done.code == 0, done.err
    for word in ("sums", "60", "180", "tokens a second", "at the peak", "fewer"):
        assert word in done.out
    assert set(folder.rglob("*")) == before


def test_without_an_output_the_result_goes_to_runs(folder: Path, model: str, inside: Callable[..., Done]) -> None:
    done = inside("run", "--model", model, "--tasks", "sums.yaml", "--limit", "3")
    assert done.code == 0, done.err
    (written,) = (folder / "runs").glob("*.json")
    assert str(written.relative_to(folder)) in done.out.replace("\n", "")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--tasks", "arc_esay"], 2, ["arc_esay", "arc_easy"]),
        (["--tasks", "sums.yaml", "--limit", "0"], 2, ["--limit"]),
        (["--tasks", "sums.yaml", "--batch-tokens", "many"], 2, ["--batch-tokens"]),
        (["--tasks", "sums.yaml", "--dtype", "float12"], 2, ["float12"]),
        (["--tasks", "sums.yaml", "--over-length", "fold"], 2, ["fold"]),
        (["--tasks", "sums.yaml", "--data-dir", "nowhere"], 2, ["nowhere"]),
        (["--tasks", "sums.yaml", "-o", "base.txt"], 2, [".json"]),
        (["--tasks", "sums.yaml", "-o", "sums.yaml/base.json"], 2, ["sums.yaml"]),
        (["--tasks", "missing.yaml"], 2, ["missing.yaml"]),
        (["--tasks", "cmmlu_agronomy", "--offline"], 5, ["haonan-li/cmmlu", "agronomy"]),
        (["--tasks", "sums.yaml", "--max-length", "4"], 5, ["--over-length"]),
    ],
)
def test_bad_input_is_one_sentence_and_an_exit_code(
    folder: Path,
    model: str,
    inside: Callable[..., Done],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    words: list[str],
) -> None:
    monkeypatch.setenv("EVALKIT_HOME", str(folder / "home"))
    check_error(inside("run", "--model", model, *arguments), code, *words)


def test_a_missing_model_is_an_error_that_names_it(inside: Callable[..., Done]) -> None:
    check_error(inside("run", "--model", "./nowhere", "--tasks", "sums.yaml"), 5, "nowhere")


def test_a_tokenizer_without_a_template_is_named(model: str, inside: Callable[..., Done]) -> None:
    check_error(inside("run", "--model", model, "--tasks", "sums.yaml", "--chat-template", "on"), 2, "template")


def test_documents_without_an_answer_end_with_exit_code_5_and_a_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from evalkit import Cloze, DataSource, MockModel, Task, api
    from evalkit.cli import main
    from evalkit.requests import Failure, Reply, Request

    class Failing(MockModel):
        def _answer(self, request: Request) -> Reply:
            return Failure("the server said no") if "2" in getattr(request, "context", "") else super()._answer(request)

    data = DataSource(id="own", rows=[{"q": "1+1=", "a": "2"}, {"q": "2+2=", "a": "4"}])
    task = Task(name="sums", data=data, document=lambda row: Cloze(row["q"], row["a"]), metrics=("acc",))
    run = api.run

    def on_a_mock(model: str, tasks: str, **options: Any) -> Any:
        return run(model=Failing(), tasks=[task], **options)

    monkeypatch.setattr(api, "run", on_a_mock)
    output = tmp_path / "base.json"
    monkeypatch.setattr(sys, "argv", ["evalkit", "run", "-m", "mock", "-t", "sums", "-o", str(output)])
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == 5
    shown = capsys.readouterr()
    assert "note: sums: 1 of 2 errored" in shown.out
    assert "1 of 2 documents could not be answered" in shown.err
    assert "the same command asks them again" in shown.err
    assert json.loads(output.read_text())["tasks"]["sums"]["outcomes"]["errored"] == 1


def test_no_option_is_a_usage_error(inside: Callable[..., Done]) -> None:
    check_error(inside("run"), 2, "--model")
    check_error(inside("walk"), 2, "walk")


def test_help_is_a_page_to_act_on_and_fast(folder: Path) -> None:
    start = time.perf_counter()
    done = evalkit("--help", folder=folder)
    assert time.perf_counter() - start < 5  # well under one second on a quiet machine; CI is not quiet
    assert done.returncode == 0
    assert "evalkit data pull --embedded" in done.stdout
    for name in ("run", "tasks", "data"):
        assert name in done.stdout
    assert "--tasks gsm8k" in done.stdout
    assert "4 runs that cannot be compared" in done.stdout
    assert evalkit("--version", folder=folder).stdout.startswith("evalkit 0.")


def test_an_interrupted_run_says_so_and_the_same_command_continues(
    folder: Path, model: str, inside: Callable[..., Done]
) -> None:
    arguments = ["run", "--model", model, "--tasks", "sums.yaml", "--batch-tokens", "8", "-o", "cut/base.json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "evalkit", *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    journal = folder / "cut/base.json.journal"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if journal.exists() and journal.read_bytes().count(b"\n") > 3:
            process.send_signal(signal.SIGINT)
            break
        time.sleep(0.002)
    _, errors = process.communicate(timeout=60)
    if process.returncode == 0:
        pytest.skip("the run was over before it could be interrupted")
    assert process.returncode == 130, errors
    assert "the same command continues" in errors
    assert "Traceback" not in errors
    done = inside(*arguments)
    assert done.code == 0, done.err
    assert "already answered" in done.err
    assert inside(*arguments[:-1], "cut/whole.json").code == 0
    one, other = (json.loads((folder / f"cut/{name}.json").read_text()) for name in ("base", "whole"))
    for volatile in ("created", "timing", "environment"):
        del one[volatile], other[volatile]
    assert one == other
    assert (folder / "cut/base.samples.parquet").read_bytes() == (folder / "cut/whole.samples.parquet").read_bytes()


@pytest.mark.parametrize("name", ["run", "plan"])
def test_the_options_stand_in_sections_each_once(name: str) -> None:
    command: Any = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
    placed = [one for names in SECTIONS.values() for one in names]
    assert len(set(placed)) == len(placed)
    assert {parameter.name for parameter in command.params} <= set(placed)
    text = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "100"}).output
    headings = [f"\n{heading}:\n" for heading in (*SECTIONS, "Other")]
    assert [text.count(heading) for heading in headings] == [1] * len(headings)
    assert sorted(map(text.index, headings)) == [text.index(heading) for heading in headings]
    generation = text[text.index("\nGeneration:") : text.index("\nChat:")]
    assert all(option in generation for option in ("--max-new-tokens", "--top-p", "--samples", "--sampling-seed"))
    assert "--dtype" not in generation
    assert "\nOptions:" not in text


def test_the_footer_of_the_task_list_names_families(folder: Path) -> None:
    footer = evalkit("tasks", "list", "arc_easy", folder=folder).stderr
    assert all(family in footer for family in ("perplexity:FILE", "translation:wmt22:en-de", "summary:FILE"))
