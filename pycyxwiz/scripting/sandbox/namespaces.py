"""Namespaces: a private view of the machine in which only the granted paths exist.

A second, independent wall behind Landlock and seccomp, used wherever the kernel lets this user
have it: no other process, no network device, no file name but the granted ones.
"""

import contextlib
import os
from collections.abc import Iterable

from . import kernel
from .grants import Grant

_CLONE_NEWNS, _CLONE_NEWCGROUP, _CLONE_NEWUTS, _CLONE_NEWIPC = (
    0x20000,
    0x2000000,
    0x4000000,
    1 << 27,
)
_CLONE_NEWUSER, _CLONE_NEWPID, _CLONE_NEWNET = 1 << 28, 1 << 29, 1 << 30
_ALL = (
    _CLONE_NEWNS | _CLONE_NEWCGROUP | _CLONE_NEWUTS | _CLONE_NEWIPC | _CLONE_NEWPID | _CLONE_NEWNET
)

_MS_BIND, _MS_REC, _MS_PRIVATE = 4096, 16384, 1 << 18
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 2, 4, 8
_MNT_DETACH = 2
_ATTR_RDONLY, _ATTR_NOSUID, _ATTR_NODEV = 1, 2, 4
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000

_SWITCHES = (
    ("/proc/sys/user/max_user_namespaces", "0"),
    ("/proc/sys/kernel/unprivileged_userns_clone", "0"),
    ("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1"),
)


def forbidden() -> str:
    """Why this user can't have namespaces, as far as settings tell; empty when nothing says so."""
    for path, value in _SWITCHES:
        if _setting(path) == value and (os.geteuid() or path.endswith("namespaces")):
            return f"{path} is {value}"
    return ""


def _setting(path: str) -> str:
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return ""


def enter() -> None:
    """Move this process into namespaces of its own; its children will be in the PID namespace.

    Users and groups keep their numbers. Raises ``OSError`` where the kernel or a policy forbids it.
    """
    uid, gid = os.geteuid(), os.getegid()
    with contextlib.suppress(PermissionError):  # only root may, and not in every container
        os.setgroups([])
    kernel.call("unshare", _CLONE_NEWUSER | _ALL)
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{uid} {uid} 1"),
        ("gid_map", f"{gid} {gid} 1"),
    ):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def build_root(folder: str, grants: Iterable[Grant], working_folder: str) -> None:
    """Make the granted paths the whole file system, each under its own name, and change into it.

    ``folder`` is an empty folder to build in. What is not granted for writing is mounted
    read-only. Needs the mount namespace of ``enter``.
    """
    _mount(None, "/", None, _MS_REC | _MS_PRIVATE)
    _mount("tmpfs", folder, "tmpfs", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC, "size=1m,mode=755")
    for name in os.listdir("/"):
        if os.path.islink("/" + name):  # /lib -> usr/lib and its like
            os.symlink(os.readlink("/" + name), f"{folder}/{name}")
    for grant in sorted(grants, key=lambda grant: grant.path.count("/")):
        _bind(folder, grant)
    os.makedirs(folder + working_folder, exist_ok=True)
    _set_attributes(folder, _ATTR_RDONLY, 0)
    os.chdir(folder)
    kernel.call("pivot_root", b".", b".")
    kernel.call("umount2", b".", _MNT_DETACH)
    os.chdir(working_folder)


def _bind(folder: str, grant: Grant) -> None:
    target = folder + grant.path
    if _inside_a_link(folder, grant.path):
        return  # its other name is granted too
    if os.path.isdir(grant.path):
        os.makedirs(target, exist_ok=True)
    elif os.path.exists(grant.path):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if not os.path.exists(target):
            os.close(os.open(target, os.O_CREAT | os.O_CLOEXEC, 0o644))
    else:
        return
    _mount(grant.path, target, None, _MS_BIND | _MS_REC)
    attributes = _ATTR_NOSUID | (0 if grant.path.startswith("/dev/") else _ATTR_NODEV)
    if not grant.write:
        attributes |= _ATTR_RDONLY
    _set_attributes(target, attributes, _AT_RECURSIVE)


def _inside_a_link(folder: str, path: str) -> bool:
    """Whether the new root reaches ``path`` through a symbolic link of its own top level."""
    return os.path.islink(folder + "/" + path.split("/")[1])


def _mount(source: str | None, target: str, kind: str | None, flags: int, data: str = "") -> None:
    words = [None if text is None else os.fsencode(text) for text in (source, target, kind)]
    kernel.call("mount", *words, flags, os.fsencode(data))


def _set_attributes(target: str, attributes: int, flags: int) -> None:
    settings = attributes.to_bytes(8, "little") + bytes(24)
    kernel.call("mount_setattr", _AT_FDCWD, os.fsencode(target), flags, settings, len(settings))
