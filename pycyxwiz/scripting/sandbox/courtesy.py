"""The friendly layer inside the sandbox: refusals as ``SandboxError``, with the script's line.

It predicts, in Python, what the kernel would refuse, and says so in words. It stops nobody: with
this module removed nothing more becomes possible, only the messages get worse.
"""

import builtins
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from types import FrameType, ModuleType
from typing import Any

from .. import imports
from ..errors import SandboxError

_MAX_TOLD = 200
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_PROGRAMS = {
    *("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn"),
    *("os.fork", "os.forkpty", "pty.spawn"),
}
_NETWORK = {
    *("socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg", "urllib.Request"),
    *("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"),
}
_FOLDERS = {"os.listdir", "os.scandir"}
# Events that change folders: what to call it, and where its descriptors of folders stand.
_CHANGES = {
    "os.remove": ("removing", slice(1, 2)),
    "os.rmdir": ("removing", slice(1, 2)),
    "os.mkdir": ("making the folder", slice(2, 3)),
    "os.rename": ("renaming", slice(2, 4)),
    "os.link": ("linking", slice(2, 4)),
}
_NO_DESCRIPTOR = -1
# Where libraries look for what they can do without: how many processors, how much memory.
_CURIOSITIES = ("/proc/", "/sys/")
_OUTRIGHT = {"os.symlink": "making a symbolic link", "os.chown": "changing an owner"}
_AF_UNSPECIFIED, _AF_UNIX = -1, 1


def install(plan: Mapping[str, Any], descriptor: int) -> None:
    """Watch this process: refuse early, and tell the supervisor through ``descriptor``."""
    watch = Watch(plan, descriptor)
    sys.addaudithook(watch.audit)
    builtins.__import__ = watch.checked_import(builtins.__import__)


class Watch:
    """What the layer knows: the script's files, its grants, and whom to tell."""

    def __init__(self, plan: Mapping[str, Any], descriptor: int) -> None:
        self._script = plan["file"]
        self._folders = tuple(plan["own_folders"])
        self._own = tuple(folder.rstrip("/") + "/" for folder in self._folders)
        self._libraries = frozenset(plan["libraries"])
        self._readable = tuple(path for path, _ in plan["grants"])
        self._writable = tuple(path for path, write in plan["grants"] if write)
        self._descriptor = descriptor
        self._told = 0

    def audit(self, event: str, arguments: Sequence[Any]) -> None:
        """The audit hook: raises ``SandboxError`` for what the kernel would refuse."""
        action = self._refused_action(event, arguments)
        if action:
            caller = sys._getframe(1)
            from_library = not self._is_own(caller.f_code.co_filename)
            if event == "open" and from_library and str(arguments[0]).startswith(_CURIOSITIES):
                return
            line = _line_of(caller, self._is_own)
            if line is not None:
                self._refuse(action, line)

    def checked_import(self, plain_import: Callable[..., ModuleType]) -> Callable[..., ModuleType]:
        """``__import__`` that checks the script's own imports and passes on all others."""

        def __import__(
            name: str,
            globals: Mapping[str, object] | None = None,
            locals: Mapping[str, object] | None = None,
            fromlist: Sequence[str] = (),
            level: int = 0,
        ) -> ModuleType:
            if level == 0 and globals is not None and self._is_own(globals.get("__file__")):
                parts = (f"{name}.{part}" for part in fromlist or ())
                for wanted in (name, *filter(imports.is_refused, parts)):
                    action = imports.refusal(
                        wanted, own_folders=self._folders, libraries=self._libraries
                    )
                    if action:
                        self._refuse(action, sys._getframe(1).f_lineno)
            return plain_import(name, globals, locals, fromlist, level)

        return __import__

    def _refused_action(self, event: str, arguments: Sequence[Any]) -> str:
        """What to call the event if it will be refused; empty if it will not."""
        if event == "open":
            path, mode, flags = arguments
            if mode is None and _is_relative(path):
                return ""  # os.open, maybe relative to a folder's descriptor
            if flags & _WRITES:
                return self._outside(path, self._writable, "writing")
            return self._outside(path, self._readable, "reading")
        if event in _FOLDERS:
            return self._outside(arguments[0], self._readable, "listing")
        if event in _CHANGES:
            verb, descriptors = _CHANGES[event]
            paths = (
                path
                for path, descriptor in zip(arguments, arguments[descriptors], strict=False)
                if descriptor == _NO_DESCRIPTOR
            )
            refused = (self._outside(path, self._writable, verb) for path in paths)
            return next(filter(None, refused), "")
        if event in _PROGRAMS:
            return "starting a program"
        if event in _NETWORK:
            return "using a network"
        if event == "socket.__new__" and arguments[1] not in (_AF_UNSPECIFIED, _AF_UNIX):
            return "opening a network socket"
        if event in ("os.kill", "os.killpg") and arguments[0] != os.getpid():
            return "signalling another process"
        return _OUTRIGHT.get(event, "")

    def _outside(self, path: object, folders: tuple[str, ...], verb: str) -> str:
        if not isinstance(path, str | bytes) or not path:
            return ""
        try:
            name = os.path.abspath(os.fsdecode(path))
        except OSError:  # the working folder has no name: let the kernel decide
            return ""
        if any(name == folder or name.startswith(folder + "/") for folder in folders):
            return ""
        option = (
            " (--write grants a folder)"
            if folders is self._writable
            else (" (--read grants a file or folder)")
        )
        return f"{verb} {os.fsdecode(path)!r}{option}"

    def _is_own(self, file: object) -> bool:
        """Whether code from ``file`` is the script's own rather than a library's."""
        return isinstance(file, str) and (
            file == self._script or (file.startswith(self._own) and "/site-packages/" not in file)
        )

    def _refuse(self, action: str, line: int) -> None:
        if self._told < _MAX_TOLD:
            self._told += 1
            told = action.replace("\n", " ").encode("utf-8", "replace")
            os.write(self._descriptor, b"%d %s\n" % (line, told))
        raise SandboxError(action, line)


def _is_relative(path: object) -> bool:
    return isinstance(path, str | bytes) and not os.fsdecode(path).startswith("/")


def _line_of(frame: FrameType | None, is_own: Callable[[object], bool]) -> int | None:
    """The script's line that led here; None while a library is being imported: what it looks for
    then it can do without, and the kernel has the last word."""
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith("<frozen importlib"):
            return None
        if is_own(name):
            return frame.f_lineno
        frame = frame.f_back
    return 0
