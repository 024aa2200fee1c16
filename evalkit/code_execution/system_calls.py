"""A filter on system calls (Linux seccomp): no network, no new processes, no reaching into other processes.

It needs no privilege, cannot be taken off again, and holds for threads and libraries alike. Standard library only: the
sandbox's child process imports this file before it runs a program.

Source: the Linux manual pages seccomp(2), and the tables of system-call numbers in the kernel's headers.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct

_REFUSED = {
    "x86_64": """
        socket=41 socketpair=53 fork=57 vfork=58 execve=59 kill=62 ptrace=101 mount=165 umount2=166 reboot=169 tkill=200
        tgkill=234 unshare=272 setns=308 process_vm_readv=310 process_vm_writev=311 bpf=321 execveat=322
        pidfd_send_signal=424 io_uring_setup=425""",
    "aarch64": """
        umount2=39 mount=40 unshare=97 ptrace=117 kill=129 tkill=130 tgkill=131 reboot=142 socket=198 socketpair=199
        execve=221 setns=268 process_vm_readv=270 process_vm_writev=271 bpf=280 execveat=281
        pidfd_send_signal=424 io_uring_setup=425""",
}
_CLONE = {"x86_64": 56, "aarch64": 220}
_CLONE3 = 435
_ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

_ALLOW = 0x7FFF0000
_KILL = 0x80000000
_ERRNO = 0x00050000
_CLONE_THREAD = 0x00010000
_X32 = 0x40000000

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCH, _FIRST_ARGUMENT = 0, 4, 16
"""Offsets in what the filter sees of a call; the low half of an argument comes first on both machines."""

_SET_NO_NEW_PRIVILEGES, _SET_SECCOMP, _FILTER = 38, 22, 2


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p)]


def refuse_system_calls() -> bool:
    """Puts the filter on this process; whether it is in force."""
    machine = platform.machine()
    if platform.system() != "Linux" or machine not in _REFUSED:
        return False
    code = b"".join(_filter(machine))
    buffer = ctypes.create_string_buffer(code, len(code))
    program = _Program(len(code) // 8, ctypes.cast(buffer, ctypes.c_void_p))
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(_SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0):
        return False
    return bool(library.prctl(_SET_SECCOMP, _FILTER, ctypes.byref(program), 0, 0) == 0)


def _filter(machine: str) -> list[bytes]:
    """The filter's instructions, 8 bytes each: code, jump if true, jump if false, operand."""

    def step(code: int, operand: int, if_true: int = 0, if_false: int = 0) -> bytes:
        return struct.pack("HBBI", code, if_true, if_false, operand)

    refuse = step(_RETURN, _ERRNO | errno.EPERM)
    steps = [
        step(_LOAD, _ARCH),
        step(_EQUAL, _ARCHITECTURE[machine], if_true=1),
        step(_RETURN, _KILL),  # another architecture's numbers mean other calls
        step(_LOAD, _NUMBER),
        step(_AT_LEAST, _X32, if_false=1),
        refuse,
        step(_EQUAL, _CLONE3, if_false=1),
        step(_RETURN, _ERRNO | errno.ENOSYS),  # its flags cannot be seen here; libraries then use clone
    ]
    for call in _REFUSED[machine].split():
        steps += [step(_EQUAL, int(call.partition("=")[2]), if_false=1), refuse]
    steps += [
        step(_EQUAL, _CLONE[machine], if_false=3),
        step(_LOAD, _FIRST_ARGUMENT),
        step(_ANY_BIT, _CLONE_THREAD, if_true=1),  # a thread of this process is allowed, another process is not
        refuse,
        step(_RETURN, _ALLOW),
    ]
    return steps
