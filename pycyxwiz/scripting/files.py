"""Walks over folders that a hostile script may be writing to."""

import contextlib
import errno
import os
import stat
import struct
import sys
from collections.abc import Iterable, Iterator

_AT_FDCWD, _RESOLVE_NO_SYMLINKS = -100, 4
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)  # ELOOP: a link stands there by now


def walk(folder: str) -> Iterator[tuple[str, os.stat_result]]:
    """All that is below ``folder``, a path without links in it, with its status.

    Links are never followed, also none that takes a folder's place during the walk, and no folder
    is entered twice, so the walk ends whatever moves about. What vanishes is passed over. Raises
    ``OSError`` for what can't be looked at: a folder without permissions, a path too long.
    """
    waiting = [folder]
    entered = set()
    while waiting:
        current = waiting.pop()
        try:
            descriptor = _open_folder(current)
        except OSError as error:
            if error.errno in _GONE:
                continue
            raise
        try:
            status = os.fstat(descriptor)
            if (status.st_dev, status.st_ino) in entered:
                continue
            entered.add((status.st_dev, status.st_ino))
            with os.scandir(descriptor) as entries:
                for entry in entries:
                    try:
                        status = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue
                    path = f"{current}/{entry.name}"
                    yield path, status
                    if stat.S_ISDIR(status.st_mode):
                        waiting.append(path)
        finally:
            os.close(descriptor)


def _open_folder(path: str) -> int:
    """Open a folder whose path holds no link at all; ``ELOOP`` when it does."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    if sys.platform != "linux":
        return os.open(path, flags | os.O_NOFOLLOW)
    from .sandbox import kernel

    how = struct.pack("=QQQ", flags, 0, _RESOLVE_NO_SYMLINKS)
    try:
        return kernel.call("openat2", _AT_FDCWD, os.fsencode(path), how, len(how))
    except OSError as error:
        raise OSError(error.errno, os.strerror(error.errno or 0), path) from None


def refuse_outside_hard_links(folders: Iterable[str]) -> None:
    """Raise ``ValueError`` when a file in ``folders`` has a further name outside of them.

    Such a file belongs to someone else as well: granting the folder would grant that file.
    """
    seen: dict[tuple[int, int], list[str]] = {}
    expected = {}
    paths = set()
    for folder in folders:
        for path, status in walk(os.path.realpath(folder)):
            if status.st_nlink > 1 and stat.S_ISREG(status.st_mode) and path not in paths:
                paths.add(path)
                key = (status.st_dev, status.st_ino)
                seen.setdefault(key, []).append(path)
                expected[key] = status.st_nlink
    for key, names in seen.items():
        if len(names) < expected[key]:
            raise ValueError(
                f"{names[0]} is a hard link to a file outside the granted folders: copy it instead"
            )


def make_private_folder() -> str:
    """A new folder for temporary files that only this user can enter.

    As ``tempfile.mkdtemp``, without the twenty modules that importing it loads.
    """
    parent = os.path.realpath(os.environ.get("TMPDIR") or "/tmp")
    path = os.path.join(parent, f"cyxwiz-{os.urandom(8).hex()}")
    os.mkdir(path, 0o700)
    return path


def remove_tree(folder: str) -> None:
    """Remove a folder that a hostile script filled: however deep, whatever its permissions.

    Folders further down are moved up before they are emptied, so that no path gets long. Never
    fails: what can't be removed stays.
    """
    waiting, emptied = [folder], []
    while waiting:
        current = waiting.pop()
        emptied.append(current)
        with contextlib.suppress(OSError):
            for entry in list(os.scandir(current)):
                if entry.is_dir(follow_symlinks=False):
                    os.chmod(entry.path, 0o700)
                    waiting.append(f"{folder}/{os.urandom(16).hex()}")
                    os.rename(entry.path, waiting[-1])
                else:
                    os.unlink(entry.path)
    for path in reversed(emptied):
        with contextlib.suppress(OSError):
            os.rmdir(path)
