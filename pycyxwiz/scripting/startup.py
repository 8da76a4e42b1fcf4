"""Startup scripts: what runs before ``run`` and ``shell`` and defines names for them.

``startup_scripts.txt`` lists paths, one a line; ``#`` starts a comment, ``#off `` in front of a
path switches it off. The project's file (in the working folder) comes first, then the user's (in
``~/.config/pycyxwiz``); relative paths are relative to the file that lists them.
"""

import os
import signal
import sys
import time
from collections.abc import Iterable
from types import FrameType
from typing import Any, NamedTuple

from .script import Script, show_exception

LIST_NAME = "startup_scripts.txt"
TIMEOUT_SECONDS = 60.0
_OFF = "#off "


class Entry(NamedTuple):
    """A listed script: its absolute path, the list it is on, its line there, and its state."""

    path: str
    list_file: str
    line: int
    enabled: bool


def project_list() -> str:
    """The list of the project: the working folder's."""
    return os.path.abspath(LIST_NAME)


def user_list() -> str:
    """The user's list."""
    base = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return os.path.join(base, "pycyxwiz", LIST_NAME)


def entries() -> list[Entry]:
    """All listed scripts in the order they run: the project's, then the user's."""
    return [entry for file in (project_list(), user_list()) for entry in _read(file)]


def enabled_paths() -> list[str]:
    """Paths of the scripts that will run."""
    return [entry.path for entry in entries() if entry.enabled]


def add(path: str, *, user: bool = False) -> Entry:
    """List a script, last. Raises ``FileNotFoundError``, or ``ValueError`` when it is listed."""
    absolute = os.path.abspath(path)
    if not os.path.isfile(absolute):
        raise FileNotFoundError(f"no such file: {path}")
    list_file = user_list() if user else project_list()
    if any(entry.path == absolute for entry in _read(list_file)):
        raise ValueError(f"{path} is listed in {list_file} already")
    folder = os.path.dirname(list_file)
    os.makedirs(folder, exist_ok=True)
    relative = os.path.relpath(absolute, folder)
    lines = _lines(list_file)
    _write(list_file, [*lines, absolute if relative.startswith("..") else relative])
    return _read(list_file)[-1]


def remove(path: str) -> Entry:
    """Take a script off its list; the script stays. Raises ``ValueError`` when it is not listed."""
    entry = _find(path)
    lines = _lines(entry.list_file)
    del lines[entry.line - 1]
    _write(entry.list_file, lines)
    return entry


def set_enabled(path: str, enabled: bool) -> Entry:
    """Switch a listed script on or off. Raises ``ValueError`` when it is not listed."""
    entry = _find(path)
    lines = _lines(entry.list_file)
    line = lines[entry.line - 1].strip().removeprefix(_OFF).strip()
    lines[entry.line - 1] = line if enabled else _OFF + line
    _write(entry.list_file, lines)
    return entry._replace(enabled=enabled)


def run_all(paths: Iterable[str], *, timeout: float = TIMEOUT_SECONDS) -> dict[str, Any]:
    """Run scripts in order in one namespace and return its names.

    One that fails or takes longer than ``timeout`` seconds is reported on stderr, and the next
    goes on. The time-out interrupts Python code; a single call into a library it can't cut short.
    """
    names: dict[str, Any] = {}
    for path in paths:
        namespace = {**names, "__name__": "__startup__", "__file__": path}
        start = time.monotonic()
        try:
            code = Script(path).compile()
            with _Alarm(timeout):
                exec(code, namespace)
        except TimeoutError as error:
            _report(path, start, "timed out" if isinstance(error, _TimeUp) else "failed", error)
        except (Exception, SystemExit) as error:
            _report(path, start, "failed", error)
        names.update(
            (name, value) for name, value in namespace.items() if not name.startswith("__")
        )
    return names


class _TimeUp(TimeoutError):
    pass


class _Alarm:
    """Raises ``_TimeUp`` in the main thread when the time is up; elsewhere there is no clock."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __enter__(self) -> None:
        self._previous = signal.signal(signal.SIGALRM, self._ring)
        signal.setitimer(signal.ITIMER_REAL, self._seconds)

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._previous)

    def _ring(self, number: int, frame: FrameType | None) -> None:
        raise _TimeUp(f"its {self._seconds:g} s were up")


def _report(path: str, start: float, what: str, error: BaseException) -> None:
    seconds = time.monotonic() - start
    print(f"startup script {path} {what} after {seconds:.1f} s; going on", file=sys.stderr)
    if not isinstance(error, OSError) or isinstance(error, TimeoutError):
        show_exception(error)
    else:
        print(f"  {error}", file=sys.stderr)


def _find(path: str) -> Entry:
    absolute = os.path.abspath(path)
    for entry in entries():
        if absolute == entry.path:
            return entry
    raise ValueError(f"{path} is on no list of startup scripts")


def _read(list_file: str) -> list[Entry]:
    found = []
    for number, line in enumerate(_lines(list_file), 1):
        text = line.strip()
        enabled = not text.startswith(_OFF)
        text = text.removeprefix(_OFF).split(" #")[0].strip()
        if text and not text.startswith("#"):
            path = os.path.join(os.path.dirname(list_file), os.path.expanduser(text))
            found.append(Entry(os.path.normpath(path), list_file, number, enabled))
    return found


def _lines(list_file: str) -> list[str]:
    try:
        with open(list_file, encoding="utf-8") as file:
            return file.read().splitlines()
    except FileNotFoundError:
        return []


def _write(list_file: str, lines: list[str]) -> None:
    with open(list_file, "w", encoding="utf-8") as file:
        file.writelines(line + "\n" for line in lines)
