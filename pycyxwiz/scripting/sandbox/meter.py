"""Measures, from outside, what a running script uses: memory, threads, disk."""

import contextlib
import math
import os
import signal
import stat
import time
from collections.abc import Iterable, Iterator

from .. import files

_MB = 1 << 20
_OWN_MEMORY = (b"RssAnon", b"RssShmem", b"VmSwap")
_PATIENCE_SECONDS = 0.5
_STOP_SECONDS = 0.25
_UNKNOWN_BYTES = 1 << 62  # more than any budget


def memory_and_threads(pid: int) -> tuple[int, int]:
    """Bytes of memory that are this process's own, and its threads; zeros when it is gone.

    Swapped memory counts; pages of mapped files do not: the kernel can drop them.
    """
    values = _status(_living(pid))
    kilobytes = sum(int(values[name].split()[0]) for name in _OWN_MEMORY if name in values)
    return kilobytes << 10, int(values.get(b"Threads", b"0"))


def _living(pid: int) -> str:
    """The folder in ``/proc`` of a thread that is alive, the first one where it is.

    A process lives on when its first thread ends, but that thread shows nothing any more.
    """
    first = f"/proc/{pid}"
    if b"VmSize" in _status(first):
        return first
    others = (f"{first}/task/{thread}" for thread in _list(f"{first}/task"))
    return next((folder for folder in others if b"VmSize" in _status(folder)), first)


def _status(folder: str) -> dict[bytes, bytes]:
    values = {}
    try:
        with open(folder + "/status", "rb") as file:
            for line in file:
                name, _, rest = line.partition(b":")
                values[name] = rest
    except OSError:
        pass
    return values


def sockets(pid: int) -> int:
    """How many sockets the process holds: each is worth some memory of the kernel's."""
    count = 0
    living = _living(pid)
    with contextlib.suppress(PermissionError):  # it is ending
        for name in _list(f"{living}/fd"):
            with contextlib.suppress(OSError):
                count += os.readlink(f"{living}/fd/{name}").startswith("socket:")
    return count


def locks(pid: int) -> int:
    """How many locks on ranges of files the process holds: the kernel has no limit for them."""
    with open("/proc/locks", "rb") as file:
        return sum(b" %d " % pid in line for line in file)


def handle(pid: int) -> int | None:
    """A descriptor that means this process even when its number has become another's."""
    try:
        return os.pidfd_open(pid) if pid else None
    except OSError:  # it has ended
        return None


@contextlib.contextmanager
def held_still(pid: int, handle: int | None) -> Iterator[None]:
    """Stop the process meanwhile, so that nothing moves out of sight of who looks for it.

    A thread inside a long call may not stop in time; it is not waited for.
    """
    if handle is None:
        yield
        return
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(handle, signal.SIGSTOP)
    deadline = time.monotonic() + _STOP_SECONDS
    while not _has_stopped(pid) and time.monotonic() < deadline:
        time.sleep(0.0002)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, signal.SIGCONT)


class Disk:
    """What the writable folders hold, and how much more than at the start.

    Counts every file once however many names it has, and also files without a name that the
    process still holds open or mapped. Looking costs time, so between two looks it keeps count of
    what the script could have used up: the calls that it was let make, and the bytes that it wrote.
    """

    def __init__(self, folders: Iterable[str], budget_mb: int | None, budget_files: int | None):
        self._folders = _outermost(folders)
        self._budget_bytes = math.inf if budget_mb is None else budget_mb * _MB
        self._budget_files = math.inf if budget_files is None else budget_files
        self._known_bytes: dict[int, int] = {}
        self._denied_since: float | None = None
        self._start = self._survey()
        self._start_bytes, self._start_count = self._total(self._start), len(self._start)
        self.bytes_left, self.files_left = self._budget_bytes, self._budget_files
        self._calls = self._written = 0

    def count_call(self) -> None:
        """Take note of a call that may make a file."""
        self._calls += 1

    def may_be_over(self, pid: int) -> bool:
        """Whether what the process did since the last look could have used up what was left.

        One call more than files are left may pass: it may open a file that is there already.
        """
        written = _bytes_written(pid) - self._written
        return self._calls > self.files_left + 1 or written > self.bytes_left

    def look(self, pid: int, *, still: bool) -> tuple[float, float]:
        """The bytes and the files that are left; negative ones are over the budget.

        Only a look at a script that holds still is remembered as ``bytes_left`` and ``files_left``:
        past one at work, files may move from where it has yet to look to where it has been.
        Raises ``OSError`` when it can't be told.
        """
        written = _bytes_written(pid)
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
        bytes_left = self._budget_bytes - (total - self._start_bytes)
        files_left = self._budget_files - (len(survey) - self._start_count)
        if still:
            self.bytes_left, self.files_left = bytes_left, files_left
            self._calls, self._written = 0, written
        return bytes_left, files_left

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
        living = _living(pid)
        for name in _list(f"{living}/fd"):
            try:
                status = os.stat(f"{living}/fd/{name}")
            except FileNotFoundError:
                continue
            if status.st_nlink == 0 and stat.S_ISREG(status.st_mode):
                held[status.st_ino] = status.st_blocks * 512
                self._known_bytes[status.st_ino] = held[status.st_ino]
        for inode, mapped in _deleted_mappings(living).items():
            if inode not in held:  # a file never seen with a name: assume the worst
                held[inode] = max(self._known_bytes.get(inode, _UNKNOWN_BYTES), mapped)
        return sum(held.values())


def _outermost(folders: Iterable[str]) -> list[str]:
    real = sorted({os.path.realpath(folder) for folder in folders})
    return [path for path in real if not any(path.startswith(other + "/") for other in real)]


def _has_stopped(pid: int) -> bool:
    for thread in _list(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{thread}/stat", "rb") as file:
                state = file.read().rpartition(b") ")[2][:1]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if state not in (b"T", b"Z", b"X"):
            return False
    return True


def _bytes_written(pid: int) -> int:
    """At least as much as the process has made files grow by, ever; 0 where the kernel won't say.

    ``wchar`` counts what write calls were given, ``write_bytes`` pages that were dirtied through
    mappings too. What both count is counted twice: it only makes us look more often.
    """
    try:
        with open(f"/proc/{pid}/io", "rb") as file:
            values = dict(line.split(b": ") for line in file)
    except OSError:
        return 0
    return int(values[b"wchar"]) + int(values.get(b"write_bytes", b"0"))


def _is_ending(pid: int) -> bool:
    """Whether the process has given up its memory already: it holds nothing any more."""
    return b"VmSize" not in _status(_living(pid))


def _list(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except (FileNotFoundError, ProcessLookupError):
        return []


def _deleted_mappings(folder: str) -> dict[int, int]:
    mapped: dict[int, int] = {}
    try:
        with open(folder + "/maps", "rb") as file:
            for line in file:
                if line.endswith(b" (deleted)\n"):
                    span, _, _, _, inode = line.split(None, 5)[:5]
                    start, _, end = span.partition(b"-")
                    size = int(end, 16) - int(start, 16)
                    mapped[int(inode)] = mapped.get(int(inode), 0) + size
    except (FileNotFoundError, ProcessLookupError):
        pass
    return mapped
