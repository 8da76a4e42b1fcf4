"""Every operation that pycyxwiz binds, with what a driver needs to test it.

An ``Operation`` says what NumPy computes in its place, from which numbers and shapes, in which
dtypes, with which result dtype, and whether it has a derivative. The drivers in test_ops.py draw
shapes, layouts and values from it; a new operation is tested by being listed here.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

import pycyxwiz as cx
from pycyxwiz import _core

Array = np.ndarray[Any, Any]
Rng = np.random.Generator

FLOATS = ("float32", "float64")
INTEGERS = ("uint8", "int8", "int16", "int32", "int64")
NUMBERS = FLOATS + INTEGERS
ALL = (*NUMBERS, "bool")

# What a result may differ from NumPy's, relative to its size and absolutely.
TOLERANCE = {
    # libmvec's functions are within 4 units in the last place, 5e-7; sums of a few thousand
    # elements and the slopes of the functions inside their domains take the rest.
    "float32": {"rtol": 1e-5, "atol": 2e-6},
    "float64": {"rtol": 1e-11, "atol": 1e-12},
}
# A central difference of step 1e-5 in float64 is off by its square times the third derivative, and
# by the value's rounding, 1e-16, over the step.
DIFFERENCE = {"rtol": 1e-5, "atol": 1e-6}


def tolerance(dtype: Any) -> dict[str, float]:
    """How far a result of that dtype may be from the reference; integers and bools: not at all."""
    return TOLERANCE.get(str(dtype), {"rtol": 0, "atol": 0})


def promoted(*dtypes: str) -> str:
    """The array API's promotion; an integer with a floating dtype takes the floating one's."""
    floats = [t for t in dtypes if t in FLOATS]
    return str(np.result_type(*(floats or dtypes)))


# --- what results are made of ---------------------------------------------------------------------


def same(*dtypes: str) -> str:
    return promoted(*dtypes)


def floating(*dtypes: str) -> str:
    t = promoted(*dtypes)
    return t if t in FLOATS else "float32"


def boolean(*_: str) -> str:
    return "bool"


def index(*_: str) -> str:
    return "int64"


def accumulated(*dtypes: str) -> str:
    t = promoted(*dtypes)
    return t if t in FLOATS else "int64"


def first(*dtypes: str) -> str:
    return dtypes[0]


def chosen(_: str, *dtypes: str) -> str:
    return promoted(*dtypes)


# --- where numbers and shapes come from -----------------------------------------------------------


@dataclass(frozen=True)
class Domain:
    """Numbers in [low, high], away from 0 by ``hole``; whole ones in ``whole`` for integers."""

    low: float = -3.0
    high: float = 3.0
    hole: float = 0.0
    whole: tuple[int, int] = (-100, 100)
    dtype: str | None = None  # of its own, whatever the others are

    def draw(self, rng: Rng, shape: Sequence[int], dtype: str) -> Array:
        dtype = self.dtype or dtype
        if dtype == "bool":
            return np.asarray(rng.random(shape) < 0.5)
        if dtype in FLOATS:
            x = np.asarray(rng.uniform(self.low, self.high, shape))
            if self.hole:
                x = np.where(np.abs(x) < self.hole, x + np.where(x < 0, -1, 1) * self.hole, x)
            return x.astype(dtype)
        limits = np.iinfo(dtype)
        low, high = max(self.whole[0], limits.min), min(self.whole[1], limits.max)
        return np.asarray(rng.integers(low, high, shape, dtype=dtype, endpoint=True))


ANY = Domain()
APART = Domain(hole=0.1)
POSITIVE = Domain(0.2, 3.0, whole=(1, 100))
WRAPPING = Domain(whole=(-(2**62), 2**62))
TRUTH = Domain(dtype="bool")

Case = tuple[list[tuple[int, ...]], dict[str, Any]]


def some_shape(rng: Rng, least: int = 0, most: int = 4) -> tuple[int, ...]:
    rank = int(rng.integers(least, most + 1))
    if rank == 1 and rng.random() < 0.5:
        return (int(rng.integers(1, 70)),)
    return tuple(int(n) for n in rng.integers(1, 7, rank))


def one_shape(rng: Rng) -> Case:
    return [some_shape(rng)], {}


def broadcasting(count: int, rng: Rng) -> Case:
    """Shapes that broadcast to one: leading axes left out, others of size 1."""
    full = some_shape(rng)
    shapes = []
    for _ in range(count):
        cut = int(rng.integers(0, len(full) + 1)) if rng.random() < 0.4 else 0
        shapes.append(tuple(1 if rng.random() < 0.25 else n for n in full[cut:]))
    return shapes, {}


def some_axes(rng: Rng, rank: int) -> Any:
    """None, one axis or several, counted from the front or from the end."""
    if rank == 0 or rng.random() < 0.25:
        return None
    axes = [int(a) for a in rng.permutation(rank)[: rng.integers(1, rank + 1)]]
    axes = [a - rank if rng.random() < 0.5 else a for a in axes]
    return axes[0] if len(axes) == 1 else tuple(axes)


def reducing(rng: Rng) -> Case:
    shape = some_shape(rng)
    return [shape], {"axis": some_axes(rng, len(shape)), "keepdims": bool(rng.random() < 0.5)}


def moments(rng: Rng) -> Case:
    """Over two elements at least: of one, the deviation is 0, where a root has no derivative."""
    shapes, options = reducing(rng)
    x = np.zeros(shapes[0])
    if x.size < 2 * np.sum(x, axis=options["axis"]).size:
        return moments(rng)
    return shapes, {**options, "ddof": 0}


def one_axis(rng: Rng) -> Case:
    shape = some_shape(rng, least=1)
    return [shape], {"axis": int(rng.integers(-len(shape), len(shape)))}


def arg_reducing(rng: Rng) -> Case:
    shapes, options = one_axis(rng)
    keep = bool(rng.random() < 0.5)
    if rng.random() < 0.3:
        options["axis"] = None
    return shapes, {**options, "keepdims": keep}


def reshaping(rng: Rng) -> Case:
    shape = some_shape(rng, least=1)
    wanted = rng.permutation(shape).tolist()
    if len(wanted) > 1 and rng.random() < 0.5:
        wanted = [wanted[0] * wanted[1], *wanted[2:]]
    if rng.random() < 0.3:
        wanted[0] = -1
    return [shape], {"shape": tuple(wanted)}


def permuting(rng: Rng) -> Case:
    shape = some_shape(rng, least=1)
    axes = [int(a) for a in rng.permutation(len(shape))]
    return [shape], {"axes": tuple(a - len(shape) if rng.random() < 0.5 else a for a in axes)}


def transposing(rng: Rng) -> Case:
    return permuting(rng) if rng.random() < 0.5 else one_shape(rng)


def to_larger(rng: Rng) -> Case:
    full = some_shape(rng)
    shape = tuple(1 if rng.random() < 0.4 else n for n in full)
    return [shape[int(rng.integers(0, len(shape) + 1)) :]], {"shape": full}


def expanding(rng: Rng) -> Case:
    shape = some_shape(rng)
    return [shape], {"axis": int(rng.integers(-len(shape) - 1, len(shape) + 1))}


def squeezing(rng: Rng) -> Case:
    shape = list(some_shape(rng))
    ones = sorted({int(rng.integers(0, len(shape) + 1)) for _ in range(2)})
    for axis in ones:
        shape.insert(axis, 1)
    return [tuple(shape)], {"axis": rng.choice([None, 0])} if shape[0] == 1 else {"axis": None}


def flipping(rng: Rng) -> Case:
    shape = some_shape(rng)
    return [shape], {"axis": some_axes(rng, len(shape))}


def joining(rng: Rng) -> Case:
    shape = some_shape(rng, least=1, most=3)
    axis = int(rng.integers(-len(shape), len(shape)))
    shapes = []
    for _ in range(3):
        sizes = list(shape)
        sizes[axis] = int(rng.integers(0, 6))
        shapes.append(tuple(sizes))
    return shapes, {"axis": axis}


def stacking(rng: Rng) -> Case:
    shape = some_shape(rng, most=3)
    return [shape] * 3, {"axis": int(rng.integers(-len(shape) - 1, len(shape) + 1))}


def padding(rng: Rng) -> Case:
    shape = some_shape(rng, least=1, most=3)
    return [shape], {"widths": [tuple(map(int, rng.integers(0, 4, 2))) for _ in shape]}


def contracting(rng: Rng) -> Case:
    n, k, m = (int(v) for v in rng.integers(1, 20, 3))
    batch = some_shape(rng, least=1, most=2)
    one = tuple(1 if rng.random() < 0.5 else b for b in batch)
    pairs = [
        ((k,), (k,)),
        ((n, k), (k,)),
        ((k,), (k, m)),
        ((n, k), (k, m)),
        ((*batch, n, k), (k, m)),
        ((n, k), (*batch, k, m)),
        ((*batch, n, k), (*one, k, m)),
        ((*one, n, k), (*batch, k, m)),
        ((*batch, n, k), (k,)),
        ((k,), (*batch, k, m)),
    ]
    a, b = pairs[int(rng.integers(len(pairs)))]
    return [a, b], {}


def taking(rng: Rng) -> Case:
    shape = some_shape(rng, least=1, most=3)
    axis = int(rng.integers(-len(shape), len(shape)))
    indices = rng.integers(-shape[axis], shape[axis], some_shape(rng, most=2))
    return [shape], {"indices": indices, "axis": axis}


def casting(rng: Rng) -> Case:
    return [some_shape(rng)], {"dtype": str(rng.choice(ALL))}


def clipping(rng: Rng) -> Case:
    low, high = [(None, 1), (0, None), (0, 1), (1.5, 2.0)][int(rng.integers(4))]
    return [some_shape(rng)], {"min": low, "max": high}


def images(rng: Rng) -> tuple[int, int, int, int]:
    n, c, h, w = (int(v) for v in (*rng.integers(1, 4, 2), *rng.integers(5, 10, 2)))
    return n, c, h, w


def pair(rng: Rng, low: int, high: int) -> tuple[int, int]:
    a, b = rng.integers(low, high + 1, 2)
    return int(a), int(b)


def convolving(rng: Rng) -> Case:
    x = images(rng)
    w = (int(rng.integers(1, 4)), x[1], *pair(rng, 1, 3))
    options = {"stride": pair(rng, 1, 2), "padding": pair(rng, 0, 2), "dilation": pair(rng, 1, 2)}
    return [x, w], options


def pooling(rng: Rng) -> Case:
    kernel = pair(rng, 2, 3)
    return [images(rng)], {"kernel": kernel, "stride": pair(rng, 1, 3), "padding": pair(rng, 0, 1)}


# --- references that NumPy does not have ----------------------------------------------------------

_erf = np.vectorize(math.erf, otypes=[float])


def erf(x: Array) -> Array:
    return _erf(x).astype(np.result_type(x.dtype, np.float32)) if x.size else x


def sigmoid(x: Array) -> Array:
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-x))


def softplus(x: Array) -> Array:
    return np.logaddexp(x, np.zeros_like(x))


def relu(x: Array) -> Array:
    return np.where(x < 0, np.zeros_like(x), x)


def logsumexp(x: Array, axis: Any = None, keepdims: bool = False) -> Array:
    top = np.max(x, axis=axis, keepdims=True)
    with np.errstate(all="ignore"):
        shift = np.where(np.isfinite(top), top, 0)
        kept = np.log(np.sum(np.exp(x - shift), axis=axis, keepdims=True)) + shift
    return kept if keepdims else np.squeeze(kept, axis=axis)


def softmax(x: Array, axis: int = -1) -> Array:
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def log_softmax(x: Array, axis: int = -1) -> Array:
    return x - logsumexp(x, axis, keepdims=True)


def as_pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else value


def windows(x: Array, kernel: Any, stride: Any, padding: Any, dilation: Any, fill: float) -> Array:
    """[N, C, H', W', kh, kw]: what each position of the window sees, element by element."""
    (kh, kw), (sh, sw), (ph, pw), (dh, dw) = map(as_pair, (kernel, stride, padding, dilation))
    x = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)), constant_values=fill)
    height = (x.shape[2] - dh * (kh - 1) - 1) // sh + 1
    width = (x.shape[3] - dw * (kw - 1) - 1) // sw + 1
    seen = np.empty((*x.shape[:2], height, width, kh, kw), x.dtype)
    for i, j, p, q in itertools.product(range(height), range(width), range(kh), range(kw)):
        seen[:, :, i, j, p, q] = x[:, :, i * sh + p * dh, j * sw + q * dw]
    return seen


def conv2d(x: Array, w: Array, stride: Any = 1, padding: Any = 0, dilation: Any = 1) -> Array:
    seen = windows(x, w.shape[2:], stride, padding, dilation, 0)
    return np.einsum("nchwpq,ocpq->nohw", seen, w)


def max_pool2d(x: Array, kernel: Any, stride: Any = None, padding: Any = 0) -> Array:
    return windows(x, kernel, stride or kernel, padding, 1, -np.inf).max(axis=(4, 5))


def avg_pool2d(x: Array, kernel: Any, stride: Any = None, padding: Any = 0) -> Array:
    seen = windows(x, kernel, stride or kernel, padding, 1, 0)
    counted = windows(np.ones_like(x), kernel, stride or kernel, padding, 1, 0)
    return seen.sum(axis=(4, 5)) / counted.sum(axis=(4, 5))


def integer_quotient(function: Callable[..., Array]) -> Callable[..., Array]:
    """NumPy's, which warns where an integer is divided by zero and gives 0, as we do."""

    def reference(a: Array, b: Array) -> Array:
        with np.errstate(all="ignore"):
            return function(a, b)

    return reference


# --- the table ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Operation:
    """One operation: see the module's first lines."""

    name: str
    reference: Callable[..., Any]
    result: Callable[..., str]
    domains: tuple[Domain, ...] = (ANY,)
    dtypes: tuple[str, ...] = NUMBERS
    derivative: bool = True
    case: Callable[[Rng], Case] = one_shape
    empty: Callable[[], Case] | None = lambda: ([(0,)], {})
    """Shapes without elements that the operation takes; None where there are none."""
    takes_list: bool = False

    def __call__(self, *tensors: Any, **options: Any) -> Any:
        function = getattr(_core, self.name)
        return (
            function(list(tensors), **options) if self.takes_list else function(*tensors, **options)
        )

    def expected(self, *arrays: Array, **options: Any) -> Array:
        with np.errstate(all="ignore"):
            given = (list(arrays),) if self.takes_list else arrays
            return np.asarray(self.reference(*given, **options))

    @property
    def elementwise(self) -> bool:
        return self.case is one_shape or getattr(self.case, "func", None) is broadcasting


def unary(
    name: str, reference: Any, result: Any = floating, domain: Domain = ANY, **more: Any
) -> Operation:
    return Operation(name, reference, result, (domain,), **more)


def binary(
    name: str, reference: Any, result: Any = same, domains: Any = (ANY, ANY), **more: Any
) -> Operation:
    return Operation(
        name,
        reference,
        result,
        domains,
        case=partial(broadcasting, 2),
        empty=lambda: ([(0, 3), (1,)], {}),
        **more,
    )


def reduction(name: str, reference: Any, result: Any = accumulated, **more: Any) -> Operation:
    more.setdefault("empty", lambda: ([(0, 3)], {"axis": 0}))
    return Operation(name, reference, result, case=more.pop("case", reducing), **more)


OPERATIONS = [
    # elementwise, one input
    unary("negative", np.negative, same, WRAPPING),
    unary("absolute", np.absolute, same, APART),
    unary("abs", np.absolute, same, APART),
    unary("sign", np.sign, same, APART, derivative=False),
    unary("square", np.square, same, WRAPPING),
    unary("relu", relu, same, APART),
    unary("floor", np.floor, same, derivative=False),
    unary("ceil", np.ceil, same, derivative=False),
    unary("round", np.round, same, derivative=False),
    unary("trunc", np.trunc, same, derivative=False),
    unary("exp", np.exp, domain=Domain(whole=(-5, 5))),
    unary("expm1", np.expm1, domain=Domain(whole=(-5, 5))),
    unary("log", np.log, domain=POSITIVE),
    unary("log1p", np.log1p, domain=Domain(-0.8, 3, whole=(0, 100))),
    unary("log2", np.log2, domain=POSITIVE),
    unary("log10", np.log10, domain=POSITIVE),
    unary("sqrt", np.sqrt, domain=POSITIVE),
    unary("rsqrt", lambda x: 1 / np.sqrt(x), domain=POSITIVE),
    unary("reciprocal", lambda x: 1 / x, domain=POSITIVE),
    unary("sin", np.sin),
    unary("cos", np.cos),
    unary("tan", np.tan, domain=Domain(-1.3, 1.3, whole=(-1, 1))),
    unary("asin", np.arcsin, domain=Domain(-0.9, 0.9, whole=(-1, 1))),
    unary("acos", np.arccos, domain=Domain(-0.9, 0.9, whole=(-1, 1))),
    unary("atan", np.arctan),
    unary("sinh", np.sinh, domain=Domain(whole=(-5, 5))),
    unary("cosh", np.cosh, domain=Domain(whole=(-5, 5))),
    unary("tanh", np.tanh),
    unary("asinh", np.arcsinh),
    unary("acosh", np.arccosh, domain=Domain(1.2, 4, whole=(1, 100))),
    unary("atanh", np.arctanh, domain=Domain(-0.9, 0.9, whole=(0, 0))),
    unary("erf", erf),
    unary("sigmoid", sigmoid, domain=Domain(whole=(-20, 20))),
    unary("softplus", softplus, domain=Domain(whole=(-20, 20))),
    unary("isnan", np.isnan, boolean, dtypes=ALL, derivative=False),
    unary("isinf", np.isinf, boolean, dtypes=ALL, derivative=False),
    unary("isfinite", np.isfinite, boolean, dtypes=ALL, derivative=False),
    unary(
        "logical_not", np.logical_not, boolean, Domain(whole=(0, 1)), dtypes=ALL, derivative=False
    ),
    unary(
        "bitwise_not", np.bitwise_not, same, WRAPPING, dtypes=(*INTEGERS, "bool"), derivative=False
    ),
    unary("stop_gradient", lambda x: x.copy(), same, dtypes=ALL, derivative=False),
    unary("watch", lambda x: x.copy(), same, dtypes=ALL),
    # elementwise, several inputs
    binary("add", np.add, domains=(WRAPPING, WRAPPING), dtypes=ALL),
    binary("subtract", np.subtract, domains=(WRAPPING, WRAPPING)),
    binary("multiply", np.multiply, domains=(WRAPPING, WRAPPING), dtypes=ALL),
    binary("divide", np.divide, floating, (ANY, POSITIVE)),
    binary(
        "floor_divide", integer_quotient(np.floor_divide), domains=(ANY, APART), derivative=False
    ),
    binary("remainder", integer_quotient(np.remainder), domains=(ANY, APART)),
    binary("power", np.power, domains=(POSITIVE, Domain(-2, 2, whole=(0, 3)))),
    binary("maximum", np.maximum, dtypes=ALL),
    binary("minimum", np.minimum, dtypes=ALL),
    binary("atan2", np.arctan2, floating, (APART, APART)),
    binary("equal", np.equal, boolean, (Domain(whole=(0, 2)),) * 2, dtypes=ALL, derivative=False),
    binary(
        "not_equal",
        np.not_equal,
        boolean,
        (Domain(whole=(0, 2)),) * 2,
        dtypes=ALL,
        derivative=False,
    ),
    binary("less", np.less, boolean, (Domain(whole=(0, 2)),) * 2, dtypes=ALL, derivative=False),
    binary(
        "less_equal",
        np.less_equal,
        boolean,
        (Domain(whole=(0, 2)),) * 2,
        dtypes=ALL,
        derivative=False,
    ),
    binary(
        "greater", np.greater, boolean, (Domain(whole=(0, 2)),) * 2, dtypes=ALL, derivative=False
    ),
    binary(
        "greater_equal",
        np.greater_equal,
        boolean,
        (Domain(whole=(0, 2)),) * 2,
        dtypes=ALL,
        derivative=False,
    ),
    binary(
        "logical_and",
        np.logical_and,
        boolean,
        (Domain(whole=(0, 1)),) * 2,
        dtypes=ALL,
        derivative=False,
    ),
    binary(
        "logical_or",
        np.logical_or,
        boolean,
        (Domain(whole=(0, 1)),) * 2,
        dtypes=ALL,
        derivative=False,
    ),
    binary(
        "logical_xor",
        np.logical_xor,
        boolean,
        (Domain(whole=(0, 1)),) * 2,
        dtypes=ALL,
        derivative=False,
    ),
    binary(
        "bitwise_and",
        np.bitwise_and,
        domains=(WRAPPING,) * 2,
        dtypes=(*INTEGERS, "bool"),
        derivative=False,
    ),
    binary(
        "bitwise_or",
        np.bitwise_or,
        domains=(WRAPPING,) * 2,
        dtypes=(*INTEGERS, "bool"),
        derivative=False,
    ),
    binary(
        "bitwise_xor",
        np.bitwise_xor,
        domains=(WRAPPING,) * 2,
        dtypes=(*INTEGERS, "bool"),
        derivative=False,
    ),
    Operation("clip", lambda x, min, max: np.clip(x, min, max), same, dtypes=FLOATS, case=clipping),
    Operation(
        "where",
        np.where,
        chosen,
        (TRUTH, ANY, ANY),
        dtypes=ALL,
        case=partial(broadcasting, 3),
        empty=lambda: ([(3,), (0, 1), (1,)], {}),
    ),
    Operation(
        "astype",
        lambda x, dtype: x.astype(dtype),
        same,
        (Domain(0, 100, whole=(0, 100)),),
        dtypes=ALL,
        case=casting,
        derivative=False,
        empty=lambda: ([(0,)], {"dtype": "int8"}),
    ),
    # movement
    Operation(
        "reshape",
        np.reshape,
        same,
        dtypes=ALL,
        case=reshaping,
        empty=lambda: ([(0, 3)], {"shape": (3, 0, 2)}),
    ),
    Operation(
        "transpose", np.transpose, same, dtypes=ALL, case=transposing, empty=lambda: ([(0, 3)], {})
    ),
    Operation(
        "permute",
        np.transpose,
        same,
        dtypes=ALL,
        case=permuting,
        empty=lambda: ([(2, 0, 3)], {"axes": (2, 0, 1)}),
    ),
    Operation(
        "broadcast_to",
        np.broadcast_to,
        same,
        dtypes=ALL,
        case=to_larger,
        empty=lambda: ([(1, 3)], {"shape": (0, 3)}),
    ),
    Operation(
        "expand_dims",
        np.expand_dims,
        same,
        dtypes=ALL,
        case=expanding,
        empty=lambda: ([(0,)], {"axis": 1}),
    ),
    Operation(
        "squeeze",
        np.squeeze,
        same,
        dtypes=ALL,
        case=squeezing,
        empty=lambda: ([(1, 0)], {"axis": 0}),
    ),
    Operation("flip", np.flip, same, dtypes=ALL, case=flipping),
    Operation(
        "concatenate",
        np.concatenate,
        same,
        (ANY,) * 3,
        dtypes=ALL,
        case=joining,
        takes_list=True,
        empty=lambda: ([(0, 2), (0, 2), (0, 2)], {"axis": 0}),
    ),
    Operation(
        "stack",
        np.stack,
        same,
        (ANY,) * 3,
        dtypes=ALL,
        case=stacking,
        takes_list=True,
        empty=lambda: ([(0, 2)] * 3, {"axis": 1}),
    ),
    Operation(
        "pad",
        lambda x, widths: np.pad(x, widths),
        same,
        dtypes=ALL,
        case=padding,
        empty=lambda: ([(0,)], {"widths": [(1, 2)]}),
    ),
    # reductions
    reduction("sum", np.sum, dtypes=ALL),
    reduction("prod", np.prod, domains=(Domain(0.5, 1.6, whole=(-2, 2)),), dtypes=ALL),
    reduction("min", np.min, same, dtypes=ALL, empty=lambda: ([(0, 3)], {"axis": 1})),
    reduction("max", np.max, same, dtypes=ALL, empty=lambda: ([(0, 3)], {"axis": 1})),
    reduction("mean", np.mean, floating, dtypes=ALL),
    reduction("var", np.var, floating, case=moments),
    reduction("std", np.std, floating, case=moments, empty=lambda: ([(0, 3)], {"axis": 0})),
    reduction(
        "any", np.any, boolean, domains=(Domain(whole=(0, 1)),), dtypes=ALL, derivative=False
    ),
    reduction(
        "all", np.all, boolean, domains=(Domain(whole=(0, 1)),), dtypes=ALL, derivative=False
    ),
    reduction(
        "logsumexp",
        logsumexp,
        floating,
        domains=(Domain(whole=(-20, 20)),),
        empty=lambda: ([(0, 3)], {"axis": 1}),
    ),
    reduction(
        "argmax",
        np.argmax,
        index,
        case=arg_reducing,
        dtypes=ALL,
        derivative=False,
        domains=(Domain(whole=(0, 3)),),
        empty=lambda: ([(0, 3)], {"axis": 1}),
    ),
    reduction(
        "argmin",
        np.argmin,
        index,
        case=arg_reducing,
        dtypes=ALL,
        derivative=False,
        domains=(Domain(whole=(0, 3)),),
        empty=lambda: ([(0, 3)], {"axis": 1}),
    ),
    Operation(
        "softmax",
        softmax,
        floating,
        (Domain(whole=(-9, 9)),),
        case=one_axis,
        empty=lambda: ([(0, 3)], {"axis": 1}),
    ),
    Operation(
        "log_softmax",
        log_softmax,
        floating,
        (Domain(whole=(-9, 9)),),
        case=one_axis,
        empty=lambda: ([(0, 3)], {"axis": 1}),
    ),
    # contraction, window, index
    Operation(
        "matmul",
        np.matmul,
        same,
        (Domain(whole=(-9, 9)),) * 2,
        dtypes=ALL,
        case=contracting,
        empty=lambda: ([(2, 0), (0, 3)], {}),
    ),
    Operation(
        "dot",
        np.matmul,
        same,
        (Domain(whole=(-9, 9)),) * 2,
        dtypes=ALL,
        case=contracting,
        empty=lambda: ([(0,), (0,)], {}),
    ),
    Operation(
        "conv2d",
        conv2d,
        floating,
        (ANY, ANY),
        dtypes=(*FLOATS, "uint8"),
        case=convolving,
        empty=lambda: ([(0, 2, 5, 5), (3, 2, 2, 2)], {}),
    ),
    Operation(
        "max_pool2d",
        max_pool2d,
        floating,
        dtypes=FLOATS,
        case=pooling,
        empty=lambda: ([(0, 2, 5, 5)], {"kernel": 2}),
    ),
    Operation(
        "avg_pool2d",
        avg_pool2d,
        floating,
        dtypes=FLOATS,
        case=pooling,
        empty=lambda: ([(0, 2, 5, 5)], {"kernel": 2}),
    ),
    Operation(
        "take",
        np.take,
        same,
        dtypes=ALL,
        case=taking,
        empty=lambda: ([(3, 2)], {"indices": np.zeros((0,), np.int64), "axis": 0}),
    ),
    Operation(
        "one_hot",
        lambda labels, classes: np.eye(classes, dtype="float32")[labels.astype("int64")],
        lambda *_: "float32",
        (Domain(whole=(0, 4)),),
        dtypes=INTEGERS,
        derivative=False,
        case=lambda rng: ([some_shape(rng)], {"classes": 5}),
        empty=lambda: ([(0,)], {"classes": 3}),
    ),
]

BY_NAME = {operation.name: operation for operation in OPERATIONS}

# What _core binds beside operations: tested where it belongs.
NOT_OPERATIONS = {
    # creation, random: test_tensor.py, test_random.py
    "arange",
    "eye",
    "from_dlpack",
    "from_numpy",
    "full",
    "full_like",
    "linspace",
    "ones",
    "ones_like",
    "zeros",
    "zeros_like",
    "random_bernoulli",
    "random_normal",
    "random_permutation",
    "random_randint",
    "random_seed",
    "random_set_state",
    "random_state",
    "random_uniform",
    # graphs and programs: test_autograd.py, test_compile.py, test_fusion.py
    "cache_stats",
    "evaluate",
    "grad",
    "placeholder",
    "is_same",
    "plain_signature",
    # precision of products: test_precision.py
    "get_matmul_precision",
    "set_matmul_precision",
    # instructions of Programs, for backends: test_backends.py, test_conformance.py
    "op_names",
    "record",
    "register_backend",
    # devices, memory and the process: test_devices.py, test_process.py
    "find_device",
    "set_thread_device",
    "synchronize",
    "thread_device",
    "default_device",
    "devices",
    "empty_cache",
    "isa",
    "memory_stats",
    "num_threads",
    "onednn_version",
    "set_default_device",
    "set_num_threads",
    "_dtype",
}

# Methods of Tensor that are functions too, in another form than t.name(…) for name(t, …).
METHODS_OF_THEIR_OWN = {
    "astype",
    "dot",
    "expand_dims",
    "matmul",
    "permute",
    "reshape",
    "squeeze",
    "transpose",
}


# --- tensors of the same value in different layouts -----------------------------------------------


def stepped(array: Array, rng: Rng) -> Any:
    """A slice with steps of a larger tensor."""
    steps = [int(s) for s in rng.integers(1, 4, array.ndim)]
    big = np.full([n * s + 2 for n, s in zip(array.shape, steps, strict=True)], 77).astype(
        array.dtype
    )
    where = tuple(slice(1, 1 + n * s, s) for n, s in zip(array.shape, steps, strict=True))
    big[where] = array
    return cx.Tensor(big)[where]


def backwards(array: Array, rng: Rng) -> Any:
    """A slice with negative steps."""
    where = tuple(slice(None, None, -1) for _ in array.shape)
    return cx.Tensor(np.array(array[where], order="C"))[where]


def transposed(array: Array, rng: Rng) -> Any:
    axes = [int(a) for a in rng.permutation(array.ndim)]
    return cx.permute(
        cx.Tensor(np.array(array.transpose(axes), order="C")), np.argsort(axes).tolist()
    )


def shifted(array: Array, rng: Rng) -> Any:
    """Not aligned: it starts one element after its memory does."""
    flat = (
        np.concatenate([array.reshape(-1)[:1], array.reshape(-1)])
        if array.size
        else array.reshape(-1)
    )
    tensor = cx.Tensor(flat)
    return (tensor[1:] if array.size else tensor).reshape(array.shape)


def computed(array: Array, rng: Rng) -> Any:
    """Not evaluated yet: the value is the end of an expression."""
    return cx.where(True, cx.Tensor(array), cx.zeros_like(array))


def dense(array: Array, rng: Rng) -> Any:
    return cx.from_numpy(np.array(array, order="C"))


LAYOUTS = (dense, stepped, backwards, transposed, shifted, computed)


def laid_out(array: Array, rng: Rng) -> Any:
    """A tensor of the array's value in a random layout."""
    layout = LAYOUTS[int(rng.integers(len(LAYOUTS)))]
    tensor = layout(np.asarray(array), rng)
    assert tensor.shape == array.shape
    return tensor
