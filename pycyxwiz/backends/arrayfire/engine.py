"""ArrayFire as a backend: its devices, and tensors on them."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from pycyxwiz._core import DeviceError, OutOfMemoryError
from pycyxwiz.backends.arrayfire.array import Array, Place
from pycyxwiz.backends.arrayfire.library import KINDS, Library, find, missing
from pycyxwiz.backends.arrayfire.program import (
    OPS,
    REASONS,
    ArrayFireExecutable,
    Held,
    to_device,
    to_host,
)
from pycyxwiz.backends.protocol import DeviceInfo, Memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import numpy as np

    from pycyxwiz.backends.protocol import Program

__all__ = ["ArrayFireBackend", "load_all"]


class ArrayFireBackend:
    """Every device of every library of ArrayFire's that is installed."""

    name = "arrayfire"
    ops: Mapping[str, Callable[..., Any]] = OPS
    reasons: Mapping[str, str] = REASONS

    def __init__(self, libraries: Iterable[Library]) -> None:
        self._places: list[Place] = []
        self._devices: list[DeviceInfo] = []
        for library in libraries:
            self._add(library)

    def _add(self, library: Library) -> None:
        sizes = memory_sizes(library.info_string())
        for index in range(library.device_count):
            place = Place(library, index)
            name, platform = library.device_names()
            self._places.append(place)
            self._devices.append(
                DeviceInfo(
                    kind=library.kind,
                    index=index,
                    name=f"{name} ({platform}, ArrayFire {library.version_name})",
                    memory_bytes=sizes.get(index) or _host_memory("SC_PHYS_PAGES"),
                )
            )

    def devices(self) -> Sequence[DeviceInfo]:
        return self._devices

    def copy_in(self, array: np.ndarray[Any, Any], device: int, shareable: bool) -> Held:
        del shareable  # ArrayFire allocates what it computes with
        place = self._use(device)
        try:
            return Held(array.shape, array.dtype.name, to_device(place, array))
        except OutOfMemoryError as error:
            raise OutOfMemoryError(
                f"out of memory on {self._name(device)}: a tensor of {array.nbytes:,} bytes was to "
                f"be copied there. {error}"
            ) from None

    def copy_out(self, array: Held) -> np.ndarray[Any, Any]:
        if isinstance(array.data, Array):
            array.data.place.library.use(array.data.place.index)
        return to_host(array.data, array.shape, array.dtype)

    def compile(self, program: Program, device: int) -> ArrayFireExecutable:
        return ArrayFireExecutable(program, self._use(device), self._name(device))

    def synchronize(self, device: int) -> None:
        self._use(device).library.call("sync", self._places[device].index)

    def memory(self, device: int) -> Memory:
        place = self._use(device)
        allocated, held = place.library.bytes_in_use()
        cached = allocated - held
        if place.library.kind == "arrayfire:cpu":
            free = _host_memory("SC_AVPHYS_PAGES") + cached
        else:
            free = max(self._devices[device].memory_bytes - held, 0)
        return Memory(cached=cached, free=free)

    def release_cached(self, device: int) -> None:
        self._use(device).library.call("device_gc")

    def _use(self, device: int) -> Place:
        place = self._places[device]
        place.library.use(place.index)
        return place

    def _name(self, device: int) -> str:
        info = self._devices[device]
        return info.kind if info.kind.endswith("cpu") else f"{info.kind}:{info.index}"


def memory_sizes(info: str) -> dict[int, int]:
    """Bytes by device, from what ArrayFire says about itself: its C interface has no other way.

    >>> memory_sizes("ArrayFire v3.8.0\\n[0] NVIDIA GeForce, 11018 MB, CUDA Compute 7.5\\n")
    {0: 11553210368}
    """
    found = re.findall(r"^\s*[\[-](\d+)[\]-] .*?,\s*(\d+) MB", info, re.MULTILINE)
    return {int(index): int(megabytes) << 20 for index, megabytes in found}


def _host_memory(pages: str) -> int:
    return os.sysconf(pages) * os.sysconf("SC_PAGE_SIZE")


def load_all() -> list[Library]:
    """Every library that is there and loads; raises DeviceError when none does."""
    libraries, failures = [], []
    for kind in KINDS:
        if path := find(kind):
            try:
                libraries.append(Library(kind, path))
            except DeviceError as error:  # its driver may be missing where another's is there
                failures.append(str(error))
    if not libraries:
        raise DeviceError("; ".join(failures) or missing("arrayfire:cpu") or "")
    return libraries
