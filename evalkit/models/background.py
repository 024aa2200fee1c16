"""Work in a thread of its own that holds up neither Ctrl-C nor the end of the process."""

from __future__ import annotations

import atexit
import ctypes
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


class Background(Generic[T]):
    """Starts work at once and hands out its result, or raises its error, when asked.

    When the process ends first, the work is stopped at its next step in Python: a thread that were simply left to itself
    would be killed within a library's native code, which aborts the process.

    Args:
        work: What to do.
    """

    def __init__(self, work: Callable[[], T]) -> None:
        self._work: Callable[[], T] | None = work
        self._future: Future[T] = Future()
        self._thread = threading.Thread(target=self._run, name="evalkit-background", daemon=True)
        atexit.register(self._stop)
        self._thread.start()

    def result(self) -> T:
        """Waits for the work's result; whatever it raised is raised here."""
        return self._future.result()

    def _run(self) -> None:
        assert self._work is not None
        try:
            self._future.set_result(self._work())
        except BaseException as error:  # to be raised where the result is wanted
            self._future.set_exception(error)
        finally:
            self._work = None
            atexit.unregister(self._stop)

    def _stop(self) -> None:
        if self._thread.is_alive() and self._thread.ident is not None:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread.ident), ctypes.py_object(SystemExit))
            self._thread.join()
