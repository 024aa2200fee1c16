"""Real processes on this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from queue import SimpleQueue
from types import SimpleNamespace

import psutil
import pytest
from pyarrow import parquet

import evalkit
from evalkit.backends.engine_backend import LocalOptions
from evalkit.backends.workers.fleet import Failed, Joined, Lost, Setup
from evalkit.backends.workers.process import serve
from evalkit.backends.workers.processes import ProcessFleet, portable
from evalkit.errors import EvalkitError, EvaluationError, ModelError, UsageError
from evalkit.models import ModelOptions
from tests.backends.workers.runs import Kills, arguments, result
from tests.tiny_models import tiny_model

MODULE = "evalkit.backends.workers.process"


def workers_of(process: int) -> list[psutil.Process]:
    return [one for one in psutil.Process(process).children() if MODULE in one.cmdline()]


@pytest.mark.slow
def test_four_workers_of_which_two_are_killed_give_the_result_of_one_process(tmp_path: Path) -> None:
    given = arguments(tmp_path)
    evalkit.run(**given, output=tmp_path / "one.json")

    def kill() -> None:
        workers_of(os.getpid())[0].kill()

    progress = Kills(kill, [200, 500])
    several = evalkit.run(**given, workers=4, output=tmp_path / "four.json", progress=progress)
    assert not progress.at
    assert result(tmp_path / "four.json") == result(tmp_path / "one.json")
    logs = [parquet.read_table(tmp_path / f"{name}.samples.parquet").to_pylist() for name in ("one", "four")]
    assert logs[0] == logs[1]
    assert several.environment["workers"] == 4
    assert several.environment["workers_lost"] == 2
    assert not workers_of(os.getpid()), "workers are ended with the run"


SCRIPT = """
from pathlib import Path
import evalkit
from tests.backends.workers.runs import Kills, arguments
folder = Path({folder!r})
progress = Kills(lambda: print("now", flush=True), [300])
evalkit.run(**arguments(folder), workers=2, output=folder / "base.json", progress=progress)
"""


@pytest.mark.slow
def test_workers_end_when_the_first_process_is_killed_and_the_run_continues(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SCRIPT.format(folder=str(tmp_path))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"now\n"
        workers = workers_of(process.pid)
        assert len(workers) == 2
        process.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 20
    while any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in workers):
        assert time.monotonic() < deadline, "a worker outlives the run"
        time.sleep(0.05)
    given, progress = arguments(tmp_path), Kills(lambda: None, [])
    evalkit.run(**given, output=tmp_path / "base.json", progress=progress)  # with another number of workers: none
    assert progress.seen[0] >= 300
    evalkit.run(**given, output=tmp_path / "whole.json")
    assert result(tmp_path / "base.json") == result(tmp_path / "whole.json")


def events(fleet: ProcessFleet, count: int) -> list[object]:
    found: list[object] = []
    deadline = time.monotonic() + 60
    while len(found) < count and time.monotonic() < deadline:
        found.extend(fleet.events(0.2))
    return found


@pytest.mark.slow
def test_what_goes_wrong_at_loading_is_told_and_a_worker_that_dies_at_once_is_given_up(tmp_path: Path) -> None:
    model = str(tiny_model("llama", tmp_path))
    broken = Setup(model, ModelOptions(device="cuda:9"), LocalOptions())
    # Python ends before it reads anything
    dead = Setup(model, ModelOptions(), LocalOptions(), variables={"PYTHONHOME": str(tmp_path)})
    fleet = ProcessFleet([broken, dead])
    try:
        found = events(fleet, 5)
        (failed,) = [one for one in found if isinstance(one, Failed)]
        assert isinstance(failed.error, UsageError)
        assert "cuda:9" in str(failed.error)
        lost = [one for one in found if isinstance(one, Lost) and one.worker == "2"]
        assert [one.returns for one in lost] == [True, True, False]
        assert "ended with code 1" in lost[0].reason
        assert not any(isinstance(one, Joined) for one in found)
    finally:
        fleet.close()


def test_a_file_that_cannot_be_read_is_told_and_is_no_broken_pipe() -> None:
    sent: list[tuple[str, int, object]] = []

    class Setup_:
        def open(self) -> None:
            raise OSError("the disk is gone")

    messages: SimpleQueue[object] = SimpleQueue()
    messages.put(Setup_())
    serve(SimpleNamespace(send=sent.append), messages)  # type: ignore[arg-type]
    ((kind, _, error),) = sent
    assert (kind, str(error)) == ("failed", "a worker failed: OSError: the disk is gone")


def test_errors_that_travel() -> None:
    error = portable(ModelError("it is missing", hint="look for it"))
    assert (type(error), str(error), getattr(error, "hint", None)) == (ModelError, "it is missing", "look for it")

    class Own(EvalkitError):
        def __init__(self, one: int, two: int) -> None:
            super().__init__(f"{one} and {two}", hint="none")

    assert (type(portable(Own(1, 2))), str(portable(Own(1, 2)))) == (EvaluationError, "1 and 2")
    assert str(portable(ValueError("x"))) == "a worker failed: ValueError: x"
