"""Two processes, started by the real `torchrun`, against one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from evalkit.errors import UsageError
from evalkit.fine_tuning import Training
from evalkit.sft.spec import TrainingSpec
from evalkit.sft.store import read_result
from evalkit.sft.training import together, train
from evalkit.sft.training.trainers import micro_batch, total_steps
from tests.sft.examples import OPTIONS, chat_model, sounds
from tests.sft.test_pipeline import make_folder
from tests.sft.training.test_train import difference

SPEC = TrainingSpec(learning_rate=1e-3, batch_size=8, max_steps=6, held_out_every=3, patience=0, lora_dropout=0.0)

SCRIPT = """
import os, sys
from pathlib import Path
from tests.sft.examples import OPTIONS, sounds
from tests.sft.training.test_together import SPEC
from evalkit.sft.training import together, train

with together.gathered("cpu"):
    if together.rank():
        if os.environ.get("EVALKIT_TEST_FAIL"):
            sys.exit(7)
        together.follow()
    else:
        rows = sounds()
        train(sys.argv[1], OPTIONS, rows[:-8], rows[-8:], SPEC, Path(sys.argv[2]))
        together.call(None)
"""


def torchrun(arguments: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return chat_model(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("script") / "two.py"
    path.write_text(f"import sys\nsys.path.insert(0, {str(Path.cwd())!r})\n{SCRIPT}")
    return str(path)


@pytest.mark.slow
def test_two_processes_train_what_one_trains(model: str, script: str, tmp_path: Path) -> None:
    rows = sounds()
    alone = train(model, OPTIONS, rows[:-8], rows[-8:], SPEC, tmp_path / "one")
    done = torchrun([script, model, str(tmp_path / "two")])
    assert done.returncode == 0, done.stderr[-3000:]
    both = read_result(tmp_path / "two" / "training.json", Training)
    assert both.settings["processes"] == 2
    assert (both.steps, both.tokens, both.best_step) == (alone.steps, alone.tokens, alone.best_step)
    assert [loss for _, loss in both.losses] == pytest.approx([loss for _, loss in alone.losses], abs=2e-4)
    assert [one.loss for one in both.held_out] == pytest.approx([one.loss for one in alone.held_out], abs=2e-4)
    assert difference(both.model, alone.model) < 2e-4
    assert not (tmp_path / "two" / "checkpoints").exists()


@pytest.mark.slow
def test_a_process_that_fails_ends_all_and_nothing_passes_for_done(model: str, script: str, tmp_path: Path) -> None:
    done = torchrun([script, model, str(tmp_path / "two")], EVALKIT_TEST_FAIL="1")
    assert done.returncode != 0
    assert not (tmp_path / "two" / "training.json").exists()
    assert not (tmp_path / "two" / "model").exists()


@pytest.mark.slow
def test_the_whole_command_in_two_processes(model: str, tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    command = ["-m", "evalkit", "sft", "--model", model, "--data", str(folder / "train.jsonl"), "--device", "cpu"]
    command += ["--tasks", str(folder / "choice.yaml")]
    command += ["--max-steps", "2", "--batch-size", "4", "-o", str(tmp_path / "out")]
    done = torchrun(command)
    outcome = json.loads((tmp_path / "out" / "sft.json").read_text())
    assert outcome["trainings"][0]["settings"]["processes"] == 2, done.stderr[-3000:]
    assert done.stdout.count("report.html") == 1, "only the first process says what was found"
    uneven = torchrun([*command[:-1], str(tmp_path / "odd"), "--batch-size", "5"])
    assert uneven.returncode != 0
    assert "a batch of 5 rows cannot be shared out among 2 processes" in uneven.stderr


def test_one_process_is_alone() -> None:
    assert (together.launched(), together.size(), together.rank()) == (1, 1, 0)
    assert together.agreed(lambda: "found") == "found"
    together.wait()
    with together.gathered("auto"):
        assert together.size() == 1


def test_the_batch_is_that_of_all_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = TrainingSpec(batch_size=12, micro_batch=4, epochs=1)
    assert (micro_batch(spec), total_steps(spec, 100)) == (4, 9)
    monkeypatch.setattr(together, "size", lambda: 2)
    assert (micro_batch(spec), total_steps(spec, 100)) == (3, 9)  # 6 rows each, in two passes
    monkeypatch.setattr(together, "size", lambda: 5)
    with pytest.raises(UsageError, match="a batch of 12 rows cannot be shared out among 5 processes"):
        micro_batch(spec)


def test_one_device_for_several_processes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    with pytest.raises(UsageError, match="--device cuda:1 is one device, and 2 processes"), together.gathered("cuda:1"):
        pass
