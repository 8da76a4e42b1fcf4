"""Landlock: which files this process may reach, enforced by the kernel (since Linux 5.13).

``restrict`` denies everything that the kernel's version of Landlock knows, then grants folders
and files one by one. It holds for this thread, its later threads and children, and can't be undone.
"""

import os
import stat
import struct
from collections.abc import Iterable

from . import kernel

_CREATE_RULESET_VERSION = 1
_RULE_PATH_BENEATH = 1

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
REMOVE_DIR, REMOVE_FILE, MAKE_DIR, MAKE_REG = 1 << 4, 1 << 5, 1 << 7, 1 << 8
REFER, TRUNCATE = 1 << 13, 1 << 14

_FILE_RIGHTS = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE
READ = READ_FILE | READ_DIR
# No links to elsewhere, pipes, sockets or devices: what a script leaves behind must be plain files.
WRITE = READ | WRITE_FILE | TRUNCATE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | REFER

_FILE_ACCESSES = {1: 13, 2: 14, 3: 15, 5: 16}  # ABI version: number of file rights it knows
_NET_SINCE, _NET_ACCESSES = 4, 0b11  # bind and connect TCP
_SCOPE_SINCE, _SCOPES = 6, 0b11  # abstract Unix sockets, signals


def abi_version() -> int:
    """The kernel's version of Landlock; 0 where there is none or it is switched off."""
    try:
        return kernel.call("landlock_create_ruleset", None, 0, _CREATE_RULESET_VERSION)
    except OSError:
        return 0


def handled(abi: int) -> tuple[int, int, int]:
    """All that a kernel can deny: file rights, network rights, scopes, as bit masks.

    >>> [f"{mask:b}" for mask in handled(4)]
    ['111111111111111', '11', '0']
    """
    rights = max(count for version, count in _FILE_ACCESSES.items() if version <= abi)
    network = _NET_ACCESSES if abi >= _NET_SINCE else 0
    return (1 << rights) - 1, network, _SCOPES if abi >= _SCOPE_SINCE else 0


def restrict(grants: Iterable[tuple[str, int]]) -> None:
    """Deny every file but those at or below the granted paths, and all that ``handled`` lists.

    ``grants``: pairs of a path and its rights (``READ`` or ``WRITE``); a path that is not there is
    passed over. ``no_new_privs`` must be set. Raises ``OSError``.
    """
    abi = abi_version()
    files, network, scopes = handled(abi)
    attributes = struct.pack("=QQQ", files, network, scopes)
    size = 8 if abi < _NET_SINCE else 16 if abi < _SCOPE_SINCE else 24
    ruleset = kernel.call("landlock_create_ruleset", attributes[:size], size, 0)
    try:
        for path, rights in grants:
            _allow(ruleset, path, rights & files)
        kernel.call("landlock_restrict_self", ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        beneath = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
    try:
        if not stat.S_ISDIR(os.fstat(beneath).st_mode):
            rights &= _FILE_RIGHTS
        rule = struct.pack("=Qi", rights, beneath)
        kernel.call("landlock_add_rule", ruleset, _RULE_PATH_BENEATH, rule, 0)
    finally:
        os.close(beneath)
