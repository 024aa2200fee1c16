from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from evalkit.errors import OutputError
from evalkit.files import atomic_writer
from evalkit.results import check_writable


def test_folders_are_made(tmp_path: Path) -> None:
    with atomic_writer(tmp_path / "a" / "b" / "x.json") as stream:
        stream.write(b"{}")
    assert (tmp_path / "a" / "b" / "x.json").read_bytes() == b"{}"


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(b"old")

    def fail() -> None:
        with atomic_writer(path) as stream:
            stream.write(b"new")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["x.json"]


def test_the_file_has_the_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    with atomic_writer(tmp_path / "x.json") as stream:
        stream.write(b"{}")
    assert stat.S_IMODE((tmp_path / "x.json").stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


def test_check_writable_leaves_nothing(tmp_path: Path) -> None:
    check_writable(tmp_path / "x.json")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("kind", ["directory", "pipe", "below a file"])
def test_unwritable_places(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "place"
    if kind == "directory":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.touch()
        path = path / "x.json"
    with pytest.raises(OutputError) as caught:
        check_writable(path)
    assert str(path) in caught.value.message
    assert caught.value.hint
    with pytest.raises(OutputError), atomic_writer(path):
        pass


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device /dev/full of Linux")
def test_a_device_is_refused_not_replaced() -> None:
    with pytest.raises(OutputError, match="not a regular file"):
        check_writable("/dev/full")
    assert not Path("/dev/full").is_file()


def test_the_folder_itself_is_no_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutputError, match="is a directory"):
        check_writable(Path("."))
