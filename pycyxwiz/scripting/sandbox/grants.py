"""What a sandboxed script may read and write: the user's folders, and what Python itself needs."""

import os
import site
import sys
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from . import landlock

_SYSTEM = """
/usr /lib /lib32 /lib64 /etc/ld.so.cache /etc/localtime
/proc/cpuinfo /proc/meminfo /proc/sys/vm/overcommit_memory
/sys/devices/system/cpu /sys/devices/system/node /sys/kernel/mm/transparent_hugepage
/dev/random /dev/urandom
"""
_NEVER = ("/proc", "/sys", "/dev")


class Grant(NamedTuple):
    """A path, and all below it, that the script may read, and write if ``write``."""

    path: str
    write: bool

    @property
    def rights(self) -> int:
        """As Landlock's bit mask."""
        return landlock.WRITE if self.write else landlock.READ


def user_grants(read: Iterable[str], write: Iterable[str]) -> list[Grant]:
    """Grants for what the user named, each under its given and its real path.

    Folders to write in are made when they are missing. Raises ``ValueError`` for what no script
    should have: ``/``, ``/proc``, ``/sys``, ``/dev``, and for paths that are not there.
    """
    grants = []
    for paths, writable in ((read, False), (write, True)):
        for path in paths:
            _refuse_system_folders(path)
            if writable and os.path.isfile(path):
                raise ValueError(f"{path}: it is a file; a script writes in folders")
            if writable:
                os.makedirs(path, exist_ok=True)
            elif not os.path.exists(path):
                raise ValueError(f"{path}: no such file or folder")
            grants += [Grant(name, writable) for name in _names(path)]
    return grants


def system_grants() -> list[Grant]:
    """What Python, its libraries and the C library read, and ``/dev/null``."""
    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    paths = [*_SYSTEM.split(), package, *_import_folders()]
    for prefix in {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}:
        paths += [os.path.join(prefix, part) for part in ("lib", "lib64", "pyvenv.cfg")]
    names = {name for path in paths if os.path.exists(path) for name in _names(path)}
    return [*(Grant(name, False) for name in sorted(names)), Grant("/dev/null", True)]


def _import_folders() -> Iterator[str]:
    """Where installed packages are; never a project's own folders that happen to be importable."""
    for path in {*sys.path, *site.getsitepackages()}:
        if os.path.basename(path) in ("site-packages", "dist-packages"):
            yield path


def _names(path: str) -> set[str]:
    return {os.path.abspath(path), os.path.realpath(path)}


def _refuse_system_folders(path: str) -> None:
    real = os.path.realpath(path)
    if real == "/" or real.startswith(tuple(f"{folder}/" for folder in _NEVER)) or real in _NEVER:
        raise ValueError(f"{path}: a script can't have {real}")
