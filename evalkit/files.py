"""Writing a file whole or not at all."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from evalkit.errors import OutputError


@contextmanager
def atomic_writer(path: Path) -> Iterator[BinaryIO]:
    """A binary file that appears under `path` only when the block has ended without an error.

    The bytes go to a temporary file in the same folder, are flushed to the disk, and the file is renamed: a reader, or
    a crash at any moment, sees the old file or the new one, never a part.

    Raises:
        OutputError: The place cannot be written.
    """
    with _explained(path):
        _prepare(path)
        _remove_parts(path)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
        # not `tempfile`: its files are readable by their owner only, whatever the umask says
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    try:
        with _explained(path), os.fdopen(descriptor, "wb") as stream:
            lock(stream)  # by which a part that is being written is told from one that a crash left behind
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        with _explained(path):
            os.replace(temporary, path)
            _sync_folder(path.parent)
    except BaseException:
        with suppress(FileNotFoundError):
            temporary.unlink()
        raise


def write_text(path: Path, text: str) -> None:
    """Writes a UTF-8 file whole or not at all, its line ends as they are.

    Raises:
        OutputError: The place cannot be written.
    """
    with atomic_writer(path) as stream:
        stream.write(text.encode("utf-8", "backslashreplace"))


@contextmanager
def exclusive(path: Path, busy: str) -> Iterator[BinaryIO]:
    """Opens a file for reading and writing, unbuffered, made where it is missing, for this process alone.

    The system gives the lock back however a process ends. Where it has no locks (Windows, some network drives) there is
    none.

    Args:
        path: The file.
        busy: What to say where another process has it.

    Raises:
        OutputError: Another process has it, or the place cannot be written.
    """
    while True:
        with _explained(path):
            stream: BinaryIO = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b", buffering=0)
        with stream:
            if lock(stream) is False:
                raise OutputError(busy, hint="wait for it, or choose another place for the output with -o")
            if _is_at(stream, path):  # else its last holder took it away before this lock was had
                with _explained(path):
                    _sync_folder(path.parent)
                yield stream
                return


def lock(stream: BinaryIO) -> bool | None:
    """Takes the lock of an open file, until it is closed.

    Returns:
        Whether this process has it now; None where there are no locks (Windows, some network drives).
    """
    try:
        import fcntl
    except ImportError:  # no such thing on Windows
        return None
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a network drive without locks
        return None
    return True


def _is_at(stream: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(stream.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


def check_writable(path: Path) -> None:
    """Makes sure that a file can be written at `path`, by writing an empty one beside it; missing folders are made.

    Raises:
        OutputError: It cannot.
    """
    with _explained(path):
        _prepare(path)
        probe = path.with_name(f".{path.name}.{os.getpid()}.part")
        probe.touch()
        probe.unlink()


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(f"{path} cannot be written: {reason}", hint="choose another place for the output") from error


def _remove_parts(path: Path) -> None:
    """Takes away what processes left that were killed while they wrote this file."""
    for part in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        with suppress(OSError), part.open("rb") as stream:
            if lock(stream):
                part.unlink()


def _prepare(path: Path) -> None:
    if path.is_dir():
        raise OutputError(f"{path} is a directory", hint="give the name of a file, such as base.json")
    if path.exists() and not path.is_file():
        # renaming over /dev/null or a pipe would replace the device itself
        raise OutputError(f"{path} is not a regular file", hint="give the name of a file, such as base.json")
    path.parent.mkdir(parents=True, exist_ok=True)


def _sync_folder(folder: Path) -> None:
    """Makes the rename itself durable, where the system lets a folder be opened (not on Windows)."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
