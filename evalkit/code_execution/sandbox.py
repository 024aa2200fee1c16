"""Runs a program in a process of its own: empty folder and environment, limits, no network, killed after its time.

What is enforced depends on the system and is reported by `protections`:

- everywhere: a process of its own in an empty temporary folder, with an empty environment, standard streams that lead
  nowhere, limits on processor time, memory, file size and open files, and an end after `Limits.seconds`;
- on Linux (x86_64, aarch64) a seccomp filter: no socket, no new process or program, no signal to another process;
- on Linux from 5.13 Landlock: files are written, made and removed in the temporary folder only;
- where the system allows it, a network namespace without a device besides;
- everywhere a hook inside Python that refuses sockets, processes, and changes to files outside the folder. It keeps
  accidents out but not an attack, and on other systems it is all there is.

Files are not hidden: a program may read what the user may read. Run as a user who owns little, or in a container, where
that matters.

What is kept in is the harm that a program does, not a lie about itself: one that is made to deceive this very sandbox can
report that it passed (see `child`), as it can with HumanEval's original harness, which also judges inside the process.
"""

from __future__ import annotations

import json
import os
import secrets
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from evalkit.errors import EvaluationError

CHILD = Path(__file__).with_name("child.py")
START_SECONDS = 60.0
"""Time that the process may take to start, besides the program's own; a busy machine is slow."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a program may use.

    Attributes:
        seconds: Time by the clock, and (rounded up) of the processor. 3 is that of OpenAI's and lm-eval's HumanEval.
        memory: Bytes of address space.
        file_size: Bytes of a file it writes.
        open_files: Files open at once.
    """

    seconds: float = 3.0
    memory: int = 4 * 1024**3
    file_size: int = 1024**2
    open_files: int = 64


@dataclass(frozen=True, slots=True)
class Execution:
    """How a program ended.

    Attributes:
        ending: `passed` when it ran to its end without an error (or was made to deceive the sandbox), `failed`, or `timed
            out`.
        enforced: Kind of protection -> whether it was in force; empty where the program did not come to run.
    """

    ending: Literal["passed", "failed", "timed out"]
    enforced: dict[str, bool]


def run_program(program: str, limits: Limits | None = None) -> Execution:
    """Runs Python code.

    Args:
        program: The code.
        limits: What it may use.

    Raises:
        EvaluationError: No process can be started.
    """
    limits = limits or Limits()
    secret = secrets.token_hex(16)
    orders = {
        "secret": secret,
        "cpu_seconds": int(limits.seconds) + 2,
        "memory": limits.memory,
        "file_size": limits.file_size,
        "open_files": limits.open_files,
    }
    given = json.dumps(orders).encode() + b"\n" + program.encode("utf-8", "surrogatepass")
    with tempfile.TemporaryDirectory(prefix="evalkit-program-", ignore_cleanup_errors=True) as folder:
        with tempfile.TemporaryFile() as source:  # a file, as a pipe would block on a long program
            source.write(given)
            source.seek(0)
            process = _start(folder, source)
        try:
            report, timed_out = _read_report(process, limits.seconds)
        finally:
            _end(process)
    first, _, rest = report.partition("\n")
    enforced = json.loads(first) if rest or report.endswith("\n") else {}
    if rest.strip() == secret:
        return Execution("passed", enforced)
    return Execution("timed out" if timed_out else "failed", enforced)


def protections() -> dict[str, Any]:
    """What keeps a program in on this system, as the result file tells it: found out by running an empty one.

    Raises:
        EvaluationError: Not even an empty program runs.
    """
    return dict(_protections())


@cache
def _protections() -> dict[str, Any]:
    execution = run_program("", Limits(seconds=30.0))
    if execution.ending != "passed":
        raise EvaluationError(
            "the sandbox for generated code does not work here: not even an empty program runs in it",
            hint="leave out the tasks that run code",
        )
    inside = "blocked inside Python only"

    def means(*names: str) -> str:
        return " and ".join(name.replace("_", " ") for name in names if execution.enforced.get(name)) or inside

    return {
        "network": means("system_call_filter", "network_namespace"),
        "processes": means("system_call_filter"),
        "writing_elsewhere": means("file_access_rules"),
        "reading_elsewhere": "allowed",
        "limits": execution.enforced.get("limits", False),
    }


def _start(folder: str, source: Any) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            [sys.executable, "-I", "-B", str(CHILD)],
            cwd=folder,
            env={"HOME": folder, "TMPDIR": folder, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            stdin=source,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        raise EvaluationError(
            f"no process can be started for generated code: {error}", hint="leave out the tasks that run code"
        ) from error


def _read_report(process: subprocess.Popen[bytes], seconds: float) -> tuple[str, bool]:
    """What the child reports, and whether its time ran out; the program's clock starts with the first line."""
    assert process.stdout is not None
    report, started = b"", False
    deadline = time.monotonic() + START_SECONDS
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while (left := deadline - time.monotonic()) > 0:
            if not selector.select(left):
                break
            piece = os.read(process.stdout.fileno(), 4096)
            if not piece or len(report) > 4096:
                return report.decode("utf-8", "replace"), False
            report += piece
            if not started and b"\n" in report:
                started, deadline = True, time.monotonic() + seconds
    return report.decode("utf-8", "replace"), True


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kills whatever is left of the process and its group."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()
