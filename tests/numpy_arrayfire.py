"""ArrayFire's C functions over NumPy: what the backend asks of the library, without the library.

It is strict where ArrayFire is (equal dims and dtypes, no index outside, no function for a dtype
that has none), and has the ways that the backend must work around: extremes that pass over NaN,
assignments in place, rounding half away from zero. What it can't show is that ArrayFire itself does
what is understood here; tests/test_conformance.py does, where the library is installed.
"""

from __future__ import annotations

import ctypes
import itertools
from math import prod

import numpy as np

from pycyxwiz.backends import Engine
from pycyxwiz.backends.arrayfire.array import CODES
from pycyxwiz.backends.arrayfire.engine import ArrayFireBackend
from pycyxwiz.backends.arrayfire.library import _SIGNATURES

DTYPES = {code: np.dtype(name) for name, code in CODES.items()}
FLOATS = (np.float32, np.float64)


def four(dims):
    return (*dims, 1, 1, 1, 1)[:4]


def half_away(x):
    return np.trunc(x + np.copysign(0.5, x))


UNARY = {
    "abs": np.abs, "sin": np.sin, "cos": np.cos, "tan": np.tan, "asin": np.arcsin,
    "acos": np.arccos, "atan": np.arctan, "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh,
    "asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh, "exp": np.exp,
    "expm1": np.expm1, "log": np.log, "log1p": np.log1p, "log2": np.log2, "log10": np.log10,
    "sqrt": np.sqrt, "floor": np.floor, "ceil": np.ceil, "round": half_away, "trunc": np.trunc,
    "isnan": np.isnan, "not": np.logical_not,
}  # fmt: skip
BINARY = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "mod": np.fmod, "pow": np.power,
    "atan2": np.arctan2, "eq": np.equal, "neq": np.not_equal, "lt": np.less,
    "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal, "and": np.logical_and,
    "or": np.logical_or, "bitand": np.bitwise_and, "bitor": np.bitwise_or,
    "bitxor": np.bitwise_xor, "bitshiftl": np.left_shift, "bitshiftr": np.right_shift,
}  # fmt: skip


class NumpyArrayFire:
    """Stands for pycyxwiz.backends.arrayfire.library.Library."""

    version_name = "3.10.0"
    device_count = 1

    def __init__(self, kind="numpyfire", doubles=True):
        self.kind = kind
        self.doubles = doubles
        self.arrays = {}
        self.handles = itertools.count(1)
        self.evaluations = []  # how many arrays each call of eval_multiple was given

    def hold(self, array, dims=None):
        handle = next(self.handles)
        array = np.asarray(array)
        self.arrays[handle] = array.reshape(four(dims if dims else array.shape), order="F")
        return handle

    def use(self, device):
        assert device == 0

    def call(self, name, *arguments):
        with np.errstate(all="ignore"):
            return getattr(self, "_" + name)(*arguments)

    def call_for_array(self, name, *arguments):
        arguments = [
            self.arrays[a] if self.is_array(name, i) else a for i, a in enumerate(arguments)
        ]
        with np.errstate(all="ignore"):
            if name in UNARY:
                return self.hold(self.unary(name, *arguments))
            if name in BINARY:
                return self.hold(self.binary(name, *arguments))
            return self.hold(getattr(self, "_" + name)(*arguments))

    call_for_two = call

    @staticmethod
    def is_array(name, position):
        return _SIGNATURES[name].replace("o", "").replace("d", "ud")[position] == "a"

    def release(self, handle, device):
        del self.arrays[handle]

    def size(self, handle):
        return self.arrays[handle].size

    def info_string(self):
        return "ArrayFire v3.10.0 (NumPy)\n[0] NumPy, 1024 MB\n"

    def device_names(self):
        return "NumPy", "NumPy"

    def bytes_in_use(self):
        held = sum(array.nbytes for array in self.arrays.values())
        return held, held

    def has_doubles(self, device):
        return self.doubles

    @staticmethod
    def unary(name, x):
        if name not in ("not",):
            assert x.dtype in FLOATS, (name, x.dtype)
        result = UNARY[name](x)
        return result if name in ("isnan", "not") else result.astype(x.dtype)

    @staticmethod
    def binary(name, a, b, batch):
        assert a.shape == b.shape and a.dtype == b.dtype and not batch, (name, a, b)
        result = BINARY[name](a, b)
        return result if result.dtype == bool else result.astype(a.dtype)

    def _div(self, a, b, batch):
        assert a.shape == b.shape and a.dtype == b.dtype
        if a.dtype in FLOATS:
            return a / b
        assert (b != 0).all(), "an integer divided by 0 ends the process"
        assert a.dtype != bool
        return (np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b))).astype(a.dtype)

    def _erf(self, x):
        from math import erf

        return np.vectorize(erf, otypes=[x.dtype])(x)

    def _cast(self, x, code):
        return x.astype(DTYPES[code])

    def _constant(self, value, count, dims, code):
        return np.full(tuple(dims), value, DTYPES[code])

    def _constant_long(self, value, count, dims):
        return np.full(tuple(dims), value, np.int64)

    def _range(self, count, dims, axis, code):
        line = np.arange(dims[axis]).reshape([-1 if i == axis else 1 for i in range(count)])
        assert code != CODES["bool"]
        return np.broadcast_to(line, tuple(dims)).astype(DTYPES[code])

    def _select(self, condition, a, b):
        assert condition.dtype == bool and a.dtype == b.dtype
        assert condition.shape == a.shape == b.shape
        return np.where(condition, a, b)

    def _tile(self, x, *times):
        return np.tile(x, times)

    def _reorder(self, x, *axes):
        return x.transpose(axes).copy()

    def _moddims(self, x, count, dims):
        assert prod(dims) == x.size
        return x.ravel(order="F").reshape(tuple(dims), order="F")

    def _copy_array(self, x):
        return x.copy()

    def _flip(self, x, axis):
        return np.flip(x, axis).copy()

    def _join(self, axis, a, b):
        assert a.dtype == b.dtype
        return np.concatenate([a, b], axis)

    @staticmethod
    def slices(shape, spans):
        for size, s in zip(shape, spans, strict=True):
            assert 0 <= s.begin <= s.end < size and s.step > 0
        return tuple(slice(int(s.begin), int(s.end) + 1, int(s.step)) for s in spans)

    def _index(self, x, count, spans):
        return x[self.slices(x.shape, spans)].copy()

    def _assign_seq(self, out, handle, count, spans, part):
        x, part = self.arrays[handle], self.arrays[part]
        assert count <= max([i + 1 for i, n in enumerate(x.shape) if n > 1], default=1)
        assert x.dtype == part.dtype
        where = self.slices(x.shape, spans)
        assert x[where].shape == part.shape
        x[where] = part

    def _assign_gen(self, out, handle, count, index, part):
        x, part = self.arrays[handle], self.arrays[part]
        where = [
            np.arange(int(i.of.sequence.begin), int(i.of.sequence.end) + 1)
            if i.is_sequence
            else self.arrays[i.of.array].ravel()
            for i in index
        ]
        x[np.ix_(*where)] = part

    def _lookup(self, x, rows, axis):
        rows = rows.ravel()
        assert rows.size == 0 or (rows.min() >= 0 and rows.max() < x.shape[axis])
        return np.take(x, rows, axis)

    def _sort_by_key(self, keys, values, axis, ascending):
        keys, values = self.arrays[keys], self.arrays[values]
        order = np.argsort(keys.ravel(), kind="stable")
        return self.hold(keys.ravel()[order]), self.hold(values.ravel()[order])

    def _sum_by_key(self, keys, values, axis):
        keys, values = self.arrays[keys].ravel(), self.arrays[values]
        assert keys.dtype == np.int32 and keys.size > 1  # one is no vector
        starts = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]])
        return self.hold(keys[starts]), self.hold(np.add.reduceat(values, starts, axis))

    def _sum(self, x, axis):
        assert x.dtype in (*FLOATS, np.int64, np.int32)
        return x.sum(axis, keepdims=True, dtype=x.dtype)

    def _product(self, x, axis):
        assert x.dtype in (*FLOATS, np.int64)
        return x.prod(axis, keepdims=True, dtype=x.dtype)

    def _max(self, x, axis):
        assert x.dtype != bool
        return np.fmax.reduce(x, axis, keepdims=True)

    def _min(self, x, axis):
        assert x.dtype != bool
        return np.fmin.reduce(x, axis, keepdims=True)

    def _any_true(self, x, axis):
        return x.astype(bool).any(axis, keepdims=True)

    def _all_true(self, x, axis):
        return x.astype(bool).all(axis, keepdims=True)

    def _matmul(self, a, b, a_transposed, b_transposed):
        assert a.dtype == b.dtype and a.dtype in FLOATS
        a, b = (m.transpose(2, 3, 0, 1) for m in (a, b))
        a = a.swapaxes(-1, -2) if a_transposed else a
        b = b.swapaxes(-1, -2) if b_transposed else b
        return (a @ b).transpose(2, 3, 0, 1)

    @staticmethod
    def places(shape, wx, wy, sx, sy, px, py):
        """For each window and each of its elements, where it is in the padded image."""
        nx, ny = (shape[0] + 2 * px - wx) // sx + 1, (shape[1] + 2 * py - wy) // sy + 1
        x = (np.tile(np.arange(nx) * sx, ny)[:, None] + np.tile(np.arange(wx), wy)).astype(int)
        y = np.repeat(np.arange(ny) * sy, nx)[:, None] + np.repeat(np.arange(wy), wx)
        return x, y

    def _unwrap(self, x, wx, wy, sx, sy, px, py, columns):
        assert px < wx and py < wy and not columns
        padded = np.pad(x, ((px, px), (py, py), (0, 0), (0, 0)))
        i, j = self.places(x.shape, wx, wy, sx, sy, px, py)
        return padded[i, j]

    def _wrap(self, u, ox, oy, wx, wy, sx, sy, px, py, columns):
        assert not columns
        i, j = self.places((ox, oy), wx, wy, sx, sy, px, py)
        assert u.shape[:2] == i.shape
        padded = np.zeros((ox + 2 * px, oy + 2 * py, *u.shape[2:]), u.dtype)
        np.add.at(padded, (i, j), u)
        return padded[px : px + ox, py : py + oy]

    def _create_array(self, data, count, dims, code):
        dtype = DTYPES[code]
        memory = ctypes.string_at(data, prod(dims) * dtype.itemsize)
        return np.frombuffer(memory, dtype).reshape(tuple(dims), order="F").copy()

    def _get_data_ptr(self, to, handle):
        memory = self.arrays[handle].tobytes(order="F")
        ctypes.memmove(to, memory, len(memory))

    def _eval_multiple(self, count, handles):
        assert len(set(handles)) == count
        arrays = [self.arrays[handle] for handle in handles]
        assert len({(array.shape, array.dtype) for array in arrays}) == 1
        self.evaluations.append(count)

    def _sync(self, device):
        assert device == 0

    def _device_gc(self):
        pass


def engine(kind="numpyfire", doubles=True):
    library = NumpyArrayFire(kind, doubles)
    made = Engine(name=kind, kinds=(kind,), make=lambda: ArrayFireBackend([library]))
    return made, library
