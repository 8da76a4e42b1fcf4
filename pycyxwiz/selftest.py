"""Whether a device computes what the CPU computes, op by op, and how fast: for users' own hardware.

``pycyxwiz selftest --device cuda:0`` prints what this module finds. Each op of the core is run on
small tensors on the device and on the CPU; then a network's gradients; then a few workloads are
timed on both.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

import pycyxwiz as cx
from pycyxwiz import _core, layers, losses
from pycyxwiz.model import Model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pycyxwiz._core import Device, Tensor

    Array = np.ndarray[Any, Any]

__all__ = ["Case", "Difference", "cases", "differences", "gradients", "speeds"]

# What an engine's own functions may differ by from the CPU's, in the result's unit and relative.
_TOLERANCE = {"float16": 4e-3, "bfloat16": 3e-2, "float32": 3e-5, "float64": 1e-10}


@dataclass(frozen=True)
class Case:
    """One instruction with its operands."""

    op: str
    dtype: str
    shape: tuple[int, ...]
    operands: tuple[Array, ...] = ()
    attributes: tuple[int, ...] = ()

    def on(self, device: Device) -> Tensor:
        """Recorded on a device, to be computed there."""
        with cx.device(device):
            operands = [cx.Tensor(operand) for operand in self.operands]
            return _core.record(self.op, self.dtype, self.shape, operands, self.attributes)


@dataclass(frozen=True)
class Difference:
    """A case that gave something else, or an error, on the device."""

    case: Case
    what: str

    def __str__(self) -> str:
        operands = ", ".join(f"{a.dtype}{list(a.shape)}" for a in self.case.operands)
        return f"{self.case.op}({operands}) {list(self.case.attributes)}: {self.what}"


# --- the cases ------------------------------------------------------------------------------------

_POSITIVE = (0.2, 3.0)
_INSIDE = (-0.9, 0.9)
_RANGES = {
    **dict.fromkeys(("log", "log1p", "log2", "log10", "sqrt", "rsqrt", "reciprocal"), _POSITIVE),
    **dict.fromkeys(("asin", "acos", "atanh"), _INSIDE),
    "acosh": (1.1, 3.0),
    "power": _POSITIVE,
}
_TRUTHS = ("isnan", "isinf", "isfinite")
_COMPARISONS = ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")
_WHOLE_TOO = {
    *("negative", "absolute", "sign", "square", "add", "subtract", "multiply", "maximum"),
    *("minimum", "floor_divide", "remainder", "power", *_COMPARISONS),
}


def cases(seed: int = 0) -> dict[str, list[Case]]:
    """Cases for every op of the core, by its name."""
    rng = np.random.default_rng(seed)
    found: dict[str, list[Case]] = {name: [] for name in _core.op_names()}
    makers = (_elementwise, _movement, _reductions, _products, _windows, _indexed, _drawn)
    for make in makers:
        for case in make(rng):
            found[case.op].append(case)
    return found


def _real(rng: np.random.Generator, shape: tuple[int, ...], dtype: str, op: str = "") -> Array:
    low, high = _RANGES.get(op, (-2.0, 2.0))
    return rng.uniform(low, high, shape).astype(dtype)


def _whole(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Array:
    return rng.integers(0, 7, shape).astype(dtype)


def _elementwise(rng: np.random.Generator) -> Iterator[Case]:
    names = _core.op_names()
    first, last = names.index("add"), names.index("where")
    special = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.5, -2.5], np.float32)
    for position, op in enumerate(names[:last]):
        count = 1 if position < first else 2
        bools = op in _TRUTHS or op in _COMPARISONS or op.startswith("logical")
        if op.startswith("logical"):
            dtypes = ["bool"]
        elif op.startswith("bitwise"):
            dtypes = ["int32", "int64", "uint8"]
        else:
            dtypes = ["float32", "float64", *(["int32", "int64"] if op in _WHOLE_TOO else [])]
        for dtype in dtypes:
            real = dtype.startswith("float")
            for shape in ((7,), (3, 4, 5), ()):
                operands = tuple(
                    _real(rng, shape, dtype, op) if real else _whole(rng, shape, dtype)
                    for _ in range(count)
                )
                yield Case(op, "bool" if bools else dtype, shape, operands)
        if "float32" in dtypes:
            grid = np.meshgrid(*[special] * count)
            operands = tuple(each.ravel().copy() for each in grid)
            yield Case(op, "bool" if bools else "float32", operands[0].shape, operands)
    condition = rng.random((3, 4)) < 0.5
    x = _real(rng, (3, 4), "float32")
    yield Case("where", "float32", (3, 4), (condition, x, -x))
    yield Case("cast", "int32", (3, 4), (x,))
    yield Case("cast", "float64", (3, 4), (x,))
    yield Case("cast", "bool", (3, 4), (x.round(),))
    yield Case("cast", "float32", (5,), (np.arange(5),))
    for op in ("copy", "alias"):
        yield Case(op, "float32", (3, 4), (x,), (0,) if op == "alias" else ())
    yield Case("iota", "int64", (11,))
    yield Case("iota", "float64", (11,))


def _movement(rng: np.random.Generator) -> Iterator[Case]:
    x = _real(rng, (4, 6, 5), "float32")
    yield Case("reshape", "float32", (8, 15), (x,))
    yield Case("permute", "float32", (5, 4, 6), (x,), (2, 0, 1))
    yield Case("broadcast", "float32", (3, 4, 6, 5), (x[None],))
    yield Case("slice", "float32", (2, 3, 5), (x,), (1, 0, 4, 2, 2, -1))
    part = _real(rng, (2, 3, 5), "float32")
    yield Case("slice_update", "float32", x.shape, (x, part), (1, 0, 4, 2, 2, -1))
    yield Case("slice_update", "float32", x.shape, (x, part), (1, 2, 0, 1, 1, 1))
    yield Case("concatenate", "float32", (4, 9, 5), (x, x[:, :3].copy()), (1,))


def _reductions(rng: np.random.Generator) -> Iterator[Case]:
    for shape, axes in (
        ((4, 6, 5), (2,)),
        ((4, 6, 5), (0, 1)),
        ((3, 5, 4, 6), (1,)),
        ((999,), (0,)),
    ):
        kept = tuple(1 if axis in axes else size for axis, size in enumerate(shape))
        mask = (sum(1 << axis for axis in axes),)
        x = _real(rng, shape, "float32")
        torn = x.copy()
        torn.flat[7] = np.nan
        for op in ("sum", "prod", "max", "min"):
            yield Case(op, "float32", kept, (x,), mask)
            yield Case(op, "float64", kept, (x.astype("float64"),), mask)
            yield Case(op, "int64", kept, (_whole(rng, shape, "int64"),), mask)
        for op in ("max", "min"):
            yield Case(op, "float32", kept, (torn,), mask)
            yield Case(op, "bool", kept, (x > 0,), mask)
        for op in ("argmax", "argmin"):
            for values in (x, torn, _whole(rng, shape, "int64")):
                yield Case(op, "int64", kept, (values,), mask)


def _products(rng: np.random.Generator) -> Iterator[Case]:
    for dtype in ("float32", "float64", "int64"):
        make = _whole if dtype == "int64" else _real
        a, b = make(rng, (3, 17, 9), dtype), make(rng, (3, 9, 5), dtype)
        yield Case("matmul", dtype, (3, 17, 5), (a, b), (0, 0))
        yield Case("matmul", dtype, (17, 5), (a[0].copy(), b[0].copy()), (0, 0))
    bias = _real(rng, (5,), "float32")
    a, b = _real(rng, (17, 9), "float32"), _real(rng, (9, 5), "float32")
    yield Case("matmul", "float32", (17, 5), (a, b, bias), (1, 0))


def _windows(rng: np.random.Generator) -> Iterator[Case]:
    for window in ((3, 2, 2, 1, 1, 0, 1, 2), (2, 3, 1, 2, 0, 1, 2, 1)):
        kernel, stride, padding, dilation = (window[i : i + 2] for i in (0, 2, 4, 6))
        out = tuple(
            (size + 2 * p - d * (k - 1) - 1) // s + 1
            for size, k, s, p, d in zip((9, 8), kernel, stride, padding, dilation, strict=True)
        )
        for dtype in ("float32", "float64"):
            x, w = _real(rng, (2, 3, 9, 8), dtype), _real(rng, (4, 3, *kernel), dtype)
            v = _real(rng, (2, 4, *out), dtype)
            yield Case("conv2d", dtype, v.shape, (x, w), window)
            yield Case("conv2d_input_grad", dtype, x.shape, (v, w), window)
            yield Case("conv2d_weight_grad", dtype, w.shape, (x, v), window)
    window = (3, 2, 2, 1, 1, 0, 1, 1)
    x, v = _real(rng, (2, 3, 9, 8), "float32"), _real(rng, (2, 3, 5, 7), "float32")
    x.flat[::5] = 1.0  # equals: the first one wins
    for op in ("max_pool2d", "avg_pool2d"):
        yield Case(op, "float32", v.shape, (x,), window)
    yield Case("max_pool2d_grad", "float32", x.shape, (x, v), window)
    yield Case("max_pool2d_pick", "float32", v.shape, (x, x[::-1].copy()), window)
    yield Case("avg_pool2d_grad", "float32", x.shape, (v,), window)


def _indexed(rng: np.random.Generator) -> Iterator[Case]:
    indices = rng.integers(-6, 6, (4, 3))
    for dtype in ("float32", "int64"):
        x = _whole(rng, (6, 2), dtype)
        yield Case("gather", dtype, (4, 3, 2), (x, indices))
        yield Case("scatter_add", dtype, (6, 2), (_whole(rng, (4, 3, 2), dtype), indices))


def _drawn(rng: np.random.Generator) -> Iterator[Case]:
    stream = np.array([12345678901234, 7])
    yield Case("uniform", "float32", (1003,), (stream,))
    yield Case("uniform", "float64", (7, 3), (stream,))
    yield Case("permutation", "int64", (1000,), (stream,))


# --- what is found --------------------------------------------------------------------------------


def differences(device: Device, found: dict[str, list[Case]]) -> Iterator[Difference]:
    """The cases in which the device and the CPU differ, by more than rounding."""
    cpu = cx.get_device("cpu")
    for same in found.values():
        expected = [case.on(cpu) for case in same]
        _core.evaluate(expected)
        try:  # together: one Program for each op
            got = [case.on(device) for case in same]
            _core.evaluate(got)
            arrays = [value.to_numpy() for value in got]
        except Exception:
            for case, value in zip(same, expected, strict=True):
                yield from _alone(case, device, value.to_numpy())
            continue
        for case, there, here in zip(same, arrays, expected, strict=True):
            yield from _compared(case, there, here.to_numpy())


def _alone(case: Case, device: Device, here: Array) -> Iterator[Difference]:
    try:
        yield from _compared(case, case.on(device).to_numpy(), here)
    except Exception as error:
        yield Difference(case, f"{type(error).__name__}: {error}")


def _compared(case: Case, there: Array, here: Array) -> Iterator[Difference]:
    if (there.dtype, there.shape) != (here.dtype, here.shape):
        yield Difference(case, f"it gives {there.dtype}{list(there.shape)}")
        return
    limit = 0.0 if case.op == "uniform" else _TOLERANCE.get(case.dtype, 0.0)
    close = np.isclose(there, here, rtol=limit, atol=limit, equal_nan=here.dtype.kind == "f")
    if not close.all():
        at = int(np.argmin(close))
        yield Difference(case, f"element {at} is {there.flat[at]}, on the CPU {here.flat[at]}")


def network(device: Device, batch: int = 64) -> tuple[Model, Tensor, Tensor]:
    """A small network with weights that don't depend on the device, and a batch for it."""
    rng = np.random.default_rng(1)
    with cx.device(device):
        cx.random.seed(1)
        model = Model(
            [
                layers.Conv2D(1, 8, 3, activation="relu"),
                layers.MaxPool2D(2),
                layers.Flatten(),
                layers.Dense(8 * 13 * 13, 64, activation="relu"),
                layers.Dense(64, 10, activation="softmax"),
            ]
        )
        x = cx.Tensor(rng.normal(size=(batch, 1, 28, 28)).astype(np.float32))
        return model, x, cx.Tensor(rng.integers(0, 10, batch))


def gradients(device: Device) -> float:
    """The largest difference from the CPU's in a network's gradients, relative to the largest
    gradient of each of its tensors."""

    def found(place: Device) -> dict[str, Array]:
        model, x, y = network(place)

        def loss(model: Model) -> Any:
            return losses.cross_entropy(model.logits(x), y, from_logits=True)

        with cx.device(place):
            return {name: g.to_numpy() for name, g in cx.grad(loss)(model).items()}

    here, there = found(cx.get_device("cpu")), found(device)
    return max(float(np.abs(there[name] - g).max() / np.abs(g).max()) for name, g in here.items())


# --- speed ----------------------------------------------------------------------------------------


def speeds(device: Device) -> Iterator[tuple[str, float, float]]:
    """Workloads: what each is, and its milliseconds on the CPU and on the device, the best of
    some runs, compilation left out."""
    for name, make in _WORKLOADS.items():
        yield name, _time(cx.get_device("cpu"), make), _time(device, make)


def _time(device: Device, make: Callable[[Device], Callable[[], Any]]) -> float:
    with cx.device(device):
        run = make(device)
        best, ends = float("inf"), perf_counter() + 1.0
        for attempt in range(1000):
            start = perf_counter()
            results = run()  # held: what is dropped is not waited for
            _core.evaluate(results)
            _core.synchronize(device)
            now = perf_counter()
            if attempt > 1:  # compiled, and warm
                best = min(best, now - start)
            if attempt > 3 and now > ends:
                break
    return best * 1e3


def _normal(shape: tuple[int, ...]) -> Tensor:
    x = cx.random.normal(shape)
    cx.eval(x)
    return x


def _chain(device: Device) -> Callable[[], Any]:
    x, y = cx.abs(_normal((1_000_000,))), _normal((1_000_000,))
    cx.eval(x)
    return lambda: [cx.sqrt(x * x + y * y) * cx.exp(-x) + cx.sin(y)]


def _sum(device: Device) -> Callable[[], Any]:
    x = _normal((10_000_000,))
    return lambda: [cx.sum(x)]


def _product(device: Device) -> Callable[[], Any]:
    a, b = _normal((1000, 1000)), _normal((1000, 1000))
    return lambda: [a @ b]


def _training(device: Device) -> Callable[[], Any]:
    model, x, y = network(device, batch=512)
    model.compile(optimizer="adam", loss="cross_entropy")

    def epoch() -> list[Tensor]:
        model.fit(x, y, epochs=1, batch_size=64, verbose=0)
        return []

    return epoch


_WORKLOADS: dict[str, Callable[[Device], Callable[[], Any]]] = {
    "sqrt(x*x + y*y) * exp(-x) + sin(y), 1M elements": _chain,
    "sum of 10M elements": _sum,
    "product of 1000 × 1000 matrices": _product,
    "8 training steps of a small CNN, batch 64": _training,
}
