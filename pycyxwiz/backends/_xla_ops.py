"""What JAX calls each op, and how a Program becomes one function of arrays.

Imports JAX: only the XLA backend imports this, once a device of its is asked for. Everything runs
in JAX's 64-bit mode, on arrays whose dtypes and shapes are those of the Program.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from pycyxwiz._core import ShapeError
from pycyxwiz.backends import _philox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pycyxwiz.backends.protocol import Program, Value

    Op = Callable[..., Any]  # of a Value and its operands


class Lowering:
    """A Program as a function of its arguments, for ``jax.jit``.

    Its results are the Program's, and, where it has indices that could lie outside, one int64 row
    (is one outside, where in the indices, which) for each op that uses some; ``rows`` are the sizes
    of the axes.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.drawn = [i for i, value in enumerate(program.values) if value.op == "permutation"]
        self.rows = [
            (program.values[value.inputs[0]].shape if value.op == "gather" else value.shape)[0]
            for value in program.values
            if value.op in _INDEXED
        ]

    def arguments(self) -> list[Any]:
        given = (*self.program.inputs, *self.drawn)
        values = [self.program.values[i] for i in given]
        return [jax.ShapeDtypeStruct(value.shape, np.dtype(value.dtype)) for value in values]

    def __call__(self, *arguments: Any) -> list[Any]:
        program = self.program
        known = dict(zip((*program.inputs, *self.drawn), arguments, strict=True))
        found = []
        for i, value in enumerate(program.values):
            if i in known or value.op == "input":
                continue
            operands = [known[operand] for operand in value.inputs]
            if value.op in _INDEXED:
                rows = operands[0].shape[0] if value.op == "gather" else value.shape[0]
                found.append(_outside(operands[1], rows))
            known[i] = OPS[value.op](value, *operands)
        results = [known[i] for i in program.outputs]
        return [*results, jnp.stack(found)] if found else results


# --- elementwise ----------------------------------------------------------------------------------


def _plain(function: Callable[..., Any]) -> Op:
    """An op without attributes."""
    return lambda value, *operands: function(*operands)


def _rounding(function: Callable[[Any], Any]) -> Op:
    """Whole numbers are their own floor."""
    return lambda value, x: function(x) if jnp.issubdtype(x.dtype, jnp.floating) else x


def _logarithm(base: float) -> Callable[[Any], Any]:
    return lambda x: jnp.log(x) / jnp.asarray(np.log(base), x.dtype)


def _softplus(x: Any) -> Any:
    return jnp.where(x > 0, x, 0) + jnp.log1p(jnp.exp(-jnp.abs(x)))


def _is_floating(x: Any) -> bool:
    return bool(jnp.issubdtype(x.dtype, jnp.floating))


def _broadcast(a: Any, b: Any) -> tuple[Any, Any]:
    shape = jnp.broadcast_shapes(a.shape, b.shape)
    return jnp.broadcast_to(a, shape), jnp.broadcast_to(b, shape)


def _floor_divide(a: Any, b: Any) -> Any:
    """Consistent with ``_remainder``; an integer divided by 0 gives 0."""
    a, b = _broadcast(a, b)
    if not _is_floating(a):
        divisor = jnp.where(b == 0, jnp.ones_like(b), b)
        quotient, rest = lax.div(a, divisor), lax.rem(a, divisor)
        quotient = jnp.where((rest != 0) & ((a < 0) != (b < 0)), quotient - 1, quotient)
        return jnp.where(b == 0, jnp.zeros_like(a), quotient)
    rest = lax.rem(a, b)
    quotient = (a - rest) / b
    quotient = jnp.where((rest != 0) & ((rest < 0) != (b < 0)), quotient - 1, quotient)
    whole = jnp.floor(quotient)
    return jnp.where(b == 0, a / b, jnp.where(quotient - whole > 0.5, whole + 1, whole))


def _remainder(a: Any, b: Any) -> Any:
    """Python's: it has the divisor's sign."""
    a, b = _broadcast(a, b)
    if not _is_floating(a):
        divisor = jnp.where(b == 0, jnp.ones_like(b), b)
        rest = lax.rem(a, divisor)
        return jnp.where((rest != 0) & ((rest < 0) != (b < 0)), rest + b, rest)
    rest = lax.rem(a, b)
    signed = jnp.where((rest < 0) != (b < 0), rest + b, rest)
    return jnp.where(rest == 0, jnp.copysign(jnp.zeros_like(a), b), signed)


def _power(a: Any, b: Any) -> Any:
    a, b = _broadcast(a, b)
    if _is_floating(a):
        return lax.pow(a, b)
    # By squaring, so that overflow wraps; a negative exponent gives the whole part.
    result, square = jnp.ones_like(a), a
    for bit in range(8 * a.dtype.itemsize - (a.dtype.kind == "i")):
        result = jnp.where((b >> bit) & 1 == 1, result * square, result)
        square = square * square
    if a.dtype.kind == "u":
        return result
    odd = jnp.where(b % 2 == 0, jnp.ones_like(a), -jnp.ones_like(a))
    small = jnp.where(a == 1, jnp.ones_like(a), jnp.where(a == -1, odd, jnp.zeros_like(a)))
    return jnp.where(b < 0, small, result)


def _cast(value: Value, x: Any) -> Any:
    """Floats are cut towards zero, and integers wrap."""
    dtype = np.dtype(value.dtype)
    if dtype == np.bool_:
        return x != 0
    if _is_floating(x) and dtype.kind in "iu" and dtype.itemsize < 4:
        return x.astype(jnp.int32).astype(dtype)  # XLA would stop at the largest
    return x.astype(dtype)


def _iota(value: Value) -> Any:
    return lax.iota(value.dtype, int(np.prod(value.shape))).reshape(value.shape)


# --- movement -------------------------------------------------------------------------------------


def _halves(value: Value) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The starts and the steps of a slice."""
    rank = len(value.attributes) // 2
    return value.attributes[:rank], value.attributes[rank:]


def _forwards(
    starts: tuple[int, ...], steps: tuple[int, ...], shape: tuple[int, ...]
) -> tuple[list[int], list[int], list[int]]:
    """The same elements in ascending order: starts, steps, and the axes that were turned round."""
    turned = [axis for axis, step in enumerate(steps) if step < 0]
    first = [
        start + (count - 1) * step if step < 0 else start
        for start, step, count in zip(starts, steps, shape, strict=True)
    ]
    return first, [abs(step) for step in steps], turned


def _slice(value: Value, x: Any) -> Any:
    if 0 in value.shape:
        return jnp.zeros(value.shape, x.dtype)
    starts, steps, turned = _forwards(*_halves(value), value.shape)
    limits = [
        start + (count - 1) * step + 1
        for start, step, count in zip(starts, steps, value.shape, strict=True)
    ]
    return lax.rev(lax.slice(x, starts, limits, steps), turned)


def _slice_update(value: Value, base: Any, part: Any) -> Any:
    if part.size == 0:
        return base
    starts, steps, turned = _forwards(*_halves(value), part.shape)
    part = lax.rev(part, turned)
    if all(step == 1 for step in steps):
        return lax.dynamic_update_slice(base, part, starts)
    widths = [
        (start, size - start - (count - 1) * step - 1, step - 1)
        for start, step, size, count in zip(starts, steps, base.shape, part.shape, strict=True)
    ]
    spread = lax.pad(part, jnp.zeros((), part.dtype), widths)
    written = lax.pad(jnp.ones(part.shape, bool), jnp.zeros((), bool), widths)
    return jnp.where(written, spread, base)


# --- reductions -----------------------------------------------------------------------------------


def _axes(value: Value, x: Any) -> tuple[int, ...]:
    return tuple(axis for axis in range(x.ndim) if value.attributes[0] >> axis & 1)


def _sum(value: Value, x: Any) -> Any:
    return jnp.sum(x, axis=_axes(value, x), dtype=value.dtype, keepdims=True)


def _prod(value: Value, x: Any) -> Any:
    return jnp.prod(x, axis=_axes(value, x), dtype=value.dtype, keepdims=True)


def _extreme(of_numbers: Callable[..., Any], of_bools: Callable[..., Any]) -> Op:
    def reduce(value: Value, x: Any) -> Any:
        function = of_bools if x.dtype == bool else of_numbers
        return function(x, axis=_axes(value, x), keepdims=True)

    return reduce


def _arg_extreme(function: Callable[..., Any]) -> Op:
    def reduce(value: Value, x: Any) -> Any:
        axes = _axes(value, x)
        kept = [axis for axis in range(x.ndim) if axis not in axes]
        sizes = [x.shape[axis] for axis in kept]
        count = math.prod(x.shape[axis] for axis in axes)
        rows = lax.transpose(x, (*kept, *axes)).reshape(*sizes, count)
        return function(rows, axis=-1).astype(value.dtype).reshape(value.shape)

    return reduce


# --- contraction and windows ----------------------------------------------------------------------


def _matmul(value: Value, a: Any, b: Any, *bias: Any) -> Any:
    relu, rounded = value.attributes
    # What the device is fastest with that keeps at least bfloat16's digits: TF32, say.
    precision = lax.Precision.DEFAULT if rounded else lax.Precision.HIGHEST
    result = jnp.matmul(a, b, precision=precision, preferred_element_type=a.dtype)
    for more in bias:
        result = result + more
    return jnp.where(result < 0, 0, result) if relu else result


def _pairs(value: Value) -> tuple[tuple[int, ...], ...]:
    """kernel, stride, padding, dilation."""
    a = value.attributes
    return a[0:2], a[2:4], a[4:6], a[6:8]


def _convolution(value: Value) -> Callable[[Any, Any], Any]:
    _, stride, padding, dilation = _pairs(value)

    def convolve(x: Any, w: Any) -> Any:
        return lax.conv_general_dilated(
            x,
            w,
            stride,
            [(p, p) for p in padding],
            rhs_dilation=dilation,
            precision=lax.Precision.HIGHEST,
        )

    return convolve


def _conv2d(value: Value, x: Any, w: Any) -> Any:
    return _convolution(value)(x, w)


def _conv2d_input_grad(value: Value, v: Any, w: Any) -> Any:
    like = jax.ShapeDtypeStruct(value.shape, v.dtype)
    (result,) = jax.linear_transpose(lambda x: _convolution(value)(x, w), like)(v)
    return result


def _conv2d_weight_grad(value: Value, x: Any, v: Any) -> Any:
    like = jax.ShapeDtypeStruct(value.shape, v.dtype)
    (result,) = jax.linear_transpose(lambda w: _convolution(value)(x, w), like)(v)
    return result


def _counts(value: Value, image: tuple[int, ...], out: tuple[int, ...]) -> Any:
    """How many elements each window sees; the padding is not counted."""
    counts = np.zeros(out[2:], np.int64)
    for _, inside in _taps(value, image, out):
        counts += inside
    if not counts.all():
        raise ShapeError(
            f"{value.op}: padding {list(_pairs(value)[2])} leaves a window of images {list(image)} "
            f"without an element: it needs at most half the kernel's {list(_pairs(value)[0])}"
        )
    return counts


def _taps(
    value: Value, image: tuple[int, ...], out: tuple[int, ...]
) -> Iterator[tuple[list[tuple[int, int, int]], np.ndarray[Any, Any]]]:
    """For each place in the window: what to pad so that element (i, j) of the windows' grid is what
    window (i, j) sees there, as (before, after, step); and which windows see the image there."""
    kernel, stride, padding, dilation = _pairs(value)
    for tap in itertools.product(*map(range, kernel)):
        widths, inside = [], []
        for axis in range(2):
            first = tap[axis] * dilation[axis] - padding[axis]
            last = first + (out[2 + axis] - 1) * stride[axis]
            widths.append((first, last, stride[axis]))
            positions = first + np.arange(out[2 + axis]) * stride[axis]
            inside.append((positions >= 0) & (positions < image[2 + axis]))
        yield widths, inside[0][:, None] & inside[1]


def _seen(x: Any, widths: list[tuple[int, int, int]]) -> Any:
    """What every window sees at one place; beyond the image, zeros."""
    config = [(0, 0, 0), (0, 0, 0)]
    for (first, last, _), size in zip(widths, x.shape[2:], strict=True):
        config.append((-first, last - size + 1, 0))
    seen = lax.pad(x, jnp.zeros((), x.dtype), config)
    return seen[:, :, :: widths[0][2], :: widths[1][2]]


def _spread(g: Any, widths: list[tuple[int, int, int]], image: tuple[int, ...]) -> Any:
    """The other way: what each window gives, at the image's element it sees at one place."""
    config = [(0, 0, 0), (0, 0, 0)]
    for (first, last, step), size in zip(widths, image[2:], strict=True):
        config.append((first, size - 1 - last, step - 1))
    return lax.pad(g, jnp.zeros((), g.dtype), config)


def _winners(value: Value, x: Any, out: tuple[int, ...]) -> list[tuple[Any, Any]]:
    """For each place in the window, its ``_taps`` widths and where it has the first maximum, or the
    first NaN."""
    _counts(value, x.shape, out)
    best: Any = jnp.zeros(out, x.dtype)
    at: Any = jnp.full(out, -1, jnp.int32)
    taps = list(_taps(value, x.shape, out))
    for place, (widths, inside) in enumerate(taps):
        seen = _seen(x, widths)
        takes = jnp.asarray(inside) & ((at < 0) | ((best == best) & ~(seen <= best)))
        best, at = jnp.where(takes, seen, best), jnp.where(takes, place, at)
    return [(widths, at == place) for place, (widths, _) in enumerate(taps)]


def _max_pool2d(value: Value, x: Any) -> Any:
    _counts(value, x.shape, value.shape)
    kernel, stride, padding, _ = _pairs(value)
    return lax.reduce_window(
        x,
        jnp.asarray(-jnp.inf, x.dtype),
        lax.max,
        (1, 1, *kernel),
        (1, 1, *stride),
        [(0, 0), (0, 0), *[(p, p) for p in padding]],
    )


def _max_pool2d_grad(value: Value, x: Any, v: Any) -> Any:
    zero = jnp.zeros((), v.dtype)
    return sum(
        _spread(jnp.where(won, v, zero), widths, x.shape)
        for widths, won in _winners(value, x, v.shape)
    )


def _max_pool2d_pick(value: Value, x: Any, v: Any) -> Any:
    zero = jnp.zeros((), v.dtype)
    return sum(
        jnp.where(won, _seen(v, widths), zero) for widths, won in _winners(value, x, value.shape)
    )


def _mean_of_windows(value: Value, out: tuple[int, ...]) -> Callable[[Any], Any]:
    kernel, stride, padding, _ = _pairs(value)

    def pool(x: Any) -> Any:
        counts = jnp.asarray(_counts(value, x.shape, out), x.dtype)
        total = lax.reduce_window(
            x,
            jnp.zeros((), x.dtype),
            lax.add,
            (1, 1, *kernel),
            (1, 1, *stride),
            [(0, 0), (0, 0), *[(p, p) for p in padding]],
        )
        return total / counts

    return pool


def _avg_pool2d(value: Value, x: Any) -> Any:
    return _mean_of_windows(value, value.shape)(x)


def _avg_pool2d_grad(value: Value, v: Any) -> Any:
    counts = jnp.asarray(_counts(value, value.shape, v.shape), v.dtype)
    share = v / counts
    zero = jnp.zeros((), v.dtype)
    return sum(
        _spread(jnp.where(jnp.asarray(inside), share, zero), widths, value.shape)
        for widths, inside in _taps(value, value.shape, v.shape)
    )


# --- index and random -----------------------------------------------------------------------------


def _outside(indices: Any, rows: int) -> Any:
    flat = indices.reshape(-1)
    if flat.size == 0:
        return jnp.zeros(3, jnp.int64)
    wrong = (flat < -rows) | (flat >= rows)
    first = jnp.argmax(wrong)
    return jnp.stack([jnp.any(wrong).astype(jnp.int64), first.astype(jnp.int64), flat[first]])


def _positions(indices: Any, rows: int) -> Any:
    """Negative ones count from the end; one outside goes to an end, and ``_outside`` tells."""
    return jnp.clip(jnp.where(indices < 0, indices + rows, indices), 0, max(rows - 1, 0))


def _gather(value: Value, x: Any, indices: Any) -> Any:
    if 0 in value.shape:
        return jnp.zeros(value.shape, x.dtype)
    places = _positions(indices, x.shape[0])
    return x.at[places].get(mode="promise_in_bounds")


def _scatter_add(value: Value, g: Any, indices: Any) -> Any:
    blank = jnp.zeros(value.shape, value.dtype)
    if g.size == 0:
        return blank
    return blank.at[_positions(indices, value.shape[0])].add(g, mode="promise_in_bounds")


def _uniform(value: Value, stream: Any) -> Any:
    return _philox.uniform(jnp, stream, value.shape, value.dtype)


_INDEXED = ("gather", "scatter_add")

_PLAIN: dict[str, Callable[..., Any]] = {
    "negative": jnp.negative,
    "absolute": jnp.abs,
    "sign": jnp.sign,
    "square": lambda x: x * x,
    "relu": lambda x: jnp.where(x < 0, jnp.zeros_like(x), x),
    "exp": jnp.exp,
    "expm1": jnp.expm1,
    "log": jnp.log,
    "log1p": jnp.log1p,
    "log2": _logarithm(2),
    "log10": _logarithm(10),
    "sqrt": jnp.sqrt,
    "rsqrt": lambda x: 1 / jnp.sqrt(x),
    "reciprocal": lambda x: 1 / x,
    "sin": jnp.sin,
    "cos": jnp.cos,
    "tan": jnp.tan,
    "asin": jnp.arcsin,
    "acos": jnp.arccos,
    "atan": jnp.arctan,
    "sinh": jnp.sinh,
    "cosh": jnp.cosh,
    "tanh": jnp.tanh,
    "asinh": jnp.arcsinh,
    "acosh": jnp.arccosh,
    "atanh": jnp.arctanh,
    "erf": lax.erf,
    "sigmoid": lambda x: 1 / (1 + jnp.exp(-x)),
    "softplus": _softplus,
    "isnan": lambda x: x != x,
    "isinf": jnp.isinf,
    "isfinite": jnp.isfinite,
    "logical_not": jnp.logical_not,
    "bitwise_not": jnp.bitwise_not,
    "add": jnp.add,
    "subtract": jnp.subtract,
    "multiply": jnp.multiply,
    "divide": jnp.divide,
    "floor_divide": _floor_divide,
    "remainder": _remainder,
    "power": _power,
    "maximum": jnp.maximum,
    "minimum": jnp.minimum,
    "atan2": jnp.arctan2,
    "equal": jnp.equal,
    "not_equal": jnp.not_equal,
    "less": jnp.less,
    "less_equal": jnp.less_equal,
    "greater": jnp.greater,
    "greater_equal": jnp.greater_equal,
    "logical_and": jnp.logical_and,
    "logical_or": jnp.logical_or,
    "logical_xor": jnp.logical_xor,
    "bitwise_and": jnp.bitwise_and,
    "bitwise_or": jnp.bitwise_or,
    "bitwise_xor": jnp.bitwise_xor,
    "where": jnp.where,
    "copy": lambda x: x,
    "alias": lambda x: x,
}

OPS: dict[str, Op] = {name: _plain(function) for name, function in _PLAIN.items()} | {
    "floor": _rounding(jnp.floor),
    "ceil": _rounding(jnp.ceil),
    "round": _rounding(jnp.round),
    "trunc": _rounding(jnp.trunc),
    "cast": _cast,
    "iota": _iota,
    "uniform": _uniform,
    "reshape": lambda value, x: x.reshape(value.shape),
    "permute": lambda value, x: lax.transpose(x, value.attributes),
    "broadcast": lambda value, x: jnp.broadcast_to(x, value.shape),
    "slice": _slice,
    "slice_update": _slice_update,
    "concatenate": lambda value, a, b: lax.concatenate([a, b], value.attributes[0]),
    "sum": _sum,
    "prod": _prod,
    "max": _extreme(jnp.max, jnp.any),
    "min": _extreme(jnp.min, jnp.all),
    "argmax": _arg_extreme(jnp.argmax),
    "argmin": _arg_extreme(jnp.argmin),
    "matmul": _matmul,
    "conv2d": _conv2d,
    "conv2d_input_grad": _conv2d_input_grad,
    "conv2d_weight_grad": _conv2d_weight_grad,
    "max_pool2d": _max_pool2d,
    "max_pool2d_grad": _max_pool2d_grad,
    "max_pool2d_pick": _max_pool2d_pick,
    "avg_pool2d": _avg_pool2d,
    "avg_pool2d_grad": _avg_pool2d_grad,
    "gather": _gather,
    "scatter_add": _scatter_add,
}

REASONS = {
    "permutation": "drawn by the CPU backend and handed over: its steps depend on one another",
}
