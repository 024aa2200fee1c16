"""The sandbox's own process: gives up what it can, then runs one program. Started by `sandbox`, never imported.

On standard input it gets one line of JSON (limits and a secret) and the program. On standard output it writes one line of
JSON (what is enforced), and after the program ran to its end without an error the secret; a program that leaves early, by
whatever way, or prints what it likes, therefore does not pass. That holds for programs that know nothing of this file: the
secret is in the memory of the process that runs them (no place that a process writes its success from can be hidden from
Python code inside it), so one made to deceive can find and report it. Standard library only.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import sys

_NEW_USER, _NEW_NETWORK = 0x10000000, 0x40000000


def main() -> None:
    """Reads, confines itself, reports, runs."""
    orders = json.loads(sys.stdin.buffer.readline())
    program = sys.stdin.buffer.read().decode("utf-8", "surrogatepass")
    report = os.fdopen(os.dup(1), "w", buffering=1)
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    code = compile(program, "program", "exec")  # a broken program fails before anything else is done
    enforced = confine(orders)
    print(json.dumps(enforced), file=report)
    exec(code, {})
    print(orders["secret"], file=report)
    report.flush()
    os._exit(0)  # nothing that the program left behind (threads, exit handlers) runs on


def confine(orders: dict[str, int]) -> dict[str, bool]:
    """Takes away network, processes and plenty; what of it is in force."""
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    from file_access import write_only_below  # type: ignore[import-not-found]
    from system_calls import refuse_system_calls  # type: ignore[import-not-found]

    del sys.path[0]
    limits = {
        resource.RLIMIT_CPU: orders["cpu_seconds"],
        resource.RLIMIT_AS: orders["memory"],
        resource.RLIMIT_FSIZE: orders["file_size"],
        resource.RLIMIT_NOFILE: orders["open_files"],
        resource.RLIMIT_CORE: 0,
    }
    limited = all([_limit(kind, amount) for kind, amount in limits.items()])
    alone = _leave_network()
    writes = bool(write_only_below(os.getcwd()))
    filtered = bool(refuse_system_calls())
    _refuse_in_python()
    return {
        "limits": limited,
        "network_namespace": alone,
        "file_access_rules": writes,
        "system_call_filter": filtered,
    }


def _limit(kind: int, amount: int) -> bool:
    try:
        resource.setrlimit(kind, (amount, amount))
    except (ValueError, OSError):  # macOS refuses some
        return False
    return True


def _leave_network() -> bool:
    """Moves into a network of its own that has no device up."""
    library = ctypes.CDLL(None, use_errno=True)
    if not hasattr(library, "unshare"):
        return False
    return bool(library.unshare(_NEW_USER | _NEW_NETWORK) == 0 or library.unshare(_NEW_NETWORK) == 0)


_REFUSED = (
    "socket.",
    "subprocess.",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.spawn",
    "os.fork",
    "os.kill",
    "pty.",
)
_CHANGES = {
    *("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate", "os.chmod", "os.chown"),
    *("os.utime", "shutil.rmtree", "shutil.move", "shutil.copyfile", "shutil.copytree", "shutil.chown"),
}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def _refuse_in_python() -> None:
    """Refuses sockets, processes and changes to files elsewhere at Python's own doors.

    That gives a clear error where the system refuses too, and keeps accidents out where it does not.
    """
    folder = os.path.realpath(os.getcwd())

    def elsewhere(path: object) -> bool:
        if not isinstance(path, str | bytes):
            return False  # a file descriptor that is open already
        place = os.path.realpath(os.fsdecode(path))
        return not (place == os.devnull or place == folder or place.startswith(folder + os.sep))

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event.startswith(_REFUSED):
            raise PermissionError(f"{event} is not allowed here")
        if event == "open":
            path, _, flags = arguments
            changed = [path] if isinstance(flags, int) and flags & _WRITING else []
        else:
            changed = [one for one in arguments if isinstance(one, str | bytes)] if event in _CHANGES else []
        if any(elsewhere(path) for path in changed):
            raise PermissionError(f"{event} is allowed in the program's own folder only")

    sys.addaudithook(hook)


if __name__ == "__main__":
    main()
