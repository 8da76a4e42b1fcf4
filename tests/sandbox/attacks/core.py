"""What the attacks share: their table, their targets, raw system calls."""

import importlib
import os
from types import SimpleNamespace

ctypes = importlib.import_module("ctypes")  # an import statement would be refused politely
ATTACKS = {}
FAMILIES = {}
AT_FDCWD = -100
ECHO = "/bin/echo"
X86 = os.uname().machine == "x86_64"
# What the arena provides: paths, ports, a victim process. Filled by ``storm.py``.
arena = SimpleNamespace()


def attack(function):
    """List a function as an attack of the family that its module is named after."""
    ATTACKS[function.__name__] = function
    FAMILIES[function.__name__] = function.__module__.rpartition(".")[2]
    return function


def libc():
    return ctypes.CDLL(None, use_errno=True)


def syscall(x86, arm, *arguments):
    """A raw system call; raises OSError when it fails."""
    words = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result = libc().syscall(ctypes.c_long(x86 if X86 else arm), *words)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def read_secret():
    with open(arena.secret) as file:
        return file.read()
