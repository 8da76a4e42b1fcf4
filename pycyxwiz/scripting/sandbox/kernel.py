"""System calls that Python does not offer, by number, through the C library's ``syscall``.

Two processors are known: x86_64 and aarch64. Everything raises ``OSError`` with the call's name.
"""

import contextlib
import ctypes
import os
import sys
from typing import NamedTuple

from .syscalls import NUMBERS

PR_SET_PDEATHSIG = 1
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4
_CAPABILITY_VERSION_3 = 0x20080522
_LAST_CAPABILITY = 63


class Architecture(NamedTuple):
    """A processor: its column in the table of numbers and its code in the seccomp data."""

    name: str
    column: int
    audit_code: int


ARCHITECTURES = {
    "x86_64": Architecture("x86_64", 0, 0xC000003E),
    "aarch64": Architecture("aarch64", 1, 0xC00000B7),
}


def architecture() -> Architecture | None:
    """This process's processor, or None when the sandbox does not know it."""
    if sys.platform != "linux" or sys.maxsize < 2**32:
        return None
    return ARCHITECTURES.get(os.uname().machine)


def call(name: str, *arguments: int | bytes | ctypes.Array[ctypes.c_char] | None) -> int:
    """Make one system call; integers are passed as 64-bit words, bytes as pointers."""
    machine = architecture()
    number = NUMBERS[name][machine.column] if machine else None
    if number is None:
        raise OSError(38, f"{name}: not known on {os.uname().machine}")
    words = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result: int = _libc().syscall(ctypes.c_long(number), *words)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")
    return result


def prctl(option: int, *arguments: int) -> int:
    """``prctl`` with unused arguments set to zero, as the kernel demands."""
    return call("prctl", option, *arguments, *[0] * (4 - len(arguments)))


def die_with_parent() -> None:
    """Have the kernel kill this process when the thread that started it ends."""
    prctl(PR_SET_PDEATHSIG, 9)


def drop_capabilities() -> None:
    """Give up every capability for good. Harmless where there is none."""
    with contextlib.suppress(OSError):  # beyond the last one, or no right to: capset decides
        for capability in range(_LAST_CAPABILITY + 1):
            prctl(PR_CAPBSET_DROP, capability)
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    header = _CAPABILITY_VERSION_3.to_bytes(4, sys.byteorder) + bytes(4)
    call("capset", header, bytes(24))


def set_no_new_privileges() -> None:
    """No program started from here on gains privileges; Landlock and seccomp require it."""
    prctl(PR_SET_NO_NEW_PRIVS, 1)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
