"""The ops that move elements, reduce them, or make them from nothing.

Arrays come and go in the dims that ``layout.dims_of`` gives their shape.
"""

from __future__ import annotations

from math import inf, isqrt, prod
from typing import TYPE_CHECKING

from pycyxwiz.backends.arrayfire import layout
from pycyxwiz.backends.arrayfire.array import Array, evaluate, join, select
from pycyxwiz.backends.arrayfire.elementwise import isnan
from pycyxwiz.backends.arrayfire.layout import dims_of
from pycyxwiz.backends.arrayfire.step import Check

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycyxwiz.backends.arrayfire.layout import Dims, SliceStep
    from pycyxwiz.backends.arrayfire.step import Step

__all__ = ["STRUCTURE", "broadcast", "first_extreme"]


def _reshape(step: Step, x: Array) -> Array:
    return x.view(dims_of(step.shape))


def _permute(step: Step, x: Array) -> Array:
    for dims, order in layout.permute_steps(step.shapes[0], step.attributes):
        x = x.view(dims).reorder(order)
    return x.view(dims_of(step.shape))


def broadcast(x: Array, shape: Dims, wanted: Dims) -> Array:
    """A tensor of one shape repeated to another."""
    for dims, times in layout.broadcast_steps(shape, wanted):
        x = x.view(dims).tile(times)
    return x.view(dims_of(wanted))


def _slices(step: Step, shape: tuple[int, ...], part: tuple[int, ...]) -> list[SliceStep]:
    half = len(step.attributes) // 2
    return layout.slice_steps(shape, step.attributes[:half], step.attributes[half:], part)


def _slice(step: Step, x: Array) -> Array:
    for dims, start, stride, count in _slices(step, step.shapes[0], step.shape):
        x = x.view(dims).take(1, start, stride, count)
    return x.view(dims_of(step.shape))


def _slice_update(step: Step, base: Array, part: Array) -> Array:
    def updated(x: Array, slices: list[SliceStep]) -> Array:
        if not slices:
            return part
        (dims, start, stride, count), *inner = slices
        whole = x.view(dims)
        size = dims[0] * count * dims[2]
        below = part if not inner else updated(whole.take(1, start, stride, count), inner)
        assert below.size == size
        return whole.put(1, start, stride, below.view((dims[0], count, dims[2])))

    result = updated(base, _slices(step, step.shape, step.shapes[1]))
    return result.view(dims_of(step.shape))


def _concatenate(step: Step, a: Array, b: Array) -> Array:
    axis = step.attributes[0]
    parts = []
    for x, shape in zip((a, b), step.shapes, strict=True):
        before, size, after = layout.split_at(shape, axis)
        parts.append(x.view((after, size, before)))
    return join(1, *parts).view(dims_of(step.shape))


_LONG = 4096  # sums beyond are of partial sums: one after the other, rounding errors would add up


def _add_up(x: Array, axis: int) -> Array:
    size = x.dims[axis]
    if size <= _LONG or not x.dtype.startswith("float"):
        return x.reduce("sum", axis)
    parts = isqrt(size)
    each = size // parts
    whole = x.take(axis, 0, 1, parts * each)
    before, after = x.dims[:axis], x.dims[axis + 1 :]
    partial = whole.view((*before, each, parts, *after)).reduce("sum", axis)
    total = partial.view((*before, parts, *after)).reduce("sum", axis)
    if parts * each < size:
        total = total + x.take(axis, parts * each, 1, size - parts * each).reduce("sum", axis)
    return total


def _sum(step: Step, x: Array) -> Array:
    for dims, axis in layout.reduce_steps(step.shapes[0], step.attributes[0]):
        x = _add_up(x.view(dims), axis)
    return x.view(dims_of(step.shape))


def _prod(step: Step, x: Array) -> Array:
    for dims, axis in layout.reduce_steps(step.shapes[0], step.attributes[0]):
        x = x.view(dims).reduce("product", axis)
    return x.view(dims_of(step.shape))


def _extreme_along(x: Array, axis: int, name: str) -> Array:
    """The largest or the smallest, a NaN where there is one: ArrayFire's leave NaNs out."""
    if x.dtype == "bool":
        return x.reduce("any_true" if name == "max" else "all_true", axis)
    result = x.reduce(name, axis)
    if not x.dtype.startswith("float"):
        return result
    return select(isnan(x).reduce("any_true", axis), float("nan"), result)


def _extreme(name: str) -> Callable[[Step, Array], Array]:
    def reduce(step: Step, x: Array) -> Array:
        for dims, axis in layout.reduce_steps(step.shapes[0], step.attributes[0]):
            x = _extreme_along(x.view(dims), axis, name)
        return x.view(dims_of(step.shape))

    return reduce


def first_extreme(x: Array, axis: int, name: str, allowed: Array | None = None) -> Array:
    """The position along an axis of the first extreme, or of the first NaN; int32.

    Only where `allowed` holds, if it is given. ArrayFire's own imax and imin pass over NaNs, and
    which of several equal elements they choose is up to the device.
    """
    if allowed is not None:
        x = select(allowed, x, -inf if name == "max" else inf)
    if x.dtype == "bool":
        x = x.cast("uint8")
    extreme = _extreme_along(x, axis, name).tile_to(x.dims)
    hit = x == extreme
    if x.dtype.startswith("float"):
        hit = hit | (isnan(extreme) & isnan(x))
    if allowed is not None:
        hit = hit & allowed
    position = x.place.positions(x.dims, axis)
    return select(hit, position, x.dims[axis]).reduce("min", axis)


def _arg(name: str) -> Callable[[Step, Array], Array]:
    def reduce(step: Step, x: Array) -> Array:
        (dims, axis), *more = layout.reduce_steps(step.shapes[0], step.attributes[0])
        assert not more  # one axis, or all of them
        return first_extreme(x.view(dims), axis, name).cast("int64").view(dims_of(step.shape))

    return reduce


def _row_numbers(step: Step, indices: Array, rows: int) -> Array:
    """Where the indices point, negative ones from the end; checked when the Program has run."""
    flat = indices.view((indices.size,)).cast("int64")
    step.checks.append(Check("take" if step.op == "gather" else step.op, flat, rows))
    number = select(flat < 0, flat + rows, flat)
    # Until the check is made, what is outside must do no harm.
    number = select(number < 0, 0, select(number >= rows, rows - 1, number))
    return number.cast("int32")


def _gather(step: Step, x: Array, indices: Array) -> Array:
    _, rows, columns = layout.split_at(step.shapes[0], 0)
    numbers = _row_numbers(step, indices, rows)
    return x.view((columns, rows)).look_up(numbers, 1).view(dims_of(step.shape))


def _scatter_add(step: Step, g: Array, indices: Array) -> Array:
    """Rows with the same number are brought together, added up, and written once: atomic additions,
    which ArrayFire has none of, would add in an order that changes from run to run."""
    _, rows, columns = layout.split_at(step.shape, 0)
    numbers = _row_numbers(step, indices, rows)
    count = numbers.size
    values = g.view((columns, count))
    if count > 1:  # one number is no vector to ArrayFire, and has nothing to be added to
        numbers, values = _added_by_number(numbers, values)
    blank = step.place.constant(0, (columns, rows), g.dtype)
    return blank.put_rows(1, numbers, values).view(dims_of(step.shape))


def _added_by_number(numbers: Array, values: Array) -> tuple[Array, Array]:
    """The numbers that there are, each once, and the sum of the values (C, N) of each."""
    place, library = numbers.place, numbers.place.library
    order = place.positions(numbers.dims, 0)
    keys, places = library.call_for_two("sort_by_key", numbers.handle, order.handle, 0, True)
    sorted_numbers = Array(place, keys, numbers.dims, "int32")
    values = values.look_up(Array(place, places, numbers.dims, "int32"), 1)
    names, sums = library.call_for_two("sum_by_key", sorted_numbers.handle, values.handle, 1)
    distinct = library.size(names)
    found = Array(place, names, (distinct,), "int32")
    return found, Array(place, sums, (values.dims[0], distinct), values.dtype)


def _iota(step: Step) -> Array:
    return step.place.positions((prod(step.shape),), 0, step.dtype).view(dims_of(step.shape))


_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_WORD = 0xFFFFFFFF


def _uniform(step: Step, stream: Array) -> Array:
    """The numbers of core/src/cpu/philox.h, bit for bit, in 64-bit integers on the device: drawing
    them on the host would send every dropout mask over the bus."""
    size = prod(step.shape)
    wide = step.dtype == "float64"
    blocks = -(-size * (2 if wide else 1) // 4)
    dims = (blocks,)

    def word_of(axis_position: int, shift: int) -> Array:
        word = stream.take(0, axis_position, 1, 1).cast("uint64")
        return ((word >> shift) & _WORD).tile_to(dims)

    block = step.place.positions(dims, 0, "uint64")
    counter = [block, block >> 32, word_of(1, 0), word_of(1, 32)]
    keys = [word_of(0, 0), word_of(0, 32)]
    for number in range(10):
        low, high = (c * m for c, m in zip(counter[::2], _MULTIPLIERS, strict=True))
        key = [(k + number * w % (1 << 32)) & _WORD for k, w in zip(keys, _WEYL, strict=True)]
        counter = [
            (high >> 32) ^ counter[1] ^ key[0],
            high & _WORD,
            (low >> 32) ^ counter[3] ^ key[1],
            low & _WORD,
        ]
    evaluate(counter)  # together: they share nearly all of their expressions
    lines = [word.view((1, blocks)) for word in counter]
    words = join(0, join(0, lines[0], lines[1]), join(0, lines[2], lines[3]))
    if wide:
        pairs = words.view((2, 2 * blocks))
        bits = (pairs.take(0, 0, 1, 1) << 32) | pairs.take(0, 1, 1, 1)
        result = (bits >> 11).cast("float64") * 2.0**-53
    else:
        result = (words >> 8).cast("float32") * 2.0**-24
    return result.view((result.size,)).take(0, 0, 1, size).view(dims_of(step.shape))


def _matmul(step: Step, a: Array, b: Array) -> Array:
    """ArrayFire sees both matrices transposed, so it multiplies them in the other order."""
    *batch, m, n = step.shape
    k = step.shapes[0][-2 if step.transposed[0] else -1]
    many = (prod(batch),) if batch else ()
    a = a.view(((m, k) if step.transposed[0] else (k, m)) + many)
    b = b.view(((k, n) if step.transposed[1] else (n, k)) + many)
    product = step.place.make(
        "matmul",
        (n, m, *many),
        step.dtype,
        b.handle,
        a.handle,
        *(int(flag) for flag in reversed(step.transposed)),
    )
    return product.view(dims_of(step.shape))


STRUCTURE: dict[str, Callable[..., Array]] = {
    "alias": lambda step, x: x,
    "reshape": _reshape,
    "permute": _permute,
    "broadcast": lambda step, x: broadcast(x, step.shapes[0], step.shape),
    "slice": _slice,
    "slice_update": _slice_update,
    "concatenate": _concatenate,
    "sum": _sum,
    "prod": _prod,
    "max": _extreme("max"),
    "min": _extreme("min"),
    "argmax": _arg("max"),
    "argmin": _arg("min"),
    "gather": _gather,
    "scatter_add": _scatter_add,
    "iota": _iota,
    "uniform": _uniform,
    "matmul": _matmul,
}
