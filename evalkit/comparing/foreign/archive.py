"""A zip archive read member by member in memory, whoever made it: nothing is unpacked to disk, and every size is bounded.

Python's `zipfile` reads the directory; the members are decompressed here, since it knows no Zstandard before Python 3.14.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from evalkit.comparing.foreign.building import LARGEST_DOCUMENT, opened
from evalkit.errors import UsageError

_DEFLATE, _ZSTANDARD = 8, 93
_LOCAL_HEADER = struct.Struct("<4s22xHH")
_DAMAGED = (zipfile.BadZipFile, struct.error, zlib.error, OSError, EOFError, ValueError, OverflowError, RuntimeError)
"""What damaged archives make the libraries raise."""

_LARGEST_RATIO = 1000
"""Uncompressed bytes for each byte of the archive: logs have about 10, bombs have more than this."""

_LARGE_MEMBER = 64 * 2**20
_LARGEST_MEMBER_RATIO = 200
"""Bytes of a member, and bytes for each compressed one, beyond both of which it is taken for a bomb."""


class Archive:
    """An open archive.

    Args:
        stream: Its file.
        path: The file's path, for messages.
        hint: What to do about a damaged one.

    Raises:
        UsageError: It is no zip archive, or claims to hold absurdly much.
    """

    def __init__(self, stream: BinaryIO, path: Path, hint: str) -> None:
        self._stream = stream
        self._file = path.name
        self._hint = hint
        try:
            members = zipfile.ZipFile(stream).infolist()
        except (*_DAMAGED, NotImplementedError) as error:
            raise self._error(f"is no readable zip archive ({_first_line(error)})") from error
        self._members = {member.filename: member for member in members}
        total = sum(member.file_size for member in members)
        if total > max(LARGEST_DOCUMENT, _LARGEST_RATIO * path.stat().st_size):
            raise self._error(f"claims to hold {total >> 20} MiB, more than its size allows")
        for member in members:
            if member.file_size > max(_LARGE_MEMBER, _LARGEST_MEMBER_RATIO * member.compress_size):
                raise self._error(
                    f"holds {member.filename}, which is too large: {member.file_size >> 20} MiB, unpacked from "
                    f"{member.compress_size:,} bytes"
                )

    @property
    def names(self) -> list[str]:
        """Names of the members."""
        return list(self._members)

    def read(self, name: str) -> bytes:
        """The content of a member.

        Raises:
            UsageError: It is missing, damaged, too large, or compressed in another way than Inspect's.
        """
        member = self._members.get(name)
        if member is None:
            raise self._error(f"holds no {name}")
        if member.file_size > LARGEST_DOCUMENT or member.compress_size > LARGEST_DOCUMENT:
            raise self._error(f"holds {name}, which is larger than {LARGEST_DOCUMENT >> 20} MiB")
        try:
            content = self._decompressed(member, self._raw(member))
        except (*_DAMAGED, MemoryError) as error:
            raise self._error(f"is damaged: {name} cannot be read ({_first_line(error)})") from error
        if len(content) != member.file_size or zlib.crc32(content) != member.CRC:
            raise self._error(f"is damaged: {name} is not what the archive's directory says")
        return content

    def _raw(self, member: zipfile.ZipInfo) -> bytes:
        self._stream.seek(member.header_offset)
        signature, name, extra = _LOCAL_HEADER.unpack(self._stream.read(_LOCAL_HEADER.size))
        if signature != b"PK\x03\x04":
            raise zipfile.BadZipFile("no local header")
        self._stream.seek(name + extra, 1)
        return self._stream.read(member.compress_size)

    def _decompressed(self, member: zipfile.ZipInfo, raw: bytes) -> bytes:
        """The content, never more than a byte beyond what the directory says."""
        limit = member.file_size + 1
        if member.flag_bits & 1:
            raise self._error(f"holds {member.filename}, which is encrypted")
        if member.compress_type == zipfile.ZIP_STORED:
            return raw
        if member.compress_type == _DEFLATE:
            return zlib.decompressobj(-zlib.MAX_WBITS).decompress(raw, limit)
        if member.compress_type == _ZSTANDARD:
            import pyarrow

            return bytes(pyarrow.CompressedInputStream(pyarrow.BufferReader(raw), "zstd").read(limit))
        raise self._error(f"holds {member.filename}, compressed by method {member.compress_type}")

    def _error(self, what: str) -> UsageError:
        return UsageError(f"{self._file} {what}", hint=self._hint)


@contextmanager
def open_archive(path: Path, hint: str) -> Iterator[Archive]:
    """An archive, closed afterwards.

    Raises:
        UsageError: See `Archive`.
    """
    with opened(path, hint) as stream:
        yield Archive(stream, path, hint)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
