"""Work in the background: its result, its errors, and that it never holds up the end of the process."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest

from evalkit.errors import ModelError
from evalkit.models.background import Background


def test_it_starts_at_once_and_hands_out_the_result() -> None:
    started, go_on = threading.Event(), threading.Event()

    def work() -> int:
        started.set()
        assert go_on.wait(10)
        return 7

    background = Background(work)
    assert started.wait(10)  # before anyone asked
    go_on.set()
    assert (background.result(), background.result()) == (7, 7)


def test_an_error_is_raised_where_the_result_is_wanted() -> None:
    def work() -> None:
        raise ModelError("the weights are missing")

    background = Background(work)
    for _ in range(2):
        with pytest.raises(ModelError, match="weights are missing"):
            background.result()


ENDLESS = """
import time
from evalkit.models.background import Background

def work():
    while True:
        time.sleep(0.01)

background = Background(work)
"""


@pytest.mark.parametrize(
    ("ending", "code"),
    [("raise SystemExit(5)", 5), ("", 0), ("import signal\nsignal.raise_signal(signal.SIGINT)", -2), ("1 / 0", 1)],
)
def test_the_process_ends_while_work_goes_on(ending: str, code: int) -> None:
    start = time.monotonic()
    done = subprocess.run([sys.executable, "-c", ENDLESS + ending], capture_output=True, text=True, timeout=30)
    assert done.returncode == code
    assert "background" not in done.stderr.replace("evalkit.models.background", "")
    assert time.monotonic() - start < 20


def test_waiting_can_be_interrupted() -> None:
    waiting = ENDLESS + (
        "import os, signal, threading\n"
        "threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()\n"
        "try:\n    background.result()\nexcept KeyboardInterrupt:\n    print('interrupted')\n"
    )
    done = subprocess.run([sys.executable, "-c", waiting], capture_output=True, text=True, timeout=30)
    assert (done.stdout, done.stderr, done.returncode) == ("interrupted\n", "", 0)
