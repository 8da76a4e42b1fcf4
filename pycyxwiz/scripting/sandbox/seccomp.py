"""Install a seccomp filter: from then on the kernel checks every system call of this process."""

import ctypes
import struct

from . import kernel

_SET_MODE_FILTER, _GET_ACTION_AVAIL = 1, 2
_FLAG_ALL_THREADS = 1
_KILL_PROCESS = 0x80000000


def available() -> bool:
    """Whether the kernel filters system calls and can kill a process that breaks the filter."""
    try:
        kernel.call("seccomp", _GET_ACTION_AVAIL, 0, struct.pack("=I", _KILL_PROCESS))
    except OSError:
        return False
    return True


def install(program: bytes) -> None:
    """Put the filter on all threads of this process, for good. ``no_new_privs`` must be set."""
    buffer = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("@HP", len(program) // 8, ctypes.addressof(buffer))
    kernel.call("seccomp", _SET_MODE_FILTER, _FLAG_ALL_THREADS, header)
