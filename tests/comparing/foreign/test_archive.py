"""Archives that someone hostile, or a full disk, may have made."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import pytest

from evalkit.comparing.foreign import archive as module
from evalkit.comparing.foreign.archive import open_archive
from evalkit.errors import UsageError

TEXT = b'{"a": "' + b"text " * 100 + b'"}'
LETTERS = Path(__file__).parent / "inspect" / "letters.eval"


@pytest.fixture(params=[zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    file = tmp_path / "log.eval"
    with zipfile.ZipFile(file, "w", request.param) as writer:
        writer.writestr("header.json", TEXT)
        writer.writestr("../outside.json", b"{}")
    return file


def read(path: Path, name: str) -> bytes:
    with open_archive(path, "a hint") as archive:
        return archive.read(name)


def test_members_are_read_as_they_were_written(path: Path) -> None:
    assert read(path, "header.json") == TEXT


def test_zstandard_is_read() -> None:
    assert read(LETTERS, "header.json").startswith(b"{")


def test_a_name_that_leads_out_of_the_archive_is_a_name_only(path: Path) -> None:
    assert read(path, "../outside.json") == b"{}"
    assert not (path.parent.parent / "outside.json").exists()


def test_a_missing_member_is_named(path: Path) -> None:
    with pytest.raises(UsageError, match=r"log.eval holds no other.json"):
        read(path, "other.json")


@pytest.mark.parametrize("content", [b"", b"PK", b"not a zip", b"PK\x05\x06" + b"\xff" * 18])
def test_what_is_no_archive_is_said_so(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "log.eval"
    file.write_bytes(content)
    with pytest.raises(UsageError, match=r"log.eval is no readable zip archive"):
        read(file, "header.json")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_truncated_archive_is_said_so(share: float, path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(UsageError):
        read(path, "header.json")


def test_a_changed_byte_is_seen(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[60] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(UsageError, match=r"log.eval is damaged: header.json"):
        read(path, "header.json")


def test_a_changed_byte_of_zstandard_is_seen(tmp_path: Path) -> None:
    content = bytearray(LETTERS.read_bytes())
    place = content.index(b"samples/q0_epoch_1.json") + 60
    content[place] ^= 1
    file = tmp_path / "log.eval"
    file.write_bytes(bytes(content))
    with pytest.raises(UsageError, match=r"damaged: samples/q0"):
        read(file, "samples/q0_epoch_1.json")


def test_a_member_that_is_larger_than_it_says_is_not_unpacked(tmp_path: Path) -> None:
    """A bomb whose directory lies: 64 MiB of zeros that claim to be 10 bytes."""
    file = tmp_path / "log.eval"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as writer:
        writer.writestr("header.json", bytes(64 << 20))
    content = file.read_bytes()
    directory = content.index(b"PK\x01\x02")
    file.write_bytes(content[: directory + 24] + struct.pack("<I", 10) + content[directory + 28 :])
    with pytest.raises(UsageError, match="not what the archive's directory says"):
        read(file, "header.json")


def test_a_member_that_is_too_large_is_named_before_anything_is_missed(tmp_path: Path) -> None:
    """Reading it would end with "holds no samples": the large member is none."""
    file = tmp_path / "bomb.eval"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as writer:
        writer.writestr("header.json", '{"version": 2, "status": "success", "eval": {}}')
        writer.writestr("summaries.json", b"[" + b" " * (65 << 20) + b"]")
    with pytest.raises(UsageError, match=r"bomb.eval holds summaries.json, which is too large: 65 MiB, unpacked from"):
        read(file, "header.json")


def test_an_archive_that_claims_to_hold_absurdly_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "log.eval"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as writer:
        for number in range(3):
            writer.writestr(f"samples/{number}.json", bytes(1 << 20))
    assert read(file, "samples/0.json") == bytes(1 << 20)
    monkeypatch.setattr(module, "LARGEST_DOCUMENT", 2 << 20)
    monkeypatch.setattr(module, "_LARGEST_RATIO", 100)
    with pytest.raises(UsageError, match="claims to hold 3 MiB"):
        read(file, "samples/0.json")


def test_a_large_member_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST_DOCUMENT", 100)
    with pytest.raises(UsageError, match=r"header.json, which is larger than"):
        read(path, "header.json")


def test_an_encrypted_member_is_refused(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(bytes(content))
    with pytest.raises(UsageError, match=r"header.json, which is encrypted"):
        read(path, "header.json")
