"""The process of a worker: `python -m evalkit.backends.workers.process FD` reads jobs from a pipe and answers there.

What comes through the pipe is from the process that started this one.
"""

from __future__ import annotations

import os
import sys
import threading
import traceback
from contextlib import suppress
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any


def main() -> None:
    """Loads what the first message says, then does the jobs of all others."""
    connection = Connection(int(sys.argv[1]))
    messages: SimpleQueue[Any] = SimpleQueue()
    # read at once, so that whoever sends never waits for a job to end
    threading.Thread(target=_read, args=(connection, messages), daemon=True).start()
    serve(connection, messages)
    _end()


def serve(connection: Connection, messages: SimpleQueue[Any]) -> None:
    """Answers messages until an error."""
    setup = messages.get()
    from evalkit.backends.workers.jobs import Describe
    from evalkit.backends.workers.processes import portable

    try:
        backend = setup.open()
        (description,) = Describe().run(backend)
        connection.send(("joined", -1, description))
        while True:
            ticket, job = messages.get()
            for piece in job.run(backend):
                connection.send(("piece", ticket, piece))
            connection.send(("finished", ticket, None))
    except Exception as error:  # whatever it is, whoever asked must hear of it; unless the pipe itself is broken
        traceback.print_exc()
        with suppress(OSError):
            connection.send(("failed", -1, portable(error)))


def _read(connection: Connection, messages: SimpleQueue[Any]) -> None:
    """Takes in messages; ends the process, also in the middle of a job, when the other side is gone."""
    with suppress(EOFError, OSError):
        while True:
            messages.put(connection.recv())
    _end()


def _end() -> None:
    """At once: a library's threads may not end by themselves."""
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
