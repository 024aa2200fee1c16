"""`evalkit sft` as its users meet it."""

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

import pytest
import typer

from evalkit.cli import sft, sft_data_options, sft_options
from tests.cli.commands import Done, command
from tests.sft.examples import chat_model, pairs, write_rows
from tests.sft.test_pipeline import make_folder

TRAINING = ("--learning-rate", "1e-2", "--batch-size", "8", "--max-steps", "40", "--patience", "0")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return chat_model(tmp_path_factory.mktemp("models"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_folder(tmp_path)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path) -> Callable[..., Done]:
    monkeypatch.chdir(folder)
    return partial(command, monkeypatch, capsys, "sft")


def test_one_command_from_data_to_verdict(run: Callable[..., Done], model: str, folder: Path) -> None:
    asked = ("--model", model, "--data", "train.jsonl", "--tasks", "sounds.yaml,choice.yaml", "--targets", "sounds")
    done = run(*asked, *TRAINING, "-o", "out")
    assert done.code == 0, done.err
    assert done.out.startswith("gained: sounds (+")
    assert "48 rows (prompt-completion), 48 kept" in done.err
    assert "Traceback" not in done.err
    assert "model shards" not in done.err
    document = json.loads((folder / "out/sft.json").read_text())
    assert document["command"].startswith("evalkit sft --model")
    again = run(*asked, *TRAINING, "-o", "out", "--resume")
    assert again.code == 0
    assert again.out.splitlines()[0] == done.out.splitlines()[0]
    assert "--resume" not in json.loads((folder / "out/sft.json").read_text())["command"]


def test_what_was_asked_and_not_met_is_exit_code_one(run: Callable[..., Done], model: str) -> None:
    asked = ("--model", model, "--data", "train.jsonl", "--tasks", "sounds.yaml", "--max-steps", "1")
    done = run(*asked, "-o", "out", "--require-gain", "sounds:50pt")
    assert done.code == 1, done.err
    assert "gate:" in done.out


def test_a_reward_model_needs_no_task(run: Callable[..., Done], model: str, folder: Path) -> None:
    write_rows(folder / "pairs.jsonl", pairs(40))
    done = run("--model", model, "--data", "pairs.jsonl", "--method", "reward", "--max-steps", "3", "-o", "out")
    assert done.code == 0, done.err
    assert done.out.startswith("puts the chosen answer first in")


SLIPS = [
    (("--data", "train.jsonl"), "no task was named"),
    (("--tasks", "sounds.yaml"), "there is nothing to train on"),
    (("--data", "train.jsonl", "--tasks", "sounds.yaml", "--map", "question"), "names no column and name"),
    (("--data", "train.jsonl", "--tasks", "sounds.yaml", "--train-seeds", "a"), "is no list of numbers"),
    (("--data", "train.jsonl", "--tasks", "sounds.yaml", "--near-duplicates", "0.1"), "--near-duplicates is 0.1"),
    (("--mix", "train.jsonl:0", "--tasks", "sounds.yaml"), "weight that is not above 0"),
    (("--data", "train.jsonl", "--tasks", "sounds.yaml", "--require-gain", "5pt"), "names no task, and no target"),
    (("--data", "train.jsonl", "--tasks", "nothing_such"), "nothing_such"),
    (("--data", "absent.jsonl", "--tasks", "sounds.yaml"), "there is no file absent.jsonl"),
    (("--data", "sounds.yaml", "--tasks", "sounds.yaml"), "sounds.yaml"),
]


@pytest.mark.parametrize(("arguments", "message"), SLIPS)
def test_a_slip_is_one_sentence_with_a_hint_and_exit_code_two(
    run: Callable[..., Done], model: str, arguments: tuple[str, ...], message: str
) -> None:
    done = run("--model", model, *arguments, "-o", "out")
    assert done.code == 2, done.err
    assert message in done.err
    assert "Traceback" not in done.err


def test_killed_and_started_again_it_ends_the_same(model: str, folder: Path, run: Callable[..., Done]) -> None:
    asked = ["--model", model, "--data", "train.jsonl", "--tasks", "sounds.yaml", *TRAINING, "--held-out-every", "5"]
    process = subprocess.Popen(
        [sys.executable, "-m", "evalkit", "sft", *asked, "-o", "cut"],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if list(folder.glob("cut/checkpoints/checkpoint-*/complete")):
            process.send_signal(signal.SIGKILL)
            break
        time.sleep(0.002)
    assert process.wait(60) == -signal.SIGKILL
    assert not (folder / "cut/model").exists()
    assert run(*asked, "-o", "cut", "--resume").code == 0
    assert run(*asked, "-o", "whole").code == 0
    one, other = (json.loads((folder / f"{name}/sft.json").read_text()) for name in ("cut", "whole"))
    for name in ("losses", "held_out", "best_step", "steps"):
        assert one["trainings"][0][name] == other["trainings"][0][name]
    assert one["comparison"]["tasks"] == other["comparison"]["tasks"]
    weights = [folder / name / "model/adapter_model.safetensors" for name in ("cut", "whole")]
    assert weights[0].read_bytes() == weights[1].read_bytes()


@pytest.mark.parametrize(("name", "sections"), [("sft", sft_options.SECTIONS), ("sft-data", sft_data_options.SECTIONS)])
def test_every_option_has_its_section_and_help(name: str, sections: dict[str, tuple[str, ...]]) -> None:
    from evalkit.cli.main import app

    found = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
    named = {one for names in sections.values() for one in names}
    options = {parameter.name for parameter in found.params}
    assert options - {"help"} == named
    assert all(parameter.help for parameter in found.params)


def test_the_default_folder_is_named_after_the_model() -> None:
    assert sft.default_folder("org/name") == Path("runs/name_sft")
    assert sft.default_folder("./weird name!.gguf") == Path("runs/weird-name-.gguf_sft")


def test_the_command_to_repeat_is_quoted_and_without_what_treats_earlier_attempts() -> None:
    assert sft.repeating(["sft", "-o", "my out", "--fresh"]) == "evalkit sft -o 'my out'"


def test_the_rows_of_the_demo_are_the_same_every_time(tmp_path: Path) -> None:
    script = Path(__file__).parent.parent.parent / "examples/sft/orders.py"
    for name in ("one", "other"):
        subprocess.run([sys.executable, str(script), str(tmp_path / name)], check=True, capture_output=True)
    for file in ("train.jsonl", "held_out.jsonl", "orders.yaml"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "other" / file).read_bytes()
    rows, asked = (
        [json.loads(line) for line in (tmp_path / "one" / name).read_text().splitlines()]
        for name in ("train.jsonl", "held_out.jsonl")
    )
    assert (len(rows), len(asked)) == (320, 100)
    assert not {row["completion"] for row in rows} & {row["completion"] for row in asked}
    for row in (*rows, *asked):
        order = json.loads(row["completion"])
        assert order["item"] in row["prompt"]
        assert order["city"] in row["prompt"]
        assert order["colour"] in row["prompt"]
