"""Measures, from outside, what a running script uses: memory, threads, disk."""

import os
import stat
import time
from collections.abc import Iterable

from .. import files

_MB = 1 << 20
_PATIENCE_SECONDS = 0.5


def memory_and_threads(pid: int) -> tuple[int, int]:
    """Bytes of memory that are this process's own, and its threads; zeros when it is gone.

    Pages of mapped files do not count: the kernel can drop them.
    """
    values = {}
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            for line in file:
                name, _, rest = line.partition(b":")
                values[name] = rest
    except OSError:
        return 0, 0
    kilobytes = sum(
        int(values[name].split()[0]) for name in (b"RssAnon", b"RssShmem") if name in values
    )
    return kilobytes << 10, int(values.get(b"Threads", b"0"))


class Disk:
    """What the writable folders hold, and how much more than at the start.

    Counts every file once however many names it has, and also files without a name that the
    process still holds open or mapped.
    """

    def __init__(self, folders: Iterable[str], budget_mb: int) -> None:
        self._folders = _outermost(folders)
        self._budget = budget_mb * _MB
        self._known_bytes: dict[int, int] = {}
        self._denied_since: float | None = None
        self._start = self._survey()
        self._start_bytes, self._start_count = self._total(self._start), len(self._start)

    def growth(self, pid: int) -> tuple[int, int]:
        """Bytes and entries gained since the start; raises ``OSError`` if that can't be told."""
        survey = self._survey()
        total = self._total(survey)
        try:
            total += self._nameless(pid)
            self._denied_since = None
        except PermissionError:
            # An ending process shows nobody but root what it holds. No script can bring this
            # about (PR_SET_DUMPABLE is refused), so a short denial is no way to hide files.
            now = time.monotonic()
            self._denied_since = self._denied_since or now
            if now - self._denied_since > _PATIENCE_SECONDS and not _is_ending(pid):
                raise
        return total - self._start_bytes, len(survey) - self._start_count

    def changed(self) -> list[str]:
        """Files that are new or not what they were, sorted."""

        def look(status: os.stat_result) -> tuple[int, ...]:
            return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns

        return sorted(
            path
            for path, status in self._survey().items()
            if stat.S_ISREG(status.st_mode)
            and (path not in self._start or look(self._start[path]) != look(status))
        )

    def _survey(self) -> dict[str, os.stat_result]:
        return {path: status for folder in self._folders for path, status in files.walk(folder)}

    def _total(self, survey: dict[str, os.stat_result]) -> int:
        sizes = {
            (status.st_dev, status.st_ino): status.st_blocks * 512 for status in survey.values()
        }
        self._known_bytes.update((inode, size) for (_, inode), size in sizes.items())
        return sum(sizes.values())

    def _nameless(self, pid: int) -> int:
        """Bytes of deleted files that the process holds through descriptors and mappings."""
        held = {}
        for name in _list(f"/proc/{pid}/fd"):
            try:
                status = os.stat(f"/proc/{pid}/fd/{name}")
            except FileNotFoundError:
                continue
            if status.st_nlink == 0 and stat.S_ISREG(status.st_mode):
                held[status.st_ino] = status.st_blocks * 512
                self._known_bytes[status.st_ino] = held[status.st_ino]
        for inode, mapped in _deleted_mappings(pid).items():
            if inode not in held:  # a file never seen with a name: assume the worst
                held[inode] = max(self._known_bytes.get(inode, self._budget + 1), mapped)
        return sum(held.values())


def _outermost(folders: Iterable[str]) -> list[str]:
    real = sorted({os.path.realpath(folder) for folder in folders})
    return [path for path in real if not any(path.startswith(other + "/") for other in real)]


def _is_ending(pid: int) -> bool:
    """Whether the process has given up its memory already: it holds nothing any more."""
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            return b"\nVmSize:" not in file.read()
    except (FileNotFoundError, ProcessLookupError):
        return True


def _list(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []


def _deleted_mappings(pid: int) -> dict[int, int]:
    mapped: dict[int, int] = {}
    try:
        with open(f"/proc/{pid}/maps", "rb") as file:
            for line in file:
                if line.endswith(b" (deleted)\n"):
                    span, _, _, _, inode = line.split(None, 5)[:5]
                    start, _, end = span.partition(b"-")
                    size = int(end, 16) - int(start, 16)
                    mapped[int(inode)] = mapped.get(int(inode), 0) + size
    except (FileNotFoundError, ProcessLookupError):
        pass
    return mapped
