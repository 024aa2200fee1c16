"""Evaluations in processes of their own, forked from this one, so that a hundred of them do not load the libraries anew.

The child runs evalkit's own entry point. Each answer that the journal has taken is noted in a second file at once: what
stands there was promised.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Injection = Callable[[], object]
"""Done in the child before its command begins."""


def preload() -> None:
    """Loads what every child needs, and starts no thread."""
    os.environ.update(OMP_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false", HF_HUB_OFFLINE="1", EVALKIT_NO_CACHE="1")
    import torch

    torch.set_num_threads(1)
    import datasets  # noqa: F401
    import pyarrow.parquet  # noqa: F401
    import transformers  # noqa: F401
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM  # noqa: F401

    import evalkit.backends.local
    import evalkit.cli.main
    import evalkit.models.load  # noqa: F401


@dataclass(frozen=True)
class Ended:
    """How a child ended.

    Attributes:
        code: Exit code; minus the signal where one ended it.
        said: Standard error.
    """

    code: int
    said: str


class Child:
    """A running evaluation.

    Args:
        command: What follows `evalkit`.
        folder: Working directory.
        injection: Done first, in the child.
    """

    def __init__(self, command: Sequence[str], folder: Path, injection: Injection | None = None) -> None:
        self.promises = folder / "promised"
        self.promises.unlink(missing_ok=True)
        sys.stdout.flush()
        sys.stderr.flush()
        # a pipe: what the child says must not need room on a disk that is full; it is little, and read at the end
        self._said, said = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            try:
                _be_the_child(command, folder, self.promises, said, injection)
            finally:
                os._exit(71)
        os.close(said)

    def kill(self) -> None:
        """SIGKILL."""
        os.kill(self.pid, signal.SIGKILL)

    def wait(self, seconds: float | None = None) -> Ended | None:
        """How it ended; None where it is still running after so many seconds."""
        end = None if seconds is None else time.monotonic() + seconds
        while True:
            pid, status = os.waitpid(self.pid, 0 if end is None else os.WNOHANG)
            if pid:
                with os.fdopen(self._said, "rb") as stream:
                    said = stream.read().decode(errors="replace")
                return Ended(os.waitstatus_to_exitcode(status), said)
            if end is not None and time.monotonic() >= end:
                return None
            time.sleep(0.002)

    def ended(self) -> Ended:
        """How it ends."""
        found = self.wait()
        assert found is not None
        return found

    def promised(self) -> dict[int, Any]:
        """Request -> answer, of all that this process was told is kept."""
        if not self.promises.exists():
            return {}
        found: dict[int, Any] = {}
        for line in self.promises.read_bytes().split(b"\n")[:-1]:
            found.update({index: values for index, *values in json.loads(line)})
        return found


def _be_the_child(command: Sequence[str], folder: Path, promises: Path, said: int, injection: Injection | None) -> None:
    code = 70
    try:
        os.chdir(folder)
        os.dup2(said, 1)
        os.dup2(said, 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
        _promise(promises)
        if injection is not None:
            injection()
        from evalkit.cli.main import main

        sys.argv = ["evalkit", *command]
        main()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(bool(ended.code))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _promise(path: Path) -> None:
    """Notes what the journal takes, after it has said so."""
    from evalkit.reply_json import values_of
    from evalkit.requests import Failure
    from evalkit.runner.journal import Journal

    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    add = Journal.add

    def noted(self: Journal, answers: Any, budget: int) -> None:
        kept = list(answers)
        add(self, kept, budget)
        line = [[index, *values_of(reply)] for index, reply in kept if not isinstance(reply, Failure)]
        os.write(file, json.dumps(line).encode() + b"\n")

    Journal.add = noted  # type: ignore[method-assign]


def journalled(output: Path) -> dict[int, Any]:
    """Request -> answer, of all that the journal of a result holds on disk; read without evalkit's own reader."""
    path = output.with_name(output.name + ".journal")
    found: dict[int, Any] = {}
    if path.exists():
        for line in path.read_bytes().split(b"\n")[:-1]:
            try:
                record = json.loads(line.partition(b" ")[2])
            except ValueError:
                continue
            found.update({index: values for index, *values in record.get("answers", ())})
    return found
