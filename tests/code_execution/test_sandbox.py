"""Programs pass, fail and time out as they should, and what must be kept in is kept in."""

import os
import platform
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from evalkit.code_execution import Limits, protections, run_program

ATTEMPT = """
import ctypes
library = ctypes.CDLL(None, use_errno=True)
assert {call} >= 0
"""


def ending(program: str, **limits: float) -> str:
    return run_program(program, Limits(**limits) if limits else None).ending  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("def double(x):\n    return 2 * x\nassert double(4) == 8", "passed"),
        ("import threading\nthread = threading.Thread(target=list)\nthread.start()\nthread.join()", "passed"),
        ("open('notes', 'w').write('x')\nimport os\nos.mkdir('a')\nos.remove('notes')", "passed"),
        ("assert 1 + 1 == 3", "failed"),
        ("def (", "failed"),
        ("raise KeyboardInterrupt", "failed"),
        ("text = 'é\\ud800'\nassert len(text) == 2", "passed"),
    ],
)
def test_a_program_passes_if_it_ends_without_an_error(program: str, expected: str) -> None:
    assert ending(program) == expected


@pytest.mark.parametrize("leave", ["import sys\nsys.exit(0)", "import os\nos._exit(0)", "raise SystemExit", "exit()"])
def test_leaving_early_is_not_passing(leave: str) -> None:
    assert ending(f"{leave}\nassert False") == "failed"


def test_what_a_program_prints_is_no_report() -> None:
    assert ending("print('{}')\nprint('passed' * 10**6)\nassert False") == "failed"
    assert ending("import sys\nsys.stderr.write('x' * 10**6)") == "passed"


def test_time_is_limited() -> None:
    start = time.monotonic()
    assert ending("while True: pass", seconds=0.3) == "timed out"
    assert ending("import time\ntime.sleep(60)", seconds=0.3) == "timed out"
    assert time.monotonic() - start < 20


def test_memory_and_file_size_are_limited() -> None:
    assert ending("text = bytearray(600 * 1024**2)", seconds=10, memory=512 * 1024**2) == "failed"
    assert ending("open('big', 'w').write('x' * 2_000_000)") == "failed"


def test_the_folder_and_the_environment_are_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "abc")
    program = "import os\nassert os.listdir('.') == []\nassert not {'SECRET_TOKEN', 'PATH'} & set(os.environ)"
    assert ending(program) == "passed"


def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert ending("open('notes', 'w').write('x')") == "passed"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "program",
    [
        "import socket\nsocket.create_connection(('127.0.0.1', {port}), 1)",
        "import subprocess\nsubprocess.run(['true'])",
        "import os\nos.system('true')",
        "import os\nos.fork()",
        "import os, signal\nos.kill({pid}, 0)",
        "open('{file}', 'w')",
        "import os\nos.remove('{file}')",
        "import os\nos.symlink('{folder}', 'link')\nopen('link/new', 'w')",
    ],
)
def test_pythons_own_doors_are_shut(program: str, tmp_path: Path) -> None:
    file = tmp_path / "mine"
    file.write_text("kept")
    with socket.create_server(("127.0.0.1", 0)) as server:
        attempt = program.format(port=server.getsockname()[1], pid=os.getpid(), file=file, folder=tmp_path)
        assert ending(attempt) == "failed"
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    assert file.read_text() == "kept"


on_linux = pytest.mark.skipif(
    platform.system() != "Linux" or platform.machine() not in {"x86_64", "aarch64"},
    reason="the filter on system calls is there on Linux (x86_64, aarch64)",
)


@on_linux
@pytest.mark.parametrize(
    "call",
    [
        *("library.socket(2, 1, 0)", "library.socket(1, 1, 0)", "library.fork()", "library.kill({pid}, 0)"),
        *("library.ptrace(0, 0, 0, 0)", "library.unshare(0x20000)", "library.syscall(425, 1, 0)"),
        "library.execl(b'/bin/true', b'true', None)",
    ],
)
def test_going_around_python_is_refused_by_the_system(call: str) -> None:
    assert ending(ATTEMPT.format(call=call.format(pid=os.getpid()))) == "failed"
    assert ending(ATTEMPT.format(call="library.getpid()")) == "passed"


@on_linux
def test_the_attempts_would_succeed_without_the_sandbox() -> None:
    for call in ("library.socket(2, 1, 0)", f"library.kill({os.getpid()}, 0)"):
        subprocess.run([sys.executable, "-c", ATTEMPT.format(call=call)], check=True)


def test_files_elsewhere_cannot_be_changed_where_the_system_has_rules(tmp_path: Path) -> None:
    if "file access rules" not in protections()["writing_elsewhere"]:
        pytest.skip("no Landlock in this kernel")
    file = tmp_path / "mine"
    file.write_text("kept")
    assert ending(ATTEMPT.format(call=f"-abs(library.unlink({os.fsencode(file)!r})) ")) == "failed"
    assert ending(ATTEMPT.format(call=f"library.open({os.fsencode(file)!r}, 0o1001, 0)")) == "failed"
    assert ending(ATTEMPT.format(call="library.open(b'here', 0o101, 0o600)")) == "passed"
    assert file.read_text() == "kept"


def test_the_result_can_say_what_was_enforced() -> None:
    told = protections()
    assert set(told) == {"network", "processes", "writing_elsewhere", "reading_elsewhere", "limits"}
    assert told["reading_elsewhere"] == "allowed"
    if platform.system() == "Linux":
        assert "system call filter" in told["network"]
