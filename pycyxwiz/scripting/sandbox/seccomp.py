"""Install a seccomp filter: from then on the kernel checks every system call of this process."""

import ctypes
import struct

from . import bpf, kernel

_SET_MODE_FILTER, _GET_ACTION_AVAIL = 1, 2
_FLAG_ALL_THREADS, _FLAG_NEW_LISTENER = 1, 8
_NEEDED = (bpf.KILL, bpf.ASK)


def available() -> bool:
    """Whether the kernel filters system calls, can kill a process that breaks the filter, and can
    hold a call until it is told to go on."""
    try:
        for action in _NEEDED:
            kernel.call("seccomp", _GET_ACTION_AVAIL, 0, struct.pack("=I", action))
    except OSError:
        return False
    return True


def install(program: bytes, *, listen: bool = False) -> int:
    """Put the filter on this process, for good. ``no_new_privs`` must be set.

    It goes on all threads, or, with ``listen``, on the calling one, which must be the only one;
    then the result is the descriptor that ``bpf.ASK`` asks through.
    """
    buffer = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("@HP", len(program) // 8, ctypes.addressof(buffer))
    flags = _FLAG_NEW_LISTENER if listen else _FLAG_ALL_THREADS
    return kernel.call("seccomp", _SET_MODE_FILTER, flags, header)
