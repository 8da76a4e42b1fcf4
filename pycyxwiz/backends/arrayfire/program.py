"""Programs as ArrayFire runs them: instruction by instruction, expressions evaluated where an
instruction is more than elementwise."""

from __future__ import annotations

import sys
import warnings
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from pycyxwiz._core import OutOfMemoryError
from pycyxwiz.backends import compute_on_cpu
from pycyxwiz.backends.arrayfire.array import Array, evaluate
from pycyxwiz.backends.arrayfire.elementwise import ELEMENTWISE, STORED
from pycyxwiz.backends.arrayfire.layout import dims_of
from pycyxwiz.backends.arrayfire.step import Check, Step
from pycyxwiz.backends.arrayfire.structure import STRUCTURE, broadcast
from pycyxwiz.backends.arrayfire.window import WINDOW

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pycyxwiz.backends.arrayfire.array import Place
    from pycyxwiz.backends.protocol import Program, Value

__all__ = ["OPS", "REASONS", "ArrayFireExecutable", "Held"]

OPS: dict[str, Callable[..., Array]] = {**ELEMENTWISE, **STRUCTURE, **WINDOW}
REASONS = {
    "permutation": "each of its numbers depends on those drawn before: the CPU draws it, and the "
    "result is copied",
}

# What extends an expression, without running it; the cheap ones are better done again than stored.
_CHEAP = frozenset(("broadcast", "iota"))
_LAZY = frozenset((*ELEMENTWISE, *_CHEAP, "alias", "reshape"))

_MOST_ELEMENTS = 2**31 - 1  # its kernels number them in an int, and wrap around without a word

# What an instruction's value is while a Program runs: on the device; in the host's memory, because
# the device can't hold its dtype or because it has no elements; or a number of the script.
Data = Array | np.ndarray[Any, Any] | np.generic


@dataclass(frozen=True)
class Held:
    """A tensor between Programs."""

    shape: tuple[int, ...]
    dtype: str
    data: Array | np.ndarray[Any, Any]


def to_device(place: Place, array: np.ndarray[Any, Any]) -> Array | np.ndarray[Any, Any]:
    """A copy on the device, of what the device can hold."""
    dtype = STORED.get(array.dtype.name, array.dtype.name)
    if dtype not in place.dtypes or array.size == 0:
        return array
    dense = np.ascontiguousarray(array, np.dtype(dtype))
    return place.from_numpy(dense, dims_of(array.shape))


def to_host(data: Data, shape: tuple[int, ...], dtype: str) -> np.ndarray[Any, Any]:
    """The elements as NumPy has them."""
    if isinstance(data, Array):
        data = data.to_numpy()
    return np.asarray(data, np.dtype(dtype)).reshape(shape)


@dataclass(frozen=True)
class _Instruction:
    at: int
    """Its value's id."""
    value: Value
    inputs: tuple[int, ...]
    transposed: tuple[bool, ...]
    on_cpu: str | None
    """Why the CPU computes it; None: it doesn't."""
    is_stored: bool
    """An expression that is evaluated before anything else runs."""
    last_uses: tuple[int, ...]
    """Values that nothing reads after it."""


class ArrayFireExecutable:
    """A Program on one device."""

    def __init__(self, program: Program, place: Place, name: str) -> None:
        self._program = program
        self._place = place
        self._name = name
        self._instructions = self._plan()

    def run(self, arguments: list[Any], donated: list[int]) -> Sequence[Held]:
        """As the protocol says. Donated arrays are simply let go of: what is computed next finds
        their memory in ArrayFire's pool."""
        del donated
        self._place.library.use(self._place.index)
        program = self._program
        data: dict[int, Data] = {}
        checks: list[Check] = []
        for at, argument in zip(program.inputs, arguments, strict=True):
            value = program.values[at]
            is_held = isinstance(argument, Held)
            data[at] = argument.data if is_held else np.dtype(value.dtype).type(argument)
        arguments.clear()
        pending: list[Array] = []
        try:
            for instruction in self._instructions:
                value = instruction.value
                if value.op not in _LAZY and pending:
                    evaluate(pending)
                    pending.clear()
                result = self._compute(instruction, data, checks)
                data[instruction.at] = result
                if instruction.is_stored and isinstance(result, Array):
                    pending.append(result)
                for at in instruction.last_uses:
                    del data[at]
            results = [self._held(program.values[at], data[at]) for at in program.outputs]
            evaluate(held.data for held in results if isinstance(held.data, Array))
            _check_indices(checks)
        except OutOfMemoryError as error:
            raise OutOfMemoryError(
                f"out of memory on {self._name}: {_described(value)} has "
                f"{prod(value.shape) * np.dtype(value.dtype).itemsize:,} bytes. {error}"
            ) from None
        return results

    def describe(self) -> Iterator[str]:
        """Elementwise instructions that run as one expression share a line."""
        group: list[str] = []
        for instruction in self._instructions:
            value = instruction.value
            if value.op in _LAZY and not instruction.on_cpu:
                group.append(value.op)
                continue
            if group:
                yield "elementwise: " + " ".join(group)
                group = []
            yield _described(value) + (" on the CPU" if instruction.on_cpu else "")
        if group:
            yield "elementwise: " + " ".join(group)

    def _plan(self) -> tuple[_Instruction, ...]:
        values = self._program.values
        inputs, transposed = _fold_transposes(values)
        needed = set(self._program.outputs)
        for at in reversed(range(len(values))):
            if at in needed:
                needed.update(inputs[at])
        order = [at for at in range(len(values)) if at in needed and values[at].op != "input"]
        readers: dict[int, list[int]] = {}
        for at in order:
            for source in inputs[at]:
                readers.setdefault(source, []).append(at)
        kept = set(self._program.outputs)
        return tuple(
            _Instruction(
                at,
                values[at],
                inputs[at],
                transposed[at],
                self._reason_for_cpu(values[at], [values[i] for i in inputs[at]]),
                _is_stored(values, at, readers.get(at, [])),
                tuple(i for i in {*inputs[at]} if readers[i][-1] == at and i not in kept),
            )
            for at in order
        )

    def _reason_for_cpu(self, value: Value, inputs: list[Value]) -> str | None:
        if value.op in REASONS:
            return REASONS[value.op]
        if value.op == "matmul" and not value.dtype.startswith("float"):
            return "ArrayFire multiplies matrices of floating dtypes only"
        for dtype in (value.dtype, *(i.dtype for i in inputs)):
            if STORED.get(dtype, dtype) not in self._place.dtypes:
                return f"the device has no {dtype}"
        return None

    def _compute(
        self, instruction: _Instruction, data: dict[int, Data], checks: list[Check]
    ) -> Data:
        value = instruction.value
        sources = [data[i] for i in instruction.inputs]
        size = prod(value.shape)
        if size > _MOST_ELEMENTS:
            raise OutOfMemoryError(f"ArrayFire counts {_MOST_ELEMENTS:,} elements at most")
        if size == 0:
            return np.empty(value.shape, np.dtype(value.dtype))
        number = sources[0] if sources and isinstance(sources[0], np.generic) else None
        if number is not None and value.op in ("cast", "alias", "copy", "reshape"):
            converted: np.generic = number.astype(np.dtype(value.dtype))
            return converted
        if instruction.on_cpu:
            return self._compute_on_cpu(instruction, sources)
        if number is not None and value.op == "broadcast":
            return self._place.constant(number.item(), dims_of(value.shape), stored(value))
        arrays = [array for source in sources if isinstance(array := self._array(source), Array)]
        if len(arrays) < len(sources):
            return self._compute_from_nothing(value, arrays)
        shapes = tuple(self._program.values[i].shape for i in instruction.inputs)
        if value.op in ELEMENTWISE:
            arrays = [
                array if shape == value.shape else broadcast(array, shape, value.shape)
                for array, shape in zip(arrays, shapes, strict=True)
            ]
        step = Step(self._place, value, shapes, instruction.transposed, checks)
        return OPS[value.op](step, *arrays)

    def _array(self, data: Data) -> Array | np.ndarray[Any, Any]:
        if isinstance(data, np.generic):
            dtype = STORED.get(data.dtype.name, data.dtype.name)
            return self._place.constant(data.item(), (1,), dtype)
        return to_device(self._place, data) if isinstance(data, np.ndarray) else data

    def _compute_from_nothing(self, value: Value, arrays: list[Array]) -> Array:
        """A result that has elements, where an input has none; `arrays` are those that have."""
        if value.op in ("slice_update", "concatenate"):
            return arrays[0].view(dims_of(value.shape))
        fill = 1 if value.op == "prod" else 0
        return self._place.constant(fill, dims_of(value.shape), stored(value))

    def _compute_on_cpu(self, instruction: _Instruction, sources: list[Data]) -> Data:
        value = instruction.value
        if value.op not in REASONS:
            _warn_once(self._name, value.op, instruction.on_cpu or "")
        values = [self._program.values[i] for i in instruction.inputs]
        arrays = [
            to_host(source, v.shape, v.dtype) for source, v in zip(sources, values, strict=True)
        ]
        return to_device(self._place, compute_on_cpu(value, arrays))

    def _held(self, value: Value, data: Data) -> Held:
        if isinstance(data, np.generic):
            data = to_device(self._place, np.asarray(data))
        return Held(value.shape, value.dtype, data)


def stored(value: Value) -> str:
    """The dtype that the device keeps the value in."""
    return STORED.get(value.dtype, value.dtype)


def _described(value: Value) -> str:
    return f"{value.op} {value.dtype}{list(value.shape)}"


def _fold_transposes(
    values: Sequence[Value],
) -> tuple[list[tuple[int, ...]], list[tuple[bool, ...]]]:
    """Each value's inputs and whether they are read transposed: a product reads a matrix as it lies
    where only its last two axes are swapped."""
    inputs: list[tuple[int, ...]] = []
    flags: list[tuple[bool, ...]] = []
    for value in values:
        can = value.op == "matmul" and value.dtype.startswith("float")
        swapped = tuple(can and _swaps_last(values[i]) for i in value.inputs)
        sources = zip(value.inputs, swapped, strict=True)
        inputs.append(tuple(values[i].inputs[0] if swap else i for i, swap in sources))
        flags.append(swapped)
    return inputs, flags


def _swaps_last(value: Value) -> bool:
    rank = len(value.shape)
    return value.op == "permute" and value.attributes == (*range(rank - 2), rank - 1, rank - 2)


def _is_stored(values: Sequence[Value], at: int, readers: list[int]) -> bool:
    """Whether an expression is read more than once, or by what is more than elementwise: then it
    has memory of its own. Otherwise it becomes a part of the one that reads it."""
    if values[at].op not in _LAZY or values[at].op in _CHEAP:
        return False
    return len(readers) != 1 or values[readers[0]].op not in _LAZY


def _check_indices(checks: list[Check]) -> None:
    """Raises IndexError as the CPU does, once for the Program: asking makes the host wait."""
    if not checks:
        return
    bad = [((c.indices < -c.rows) | (c.indices >= c.rows)).reduce("any_true", 0) for c in checks]
    some = bad[0]
    for more in bad[1:]:
        some = some | more
    if not some.to_numpy()[0]:
        return
    for check in checks:
        indices = check.indices.to_numpy()
        outside = np.flatnonzero((indices < -check.rows) | (indices >= check.rows))
        if outside.size:
            raise IndexError(
                f"{check.op}: index {indices[outside[0]]} (at position {outside[0]} of the "
                f"indices) is out of bounds for an axis of size {check.rows}"
            )


_warned: set[tuple[str, str]] = set()


def _warn_once(device: str, op: str, reason: str) -> None:
    if (device, reason) in _warned:
        return
    _warned.add((device, reason))
    frame, level = sys._getframe(), 1  # the warning names the script's line
    while frame.f_back and frame.f_globals.get("__name__", "").startswith("pycyxwiz."):
        frame, level = frame.f_back, level + 1
    warnings.warn(
        f"{op} on {device} is computed on the CPU, with copies both ways: {reason}",
        RuntimeWarning,
        stacklevel=level,
    )
