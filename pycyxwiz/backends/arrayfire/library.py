"""ArrayFire's shared libraries: where they are looked for, and how their functions are called.

ArrayFire has one library for each kind of device, all with the same C interface, and a unified one
that forwards to them. We load the former: which of them answers is then ours to say, array by
array, and not a state of the process.

The C interface is called directly, by a table of signatures. The Python packages of ArrayFire are
looked into for the libraries they bring, but not used: ``arrayfire`` 3.8 (2022) lacks int8 and
float16 and loses axes of size 1, and what it would save is the table below.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import re
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pycyxwiz._core import DeviceError, OutOfMemoryError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["GPUS", "KINDS", "Library", "find", "missing"]

# The kinds of device that users name, and the library that serves each.
KINDS = {"cuda": "cuda", "oneapi": "oneapi", "opencl": "opencl", "arrayfire:cpu": "cpu"}
GPUS = ("cuda", "oneapi", "opencl")

_OLDEST, _NEWEST = (3, 8), (3, 10)  # versions whose interface the table below describes
_PACKAGES = ("arrayfire_wrapper", "arrayfire")  # Python packages that may bring the libraries
_HOW_TO_GET_IT = (
    "ArrayFire is installed from https://arrayfire.com/binaries or by the system's package manager "
    "(versions 3.8 to 3.10); where it lies elsewhere, set AF_PATH to its folder"
)


def _file_names(library: str) -> tuple[str, ...]:
    if sys.platform == "win32":
        return (f"af{library}.dll",)
    if sys.platform == "darwin":
        return (f"libaf{library}.3.dylib", f"libaf{library}.dylib")
    return (f"libaf{library}.so.3", f"libaf{library}.so")


def _library_folders(root: Path) -> Iterator[Path]:
    yield from (root / "lib", root / "lib64", root / "bin" if sys.platform == "win32" else root)


def _usual_roots() -> list[Path]:
    if sys.platform == "win32":
        return [Path(os.environ.get("PROGRAMFILES", "C:/Program Files"), "ArrayFire", "v3")]
    roots = ["/opt/arrayfire", "/opt/arrayfire-3", "/usr/local", "/usr"]
    if sys.platform == "darwin":
        roots.insert(2, "/opt/homebrew")
    return [Path(root) for root in roots]


def _folders() -> Iterator[Path]:
    """Where libraries are looked for, the preferred place first."""
    if chosen := os.environ.get("AF_PATH"):
        yield from _library_folders(Path(chosen))
    for package in _PACKAGES:
        spec = importlib.util.find_spec(package)
        for place in (spec.submodule_search_locations or ()) if spec else ():
            yield from (Path(place, "binaries"), Path(place, "lib"), Path(place))
    variable = "DYLD_LIBRARY_PATH" if sys.platform == "darwin" else "LD_LIBRARY_PATH"
    variable = "PATH" if sys.platform == "win32" else variable
    yield from (Path(place) for place in os.environ.get(variable, "").split(os.pathsep) if place)
    for root in _usual_roots():
        yield from _library_folders(root)
        if sys.platform.startswith("linux") and root == Path("/usr"):
            yield root / "lib" / f"{os.uname().machine}-linux-gnu"


def _in_loader_cache(names: Sequence[str], cache: Path = Path("/etc/ld.so.cache")) -> Path | None:
    """The file of one of those names that Linux's loader knows of: it keeps whole paths."""
    try:
        known = cache.read_bytes()
    except OSError:
        return None
    for name in names:
        if found := re.search(rb"/[^\0]*/" + re.escape(name.encode()) + rb"(?=\0)", known):
            return Path(os.fsdecode(found.group()))
    return None


def find(kind: str) -> Path | None:
    """The library for a kind of device, or None; nothing is loaded by looking."""
    names = _file_names(KINDS[kind])
    for folder in _folders():
        for name in names:
            if (folder / name).is_file():
                return folder / name
    return _in_loader_cache(names)


def missing(kind: str) -> str | None:
    """Why ArrayFire can't serve that kind of device here: where its library was looked for, and
    how to get it; None when there is one."""
    if find(kind):
        return None
    names = _file_names(KINDS[kind])
    places = dict.fromkeys(str(folder) for folder in _folders())
    return (
        f"ArrayFire's library {names[0]} is in none of "
        f"{', '.join(places)} and not known to the loader. {_HOW_TO_GET_IT}."
    )


# Parameters of the C functions: "o" receives an array, "a" is one, "n" a size (dim_t), "d" a list
# of sizes and their count before it, "i" an int, "u" an unsigned, "b" a bool, "f" a double, "l" a
# long long, "p" a pointer.
_UNARY = "abs sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh exp expm1 log log1p log2 "
_UNARY += "log10 sqrt erf floor ceil round trunc isnan not"
_BINARY = "add sub mul div mod pow atan2 eq neq lt le gt ge and or "
_BINARY += "bitand bitor bitxor bitshiftl bitshiftr"
_SIGNATURES = {
    **dict.fromkeys(_UNARY.split(), "oa"),
    **dict.fromkeys(_BINARY.split(), "oaab"),
    **dict.fromkeys(["sum", "product", "max", "min", "any_true", "all_true"], "oai"),
    "cast": "oai",
    "constant": "ofdi",
    "constant_long": "old",
    "range": "odii",
    "select": "oaaa",
    "tile": "oauuuu",
    "reorder": "oauuuu",
    "moddims": "oad",
    "flip": "oau",
    "join": "oiaa",
    "copy_array": "oa",
    "index": "oaup",
    "assign_seq": "oaupa",
    "assign_gen": "oanpa",
    "lookup": "oaau",
    "sort_by_key": "ooaaub",
    "sum_by_key": "ooaai",
    "matmul": "oaaii",
    "unwrap": "oannnnnnb",
    "wrap": "oannnnnnnnb",
    "create_array": "opdi",
    "get_data_ptr": "pa",
    "get_elements": "pa",
    "release_array": "a",
    "eval_multiple": "ip",
    "get_version": "ppp",
    "get_device_count": "p",
    "set_device": "i",
    "device_info": "pppp",
    "info_string": "pb",
    "get_dbl_support": "pi",
    "device_mem_info": "pppp",
    "device_gc": "",
    "sync": "i",
    "free_host": "p",
}
_TYPES: dict[str, list[Any]] = {
    "o": [ctypes.POINTER(ctypes.c_void_p)],
    "a": [ctypes.c_void_p],
    "n": [ctypes.c_longlong],
    "d": [ctypes.c_uint, ctypes.POINTER(ctypes.c_longlong)],
    "i": [ctypes.c_int],
    "u": [ctypes.c_uint],
    "b": [ctypes.c_bool],
    "f": [ctypes.c_double],
    "l": [ctypes.c_longlong],
    "p": [ctypes.c_void_p],
}
_NO_MEMORY = 101  # AF_ERR_NO_MEM


class Library:
    """One of ArrayFire's libraries, loaded: ``library.call("add", a, b, False)``.

    Loading it initialises it, once for the process: a second Library of the same file shares the
    first one's state.
    """

    def __init__(self, kind: str, path: Path) -> None:
        self.kind = kind
        self.path = path
        try:
            self._c = ctypes.CDLL(str(path))
            self._functions = {name: self._declare(name) for name in _SIGNATURES}
        except (OSError, AttributeError) as error:
            raise DeviceError(f"ArrayFire's library {path} does not load: {error}") from error
        self._process = os.getpid()
        self._here = threading.local()  # which device this thread's calls go to
        self.version = self._read_version()
        if not _OLDEST <= self.version[:2] <= _NEWEST:
            raise DeviceError(
                f"ArrayFire's library {path} is version {self.version_name}; versions 3.8 to 3.10 "
                f"are supported"
            )
        count = ctypes.c_int()
        self.call("get_device_count", ctypes.byref(count))
        self.device_count = count.value

    @property
    def version_name(self) -> str:
        return ".".join(map(str, self.version))

    def _declare(self, name: str) -> Any:
        function = getattr(self._c, "af_" + name)
        function.argtypes = [type_ for letter in _SIGNATURES[name] for type_ in _TYPES[letter]]
        function.restype = ctypes.c_int
        return function

    def _read_version(self) -> tuple[int, int, int]:
        numbers = [ctypes.c_int() for _ in range(3)]
        self.call("get_version", *map(ctypes.byref, numbers))
        major, minor, patch = (number.value for number in numbers)
        return major, minor, patch

    def use(self, device: int) -> None:
        """Sends this thread's calls to one of the library's devices."""
        if getattr(self._here, "device", None) != device:
            self.call("set_device", device)
            self._here.device = device

    def call(self, name: str, *arguments: Any) -> None:
        """Raises OutOfMemoryError or DeviceError with ArrayFire's message."""
        error = self._functions[name](*arguments)
        if error:
            self._raise(name, error)

    def call_for_array(self, name: str, *arguments: Any) -> int:
        """The handle of the one array that the function gives, now the caller's to release."""
        handle = ctypes.c_void_p()
        error = self._functions[name](ctypes.byref(handle), *arguments)
        if error:
            self._raise(name, error)
        return handle.value or 0

    def call_for_two(self, name: str, *arguments: Any) -> tuple[int, int]:
        """The handles of two arrays, the caller's to release."""
        first, second = ctypes.c_void_p(), ctypes.c_void_p()
        self.call(name, ctypes.byref(first), ctypes.byref(second), *arguments)
        return first.value or 0, second.value or 0

    def size(self, handle: int) -> int:
        """How many elements an array has; waits for them where that depends on values."""
        count = ctypes.c_longlong()
        self.call("get_elements", ctypes.byref(count), handle)
        return count.value

    def release(self, handle: int, device: int) -> None:
        """Gives an array up; what fails then can't be helped, and must not raise in a ``del``."""
        if os.getpid() != self._process:
            return  # forked: what the library is made of did not come along
        if getattr(self._here, "device", None) != device:
            self._functions["set_device"](device)
            self._here.device = device
        self._functions["release_array"](handle)

    def info_string(self) -> str:
        """What ArrayFire says about itself and its devices, a line for each."""
        text = ctypes.c_char_p()
        self.call("info_string", ctypes.byref(text), True)
        return self._take(text)

    def device_names(self) -> tuple[str, str]:
        """The current device's name, and its platform's."""
        texts = [ctypes.create_string_buffer(256) for _ in range(4)]
        self.call("device_info", *texts)
        name, platform = (text.value.decode(errors="replace") for text in texts[:2])
        return name.replace("_", " "), platform

    def bytes_in_use(self) -> tuple[int, int]:
        """Of the current device: allocated in all, and those that arrays hold."""
        sizes = [ctypes.c_size_t() for _ in range(4)]
        self.call("device_mem_info", *map(ctypes.byref, sizes))
        return sizes[0].value, sizes[2].value

    def has_doubles(self, device: int) -> bool:
        """Whether the device computes in float64."""
        answer = ctypes.c_bool()
        self.call("get_dbl_support", ctypes.byref(answer), device)
        return answer.value

    def _take(self, text: ctypes.c_char_p) -> str:
        value = (text.value or b"").decode(errors="replace")
        self._functions["free_host"](ctypes.cast(text, ctypes.c_void_p))
        return value

    def _raise(self, name: str, error: int) -> None:
        text, length = ctypes.c_char_p(), ctypes.c_longlong()
        self._c.af_get_last_error.restype = None
        self._c.af_get_last_error(ctypes.byref(text), ctypes.byref(length))
        message = self._take(text) if text else ""
        if error == _NO_MEMORY:
            allocated, held = self.bytes_in_use()
            raise OutOfMemoryError(
                f"ArrayFire's {name} on {self.kind} found no memory: its tensors hold {held:,} "
                f"bytes of the {allocated:,} it has allocated; cx.memory.empty_cache() gives back "
                f"what is cached"
            )
        said, *_ = message.partition(" 0# ")  # where its stack trace begins
        reason = ", ".join(said.split("\n")).strip(", ")
        raise DeviceError(f"ArrayFire's {name} on {self.kind} failed with code {error}: {reason}")
