"""Workers on this machine: a process each."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import IO

from evalkit.backends.workers.fleet import (
    MAX_DEATHS,
    Event,
    Failed,
    Finished,
    Joined,
    Lost,
    Piece,
    Setup,
)
from evalkit.backends.workers.jobs import Description, Job
from evalkit.errors import EvalkitError, EvaluationError


@dataclass(slots=True, eq=False)
class _Process:
    """A worker's process and what is known of it."""

    process: subprocess.Popen[bytes]
    connection: Connection
    errors: IO[bytes]
    finished: int = 0


class ProcessFleet:
    """Starts workers and talks to them through pipes. One that dies is started again.

    Args:
        setups: What each is to load.
    """

    def __init__(self, setups: list[Setup]) -> None:
        self._setups = {str(place): setup for place, setup in enumerate(setups, start=1)}
        self._deaths = dict.fromkeys(self._setups, 0)
        self._processes = {name: _start(setup) for name, setup in self._setups.items()}

    @property
    def size(self) -> int:
        """Workers that run or are being started."""
        return len(self._processes)

    def send(self, worker: str, ticket: int, job: Job) -> None:
        """Gives a worker a job; if it is gone, `events` will say so."""
        if worker in self._processes:
            with suppress(OSError):
                self._processes[worker].connection.send((ticket, job))

    def events(self, seconds: float) -> list[Event]:
        """What the workers said, and which of them are gone."""
        names = {id(one.connection): name for name, one in self._processes.items()}
        ready = wait([one.connection for one in self._processes.values()], seconds)
        found: list[Event] = []
        for connection in ready:
            name = names[id(connection)]
            found.extend(self._read(name))
        return found

    def _read(self, name: str) -> list[Event]:
        """All that one worker has said."""
        one = self._processes[name]
        found: list[Event] = []
        try:
            while one.connection.poll():
                event = _event(name, *one.connection.recv())
                one.finished += isinstance(event, Finished)
                found.append(event)
        except (EOFError, OSError, pickle.UnpicklingError):
            found.append(self._bury(name))
        return found

    def _bury(self, name: str) -> Lost:
        """Takes note of a worker's end, and starts it again unless it ended too often without doing anything."""
        one = self._processes.pop(name)
        one.connection.close()
        reason = _why(one)
        self._deaths[name] = 1 if one.finished else self._deaths[name] + 1
        returns = self._deaths[name] < MAX_DEATHS
        if returns:
            self._processes[name] = _start(self._setups[name])
        return Lost(name, reason, returns)

    def close(self) -> None:
        """Ends all workers at once."""
        for one in self._processes.values():
            one.process.kill()
        for one in self._processes.values():
            one.connection.close()
            one.process.wait()
            one.errors.close()
        self._processes.clear()


def _start(setup: Setup) -> _Process:
    ours, theirs = Pipe()
    errors = tempfile.TemporaryFile()  # noqa: SIM115
    command = [sys.executable, "-m", "evalkit.backends.workers.process", str(theirs.fileno())]
    # a session of its own: Ctrl-C is the first process's to answer
    process = subprocess.Popen(
        command,
        pass_fds=[theirs.fileno()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=errors,
        start_new_session=True,
        env={**os.environ, **setup.variables},
    )
    theirs.close()
    with suppress(OSError):  # if it ended already, that is seen at the first reading
        ours.send(setup)
    return _Process(process, ours, errors)


def _event(name: str, kind: str, ticket: int, value: object) -> Event:
    if kind == "joined":
        assert isinstance(value, Description)
        return Joined(name, value)
    if kind == "failed":
        assert isinstance(value, Exception)
        return Failed(name, value)
    return Piece(name, ticket, value) if kind == "piece" else Finished(name, ticket)


def _why(one: _Process) -> str:
    """How a process ended, and the last that it said."""
    try:
        code = one.process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        one.process.kill()
        code = one.process.wait()
    one.errors.seek(0)
    lines = one.errors.read().decode(errors="replace").strip().splitlines()
    one.errors.close()
    how = f"ended by signal {-code}" if code < 0 else f"ended with code {code}"
    return f"{how}: {lines[-1].strip()}" if lines else how


def portable(error: Exception) -> Exception:
    """An error that can be raised in another process."""
    if isinstance(error, EvalkitError):
        try:
            again = pickle.loads(pickle.dumps(error))
        except Exception:
            pass
        else:
            return again if isinstance(again, EvalkitError) else error
        return EvaluationError(error.message, hint=error.hint)
    return EvaluationError(f"a worker failed: {type(error).__name__}: {error}")
