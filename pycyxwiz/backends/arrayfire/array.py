"""Arrays on one of ArrayFire's devices, with the operators that the tables of ops are written in.

Elementwise functions only extend ArrayFire's own expression: it is compiled and run, whole, when
something reads it or ``evaluate`` asks.
"""

from __future__ import annotations

import ctypes
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pycyxwiz.backends.arrayfire.library import Library

__all__ = ["CODES", "Array", "Place", "evaluate", "join", "select"]

# ArrayFire's numbers (af_dtype) for the dtypes that all supported versions compute in. Its int8
# came with 3.10 only: ours are kept in int16 everywhere (see elementwise.py).
CODES = {
    "float32": 0,
    "float64": 2,
    "bool": 4,
    "int32": 5,
    "uint32": 6,
    "uint8": 7,
    "int64": 8,
    "uint64": 9,
    "int16": 10,
    "uint16": 11,
}
_LARGEST_EXACT = 2**53  # beyond, af_constant's double would round an integer

Dims = tuple[int, ...]


class _Sequence(ctypes.Structure):
    _fields_ = (("begin", ctypes.c_double), ("end", ctypes.c_double), ("step", ctypes.c_double))


class _Index(ctypes.Structure):
    """af_index_t: its union holds an array's handle or a sequence."""

    class _Union(ctypes.Union):
        _fields_ = (("array", ctypes.c_void_p), ("sequence", _Sequence))

    _fields_ = (("of", _Union), ("is_sequence", ctypes.c_bool), ("is_batch", ctypes.c_bool))


def _sizes(dims: Dims) -> Any:
    return (ctypes.c_longlong * len(dims))(*dims)


def _span(dims: Dims, axis: int, start: int, step: int, count: int) -> Any:
    """Sequences that take the axis from `start` on by a positive step, and the other axes whole."""
    spans = [_Sequence(0, size - 1, 1) for size in (*dims, 1, 1, 1, 1)[:4]]
    spans[axis] = _Sequence(start, start + (count - 1) * step, step)
    return (_Sequence * 4)(*spans)


class Place:
    """A device of one of ArrayFire's libraries, and how arrays come to be there."""

    def __init__(self, library: Library, index: int) -> None:
        self.library = library
        self.index = index
        library.use(index)
        self.dtypes = frozenset(
            name for name in CODES if name != "float64" or library.has_doubles(index)
        )

    def make(self, name: str, dims: Dims, dtype: str, *arguments: Any) -> Array:
        """The array that one of ArrayFire's functions gives."""
        return Array(self, self.library.call_for_array(name, *arguments), dims, dtype)

    def from_numpy(self, array: np.ndarray[Any, Any], dims: Dims) -> Array:
        """A copy of a C-contiguous array."""
        dtype = array.dtype.name
        data = array.ctypes.data_as(ctypes.c_void_p)
        return self.make("create_array", dims, dtype, data, len(dims), _sizes(dims), CODES[dtype])

    def constant(self, value: float, dims: Dims, dtype: str) -> Array:
        """A number everywhere: part of an expression, no memory."""
        if dtype == "int64" and abs(value) > _LARGEST_EXACT:
            return self.make("constant_long", dims, dtype, int(value), len(dims), _sizes(dims))
        return self.make(
            "constant", dims, dtype, float(value), len(dims), _sizes(dims), CODES[dtype]
        )

    def positions(self, dims: Dims, axis: int, dtype: str = "int32") -> Array:
        """Each element's position along an axis."""
        line = (1,) * axis + (dims[axis],)
        made = self.make("range", line, dtype, len(line), _sizes(line), axis, CODES[dtype])
        return made.tile_to(dims)


class Array:
    """One af_array, released with this object."""

    __slots__ = ("dims", "dtype", "handle", "place")

    def __init__(self, place: Place, handle: int, dims: Dims, dtype: str) -> None:
        self.place = place
        self.handle = handle
        self.dims = dims
        self.dtype = dtype

    def __del__(self) -> None:
        self.place.library.release(self.handle, self.place.index)

    @property
    def size(self) -> int:
        return prod(self.dims)

    def to_numpy(self) -> np.ndarray[Any, Any]:
        """A copy of the elements, flat."""
        result = np.empty(self.size, self.dtype)
        self.place.library.call("get_data_ptr", result.ctypes.data_as(ctypes.c_void_p), self.handle)
        return result

    def map(self, name: str, dtype: str | None = None) -> Array:
        """One of ArrayFire's functions of one array."""
        return self.place.make(name, self.dims, dtype or self.dtype, self.handle)

    def combine(self, name: str, other: Array | float, dtype: str | None = None) -> Array:
        """One of ArrayFire's functions of two arrays of equal dims and dtype."""
        other = self.like(other)
        return self.place.make(
            name, self.dims, dtype or self.dtype, self.handle, other.handle, False
        )

    def like(self, other: Array | float) -> Array:
        """A number as an array of these dims and this dtype."""
        if isinstance(other, Array):
            return other
        return self.place.constant(other, self.dims, self.dtype)

    def cast(self, dtype: str) -> Array:
        """C's conversion; to bool: is it not 0?"""
        if dtype == self.dtype:
            return self
        if dtype == "bool":
            return self != 0
        return self.place.make("cast", self.dims, dtype, self.handle, CODES[dtype])

    def __add__(self, other: Array | float) -> Array:
        return self.combine("add", other)

    def __sub__(self, other: Array | float) -> Array:
        return self.combine("sub", other)

    def __rsub__(self, other: float) -> Array:
        return self.like(other) - self

    def __mul__(self, other: Array | float) -> Array:
        return self.combine("mul", other)

    def __truediv__(self, other: Array | float) -> Array:
        return self.combine("div", other)

    def __rtruediv__(self, other: float) -> Array:
        return self.like(other) / self

    def __and__(self, other: Array | float) -> Array:
        return self.combine("and" if self.dtype == "bool" else "bitand", other)

    def __or__(self, other: Array | float) -> Array:
        return self.combine("or" if self.dtype == "bool" else "bitor", other)

    def __xor__(self, other: Array | float) -> Array:
        return self != other if self.dtype == "bool" else self.combine("bitxor", other)

    def __lshift__(self, other: Array | float) -> Array:
        return self.combine("bitshiftl", other)

    def __rshift__(self, other: Array | float) -> Array:
        return self.combine("bitshiftr", other)

    def __neg__(self) -> Array:
        # 0 - x would lose the sign of a floating zero, and an unsigned -1 is no number to give.
        return self.like(0) - self if self.dtype.startswith("u") else self * -1

    def __invert__(self) -> Array:
        return self.map("not") if self.dtype == "bool" else self ^ -1

    def __eq__(self, other: Array | float) -> Array:  # type: ignore[override]
        return self.combine("eq", other, "bool")

    def __ne__(self, other: Array | float) -> Array:  # type: ignore[override]
        return self.combine("neq", other, "bool")

    def __lt__(self, other: Array | float) -> Array:
        return self.combine("lt", other, "bool")

    def __le__(self, other: Array | float) -> Array:
        return self.combine("le", other, "bool")

    def __gt__(self, other: Array | float) -> Array:
        return self.combine("gt", other, "bool")

    def __ge__(self, other: Array | float) -> Array:
        return self.combine("ge", other, "bool")

    __hash__ = None  # type: ignore[assignment]

    def view(self, dims: Dims) -> Array:
        """The same elements in other dims."""
        if dims == self.dims:
            return self
        return self.place.make("moddims", dims, self.dtype, self.handle, len(dims), _sizes(dims))

    def tile(self, times: Dims) -> Array:
        """Repeated along its axes."""
        if all(n == 1 for n in times):
            return self
        dims = tuple(size * n for size, n in zip(self.dims, times, strict=True))
        return self.place.make("tile", dims, self.dtype, self.handle, *(*times, 1, 1, 1)[:4])

    def tile_to(self, dims: Dims) -> Array:
        """Repeated along axes of size 1, to those dims."""
        now = self.dims + (1,) * (len(dims) - len(self.dims))
        return self.view(now).tile(tuple(d // n for d, n in zip(dims, now, strict=True)))

    def reorder(self, axes: Dims) -> Array:
        """A copy whose axis i is axis ``axes[i]`` of this one."""
        dims = tuple(self.dims[axis] for axis in axes)
        rest = range(len(axes), 4)
        return self.place.make("reorder", dims, self.dtype, self.handle, *axes, *rest)

    def take(self, axis: int, start: int, step: int, count: int) -> Array:
        """Elements along an axis; the step may be negative."""
        if step < 0:
            return self.take(axis, start + (count - 1) * step, -step, count).flip(axis)
        dims = (*self.dims[:axis], count, *self.dims[axis + 1 :])
        span = _span(self.dims, axis, start, step, count)
        return self.place.make("index", dims, self.dtype, self.handle, 4, span)

    def put(self, axis: int, start: int, step: int, part: Array) -> Array:
        """A copy with `part` in the place of what ``take`` would give."""
        count = part.dims[axis]
        if step < 0:
            return self.put(axis, start + (count - 1) * step, -step, part.flip(axis))
        span = _span(self.dims, axis, start, step, count)
        return self._assigned("assign_seq", span, part)

    def put_rows(self, axis: int, rows: Array, part: Array) -> Array:
        """A copy with `part` at distinct positions of the axis."""
        index = (_Index * 4)()
        for i, span in enumerate(_span(self.dims, axis, 0, 1, self.dims[axis])):
            if i == axis:
                index[i].of.array = rows.handle
            else:
                index[i].of.sequence, index[i].is_sequence = span, True
        return self._assigned("assign_gen", index, part)

    def _assigned(self, name: str, index: Any, part: Array) -> Array:
        # The functions write to what they are given when nobody else holds its memory: so a copy is
        # made here, always, and theirs to write to. They want no more indices than axes.
        copy = self.map("copy_array")
        axes = max((i + 1 for i, size in enumerate(self.dims) if size > 1), default=1)
        handle = ctypes.c_void_p(copy.handle)
        self.place.library.call(name, ctypes.byref(handle), copy.handle, axes, index, part.handle)
        return copy

    def flip(self, axis: int) -> Array:
        return self.place.make("flip", self.dims, self.dtype, self.handle, axis)

    def reduce(self, name: str, axis: int, dtype: str | None = None) -> Array:
        """One of ArrayFire's reductions; the axis stays, with size 1."""
        dims = (*self.dims[:axis], 1, *self.dims[axis + 1 :])
        return self.place.make(name, dims, dtype or self.dtype, self.handle, axis)

    def look_up(self, rows: Array, axis: int) -> Array:
        """The elements at positions of an axis, which are all inside."""
        dims = (*self.dims[:axis], rows.size, *self.dims[axis + 1 :])
        return self.place.make("lookup", dims, self.dtype, self.handle, rows.handle, axis)


def select(condition: Array, a: Array | float, b: Array | float) -> Array:
    """Elements of `a` where the condition holds, of `b` elsewhere; one of them may be a number."""
    if not isinstance(a, Array):
        assert isinstance(b, Array)
        a = b.like(a)
    b = a.like(b)
    return a.place.make("select", a.dims, a.dtype, condition.handle, a.handle, b.handle)


def join(axis: int, a: Array, b: Array) -> Array:
    """One after the other along an axis."""
    dims = (*a.dims[:axis], a.dims[axis] + b.dims[axis], *a.dims[axis + 1 :])
    return a.place.make("join", dims, a.dtype, axis, a.handle, b.handle)


def evaluate(arrays: Iterable[Array]) -> None:
    """Runs the expressions of these arrays, those of the same dims and dtype in one kernel."""
    alike: dict[tuple[Dims, str], list[Array]] = {}
    # Each once: given twice, an array's first memory is freed while OpenCL still writes to it.
    for array in {array.handle: array for array in arrays}.values():
        alike.setdefault((array.dims, array.dtype), []).append(array)
    for group in alike.values():
        handles = _handles(group)
        group[0].place.library.call("eval_multiple", len(group), handles)


def _handles(arrays: Sequence[Array]) -> Any:
    return (ctypes.c_void_p * len(arrays))(*(array.handle for array in arrays))
