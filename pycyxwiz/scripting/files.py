"""Walks over folders that a hostile script may be writing to."""

import contextlib
import os
import stat
from collections.abc import Iterable, Iterator


def walk(folder: str) -> Iterator[tuple[str, os.stat_result]]:
    """All that is below ``folder``, with its status; links are never followed.

    What vanishes during the walk is passed over. Raises ``OSError`` for what can't be looked at: a
    folder without permissions, a path too long.
    """
    waiting = [folder]
    while waiting:
        current = waiting.pop()
        try:
            with os.scandir(current) as entries:
                for entry in entries:
                    try:
                        status = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue
                    yield entry.path, status
                    if stat.S_ISDIR(status.st_mode):
                        waiting.append(entry.path)
        except (FileNotFoundError, NotADirectoryError):
            continue


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
