"""Files may be written in one folder only (Linux Landlock, from 5.13); it needs no privilege and cannot be taken off.

Reading stays free: the program needs Python's own files. Changing the mode, owner or times of a file is not covered by
Landlock. Standard library only: the sandbox's child process imports this file before it runs a program.

Source: the Linux manual page landlock(7).
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ASK_VERSION, _BENEATH = 1, 1
_SET_NO_NEW_PRIVILEGES = 38

_WRITE_FILE = 1 << 1
_CHANGE_FOLDER = sum(1 << bit for bit in range(4, 13))
"""Remove a folder or file; make a device, folder, file, socket, pipe, block device, link."""
_REFER, _TRUNCATE = 1 << 13, 1 << 14


def write_only_below(folder: str) -> bool:
    """Refuses this process every writing elsewhere, but for the null device; whether that is in force."""
    if platform.system() != "Linux":
        return False
    library = ctypes.CDLL(None, use_errno=True)
    version = library.syscall(_CREATE_RULESET, None, 0, _ASK_VERSION)
    if version < 1:
        return False
    handled = _WRITE_FILE | _CHANGE_FOLDER | (_REFER if version >= 2 else 0) | (_TRUNCATE if version >= 3 else 0)
    ruleset = library.syscall(_CREATE_RULESET, struct.pack("Q", handled), 8, 0)
    if ruleset < 0:
        return False
    try:
        return (
            _allow(library, ruleset, folder, handled)
            and _allow(library, ruleset, os.devnull, handled & (_WRITE_FILE | _TRUNCATE))
            and library.prctl(_SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0) == 0
            and library.syscall(_RESTRICT_SELF, ruleset, 0) == 0
        )
    finally:
        os.close(ruleset)


def _allow(library: ctypes.CDLL, ruleset: int, path: str, access: int) -> bool:
    place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = struct.pack("=Qi", access, place)
        return bool(library.syscall(_ADD_RULE, ruleset, _BENEATH, rule, 0) == 0)
    finally:
        os.close(place)
