"""The elementwise ops: one entry for each row of the core's table (elementwise_table.h).

An entry computes in the dtype of its inputs, which the core has made equal. Each only extends
ArrayFire's expression; nothing runs here.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pycyxwiz.backends.arrayfire.array import Array, select

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycyxwiz.backends.arrayfire.step import Step

__all__ = ["ELEMENTWISE", "STORED", "convert", "wrapped"]

STORED = {"int8": "int16"}  # what ArrayFire keeps a dtype in, where it isn't its own


def _is_float(a: Array) -> bool:
    return a.dtype.startswith("float")


def _is_signed(a: Array) -> bool:
    return not a.dtype.startswith(("u", "bool"))


def isnan(a: Array) -> Array:
    """Also for dtypes that have no NaN."""
    return a.map("isnan", "bool") if _is_float(a) else a.place.constant(0, a.dims, "bool")


def _absolute(a: Array) -> Array:
    if _is_float(a):
        return a.map("abs")
    return select(a < 0, -a, a) if _is_signed(a) else a


def _sign(a: Array) -> Array:
    s = (a > 0).cast(a.dtype)
    if _is_signed(a):
        s = s - (a < 0).cast(a.dtype)
    return select(isnan(a), a, s) if _is_float(a) else s


def _relu(a: Array) -> Array:
    return select(a < 0, 0, a) if _is_signed(a) else a  # a NaN is not below 0, and stays


def _rounding(name: str) -> Callable[[Array], Array]:
    return lambda a: a.map(name) if _is_float(a) else a


def _round(a: Array) -> Array:
    """Half to even; ArrayFire's rounds half away from zero."""
    if not _is_float(a):
        return a
    half = (a - a.map("trunc")).map("abs") == 0.5
    return select(half, (a * 0.5).map("round") * 2, a.map("round"))


def _isinf(a: Array) -> Array:
    if not _is_float(a):
        return a.place.constant(0, a.dims, "bool")
    return a.map("abs") == math.inf


def _isfinite(a: Array) -> Array:
    if not _is_float(a):
        return a.place.constant(1, a.dims, "bool")
    return a.map("abs") < math.inf


def _softplus(a: Array) -> Array:
    return select(a > 0, a, 0) + (-a.map("abs")).map("exp").map("log1p")


def maximum(a: Array, b: Array) -> Array:
    """A NaN on either side wins, as in NumPy."""
    a_wins = a > b
    return select(a_wins | isnan(a) if _is_float(a) else a_wins, a, b)


def minimum(a: Array, b: Array) -> Array:
    a_wins = a < b
    return select(a_wins | isnan(a) if _is_float(a) else a_wins, a, b)


def _divisor(b: Array) -> Array:
    """`b` where an integer can be divided by it: 0 traps, and so does the most negative by -1."""
    impossible = b == 0
    if _is_signed(b):
        impossible = impossible | (b == -1)
    return select(impossible, 1, b)


def _remainder(a: Array, b: Array) -> Array:
    """Python's: it has the divisor's sign. An integer's by 0 is 0."""
    if _is_float(a):
        r = a.combine("mod", b)
        zero = select(_has_sign(b), -0.0, b.like(0))
        return select(r == 0, zero, select((r < 0) ^ (b < 0), r + b, r))
    divisor = _divisor(b)
    r = a - a / divisor * divisor
    return select((r != 0) & ((r < 0) ^ (b < 0)), r + divisor, r) if _is_signed(a) else r


def _has_sign(b: Array) -> Array:
    """Is the sign bit set, -0.0's too?"""
    return (b < 0) | ((b == 0) & (1 / b < 0))


def _floor_divide(a: Array, b: Array) -> Array:
    if _is_float(a):
        r = a.combine("mod", b)
        quotient = (a - r) / b
        quotient = select((r != 0) & ((r < 0) ^ (b < 0)), quotient - 1, quotient)
        # The division above is inexact: the true quotient is the whole number next to it.
        whole = quotient.map("floor")
        whole = select(quotient - whole > 0.5, whole + 1, whole)
        return select(b == 0, a / b, whole)
    divisor = _divisor(b)
    quotient = a / divisor
    if not _is_signed(a):
        return select(b == 0, 0, quotient)
    r = a - quotient * divisor
    quotient = select((r != 0) & ((r < 0) ^ (b < 0)), quotient - 1, quotient)
    return select(b == 0, 0, select(b == -1, -a, quotient))


def _power(a: Array, b: Array) -> Array:
    """Integers by squaring, so that they wrap; ArrayFire's goes through floats."""
    if _is_float(a):
        return a.combine("pow", b)
    bits = {"uint8": 8, "int16": 15, "int32": 31}.get(a.dtype, 63)
    result, base = a.like(1), a
    for bit in range(bits):
        result = select((b & (1 << bit)) != 0, result * base, result)
        base = base * base
    if not _is_signed(a):
        return result
    alternating = select((b & 1) != 0, a, a * a)
    below_one = select((a == 1) | (a == -1), alternating, 0)
    return select(b < 0, below_one, result)


def _bitwise_not(a: Array) -> Array:
    return a ^ (-1 if _is_signed(a) else (1 << 8 * _BYTES[a.dtype]) - 1)


_BYTES = {"uint8": 1, "uint16": 2, "uint32": 4, "uint64": 8}

_UNARY: dict[str, Callable[[Array], Array]] = {
    "negative": lambda a: -a,
    "absolute": _absolute,
    "sign": _sign,
    "square": lambda a: a * a,
    "relu": _relu,
    "floor": _rounding("floor"),
    "ceil": _rounding("ceil"),
    "round": _round,
    "trunc": _rounding("trunc"),
    "rsqrt": lambda a: 1 / a.map("sqrt"),
    "reciprocal": lambda a: 1 / a,
    "sigmoid": lambda a: 1 / ((-a).map("exp") + 1),
    "softplus": _softplus,
    "isnan": isnan,
    "isinf": _isinf,
    "isfinite": _isfinite,
    "logical_not": lambda a: ~a.cast("bool"),
    "bitwise_not": _bitwise_not,
}
_SAME_NAME = "exp expm1 log log1p log2 log10 sqrt sin cos tan asin acos atan sinh cosh tanh asinh "
_SAME_NAME += "acosh atanh erf"


def _mapping(name: str) -> Callable[[Array], Array]:
    return lambda a: a.map(name)


_BINARY: dict[str, Callable[[Array, Array], Array]] = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / b,
    "floor_divide": _floor_divide,
    "remainder": _remainder,
    "power": _power,
    "maximum": maximum,
    "minimum": minimum,
    "atan2": lambda a, b: a.combine("atan2", b),
    "equal": lambda a, b: a == b,
    "not_equal": lambda a, b: a != b,
    "less": lambda a, b: a < b,
    "less_equal": lambda a, b: a <= b,
    "greater": lambda a, b: a > b,
    "greater_equal": lambda a, b: a >= b,
    "logical_and": lambda a, b: a.cast("bool") & b.cast("bool"),
    "logical_or": lambda a, b: a.cast("bool") | b.cast("bool"),
    "logical_xor": lambda a, b: a.cast("bool") ^ b.cast("bool"),
    "bitwise_and": lambda a, b: a & b,
    "bitwise_or": lambda a, b: a | b,
    "bitwise_xor": lambda a, b: a ^ b,
}


def wrapped(a: Array, dtype: str) -> Array:
    """A value of `dtype` from one of what it is stored in: int8 wraps within int16."""
    if dtype not in STORED:
        return a
    return ((a + 128) & 255) - 128


def convert(a: Array, dtype: str) -> Array:
    """As C converts; a floating number goes to a narrow integer through int32, as on the CPU."""
    if dtype in ("bool", "float32", "float64"):
        return a.cast(dtype)
    if a.dtype.startswith("float") and dtype != "int64":
        a = a.cast("int32")
    stored = STORED.get(dtype, dtype)
    if dtype in STORED or dtype == "uint8":  # AF's conversion of what doesn't fit may saturate
        a = a.cast("int32") & 255 if a.dtype != "bool" else a
    return wrapped(a.cast(stored), dtype)


def _computing(function: Callable[..., Array]) -> Callable[..., Array]:
    """A table's entry as an op: the result wraps as its dtype does."""

    def compute(step: Step, *inputs: Array) -> Array:
        if inputs[0].dtype == "bool" and step.op in _ORDERED:
            # ArrayFire's bools are C's chars, and sums of them no bools.
            return function(*(a.cast("uint8") for a in inputs)).cast(step.dtype)
        return wrapped(function(*inputs), step.dtype)

    return compute


_ORDERED = frozenset(
    [
        "add",
        "multiply",
        "square",
        "maximum",
        "minimum",
        "relu",
        "absolute",
        "sign",
        "less",
        "less_equal",
        "greater",
        "greater_equal",
    ]
)

ELEMENTWISE: dict[str, Callable[..., Array]] = {
    **{name: _computing(_mapping(name)) for name in _SAME_NAME.split()},
    **{name: _computing(function) for name, function in _UNARY.items()},
    **{name: _computing(function) for name, function in _BINARY.items()},
    "where": lambda step, condition, a, b: select(condition, a, b),
    "cast": lambda step, a: convert(a, step.dtype),
    "copy": lambda step, a: a,
}
