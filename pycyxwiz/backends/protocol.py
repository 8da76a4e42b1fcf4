"""What a backend is: the one narrow protocol through which Programs run on a device.

A backend is a table from op names to its engine's calls (``ops``), plus the functions of
``Backend``. Its arrays are objects of its own, opaque to the core, which only holds and drops them.
docs/backends.md is the page to read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy as np

__all__ = ["Backend", "DeviceInfo", "Executable", "Memory", "Program", "Value"]


@dataclass(frozen=True)
class DeviceInfo:
    """A device as its backend finds it; users name it ``kind:index``."""

    kind: str
    index: int
    name: str
    memory_bytes: int


@dataclass(frozen=True)
class Memory:
    """Bytes that the engine keeps for reuse, and that could still be allocated."""

    cached: int
    free: int


@dataclass(frozen=True, slots=True)
class Value:
    """One instruction: what is computed, from which earlier values."""

    op: str
    """A name from ``pycyxwiz.backends.op_names()``, or ``"input"`` for an argument."""
    dtype: str
    shape: tuple[int, ...]
    inputs: tuple[int, ...]
    attributes: tuple[int, ...]
    """As core/include/cyxwiz/op.h says for each op."""


@dataclass(frozen=True)
class Program:
    """Typed instructions in an order in which inputs come first. Numbers are ids of ``values``."""

    values: tuple[Value, ...]
    inputs: tuple[int, ...]
    """The ``input`` values in the order of the arguments."""
    donated: tuple[bool, ...]
    """For each argument: may its array's memory ever be taken for a result?"""
    outputs: tuple[int, ...]
    """What to give back; each once, and no argument among them."""


class Executable(Protocol):
    """A compiled Program."""

    def run(self, arguments: list[Any], donated: list[int]) -> Sequence[Any]:
        """New arrays, one for each of the Program's outputs.

        ``arguments`` are this backend's arrays, or plain Python numbers for 0-d inputs that the
        script wrote as numbers. ``donated`` are the positions of those arrays that nobody else
        holds any more: their memory may be taken.
        """

    def describe(self) -> Iterable[str]:
        """One line for each step that runs, for people."""


class Backend(Protocol):
    """An engine that runs Programs on devices. ``device`` is a position in ``devices()``."""

    name: str
    """How users name it: ``cx.set_device("cuda:0", backend=name)``."""
    ops: Mapping[str, Any]
    """What computes each op."""
    reasons: Mapping[str, str]
    """For each op that is not in ``ops``: why not."""

    def devices(self) -> Sequence[DeviceInfo]:
        """The devices that the engine can use, in order. Asked once."""

    def copy_in(self, array: np.ndarray[Any, Any], device: int, shareable: bool) -> Any:
        """The array's elements on the device; ``shareable``: nobody will ever write to it.

        Raises ``cyxwiz.OutOfMemoryError``, here as in ``Executable.run``.
        """

    def copy_out(self, array: Any) -> np.ndarray[Any, Any]:
        """The elements in the host's memory, C-contiguous and of the same shape and dtype; they may
        share memory that nobody writes to."""

    def compile(self, program: Program, device: int) -> Executable:
        """Called once for each structure: the core keeps what it gives."""

    def synchronize(self, device: int) -> None:
        """Returns when everything the device was given is done."""

    def memory(self, device: int) -> Memory:
        """What the core can't count itself."""

    def release_cached(self, device: int) -> None:
        """Gives memory that is kept for reuse back."""
