"""What an entry of the table of ops is given beside its arrays."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pycyxwiz.backends.arrayfire.array import Array, Place
    from pycyxwiz.backends.arrayfire.layout import Dims
    from pycyxwiz.backends.protocol import Value

__all__ = ["Check", "Step"]


@dataclass(frozen=True)
class Check:
    """A question to ask of the device when the Program has run: are these indices inside?"""

    op: str
    indices: Array
    rows: int


@dataclass
class Step:
    """One instruction of a Program, on a device."""

    place: Place
    value: Value
    shapes: tuple[Dims, ...]
    """Of the inputs."""
    transposed: tuple[bool, ...] = ()
    """For matmul: which inputs are given with their last two axes swapped."""
    checks: list[Check] = field(default_factory=list)
    """What this run has to check in the end."""

    @property
    def op(self) -> str:
        return self.value.op

    @property
    def dtype(self) -> str:
        return self.value.dtype

    @property
    def shape(self) -> Dims:
        return self.value.shape

    @property
    def attributes(self) -> Dims:
        return self.value.attributes
