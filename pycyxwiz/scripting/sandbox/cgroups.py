"""A control group (version 2) of a run's own: memory and processes that the kernel counts exactly.

Used where this user may make one: beside the group that this process is in, as in a user's systemd
session or a service with ``Delegate=yes``. Everything else holds without it.
"""

import contextlib
import errno
import os
import time
from typing import NamedTuple

_CONTROLLERS = {"memory", "pids"}
_MOUNTS, _OWN = "/proc/self/mountinfo", "/proc/self/cgroup"
# The launcher and the first process of the namespace are in the group as well.
_OTHER_MB, _OTHER_PROCESSES = 48, 16
_PATIENCE_SECONDS = 1.0
_MB = 1 << 20


class Place(NamedTuple):
    """Where groups can be made; or, when ``folder`` is empty, why they can't."""

    folder: str
    why_not: str = ""


def find(mounts: str = _MOUNTS, own: str = _OWN) -> Place:
    """Where this process may make control groups that limit memory and processes.

    ``mounts`` and ``own`` are the files that tell where version 2 is mounted and where we are.
    """
    try:
        root, path = _mount_point(mounts), _own_group(own)
    except OSError as error:
        return Place("", f"{error.filename}: {error.strerror}")
    if root is None or path is None:
        return Place("", "version 2 is not mounted")
    # A group with processes in it can't share out: so beside ours, not below it.
    parent = os.path.normpath(os.path.join(root, path.lstrip("/"), ".."))
    if path == "/" or not parent.startswith(root):
        return Place("", "this process is in the root group")
    lacking = _CONTROLLERS - _words(os.path.join(parent, "cgroup.subtree_control"))
    if lacking:
        return Place("", f"{parent} does not share out {' and '.join(sorted(lacking))}")
    for name in ("", "cgroup.procs"):
        if not os.access(os.path.join(parent, name), os.W_OK):
            return Place("", f"{parent} belongs to another user")
    return Place(parent)


class Group:
    """One run's control group. ``close`` ends whatever is left in it and removes it."""

    def __init__(self, folder: str, *, memory_mb: int | None, threads: int | None) -> None:
        """Make it in ``folder``, as ``find`` names it. Raises ``OSError`` when that can't be."""
        self._folder = os.path.join(folder, f"cyxwiz-{os.urandom(8).hex()}")
        os.mkdir(self._folder)
        try:
            if memory_mb is not None:
                self._write("memory.max", (memory_mb + _OTHER_MB) * _MB)
                with contextlib.suppress(OSError):  # there without swap accounting
                    self._write("memory.swap.max", 0)
                self._write("memory.oom.group", 1)
            if threads is not None:
                self._write("pids.max", threads + _OTHER_PROCESSES)
        except OSError:
            self.close()
            raise

    def add(self, pid: int) -> None:
        """Put a process in; what it starts from then on is in as well."""
        self._write("cgroup.procs", pid)

    def __enter__(self) -> "Group":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def out_of_memory(self) -> bool:
        """Whether the kernel ended processes of the group because its memory was used up."""
        with contextlib.suppress(OSError, ValueError):
            with open(os.path.join(self._folder, "memory.events")) as file:
                events = dict(line.split() for line in file)
            return int(events.get("oom_kill", 0)) > 0
        return False

    def close(self) -> None:
        """End what is left in the group, and remove it."""
        with contextlib.suppress(OSError):
            self._write("cgroup.kill", 1)
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while self._is_busy() and time.monotonic() < deadline:
            time.sleep(0.005)

    def _is_busy(self) -> bool:
        """Try to remove it: that works when the last process in it is gone."""
        try:
            os.rmdir(self._folder)
        except OSError as error:
            return error.errno == errno.EBUSY
        return False

    def _write(self, name: str, value: int) -> None:
        with open(os.path.join(self._folder, name), "w") as file:
            file.write(str(value))


def _mount_point(mounts: str) -> str | None:
    """Where the hierarchy of version 2 is mounted, if its root is."""
    with open(mounts) as file:
        for line in file:
            before, _, after = line.partition(" - ")
            root, point = before.split()[3:5]
            if after.split()[0] == "cgroup2" and root == "/":
                return point
    return None


def _own_group(own: str) -> str | None:
    with open(own) as file:
        lines = [line.rstrip("\n") for line in file]
    return next((line[3:] for line in lines if line.startswith("0::")), None)


def _words(path: str) -> set[str]:
    try:
        with open(path) as file:
            return set(file.read().split())
    except OSError:
        return set()
