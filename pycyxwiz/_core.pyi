"""
The compiled core of pycyxwiz; its public names are those of the package.
"""

from typing import Final

import numpy
import numpy.typing


from collections.abc import Sequence
from typing import Any
import numpy

TensorLike = Any
DTypeLike = DType | str | type | numpy.dtype[Any]
ShapeLike = int | Sequence[int]
AxesLike = int | Sequence[int] | None

class ShapeError(ValueError):
    pass

class DTypeError(TypeError):
    pass

class DeviceError(RuntimeError):
    pass

class OutOfMemoryError(MemoryError):
    pass

class TracingError(RuntimeError):
    pass

class Device:
    """A place that computes. Calling it gives its kind: "CPU"."""

    @property
    def name(self) -> str:
        """The hardware's own name."""

    @property
    def kind(self) -> str:
        """"cpu", "cuda", …"""

    @property
    def index(self) -> int: ...

    @property
    def backend(self) -> str:
        """What runs Programs there: "cpu", "xla", …"""

    @property
    def memory_bytes(self) -> int:
        """The memory it has, in bytes."""

    @property
    def memory_gb(self) -> float:
        """The memory it has, in units of 10⁹ bytes."""

    def __call__(self) -> str: ...

    def __str__(self) -> str: ...

    def __repr__(self) -> str: ...

    def __eq__(self, other: object, /) -> bool: ...

    def __hash__(self) -> int: ...

def devices() -> list[Device]:
    """Every device there is."""

def default_device() -> Device:
    """Where this thread's new tensors go."""

def set_default_device(device: Device) -> None:
    """Chooses where the process's new tensors go."""

def thread_device() -> Device | None:
    """Where this thread's new tensors go, where it has a choice of its own."""

def set_thread_device(device: Device | None) -> None:
    """
    Chooses where this thread's new tensors go; None: where the process's do.
    """

def find_device(name: str, backend: str = '') -> Device:
    """
    The registered device of that name. Raises DeviceError, with those that there are.
    """

def num_threads() -> int:
    """
    How many threads compute.

    >>> cx.get_num_threads() >= 1
    True
    """

def set_num_threads(n: int) -> None:
    """
    Computes on n threads. Results don't depend on it. Raises ValueError unless 1 <= n <= 1024.

    >>> cx.set_num_threads(cx.get_num_threads())
    """

def set_matmul_precision(precision: str) -> None:
    """
    What products of float32 tensors are computed in, from now on and on every thread:
    "float32" (at the start; also "highest", "high"), or "bfloat16" (also "medium"): operands
    may be rounded to 8 significant bits where the processor multiplies those faster; sums
    stay float32. Derivatives are computed as the product was. Raises ValueError for other names.

    >>> cx.set_matmul_precision("float32")
    """

def get_matmul_precision() -> str:
    """
    "float32" or "bfloat16".

    >>> cx.get_matmul_precision()
    'float32'
    """

def isa() -> str:
    """
    The instruction set in use: baseline, avx2 or avx512.

    >>> cx.isa() in ("baseline", "avx2", "avx512")
    True
    """

def onednn_version() -> str:
    """
    The version of oneDNN, as in "3.2.0".

    >>> cx.onednn_version() >= "3"
    True
    """

def memory_stats(device: Device | None = None) -> dict[str, int]:
    """
    Bytes in tensors, bytes kept for reuse, the most that was in tensors at one time, and what is free.
    """

def synchronize(device: Device | None = None) -> None:
    """Waits until the device has done what it was given."""

def empty_cache(device: Device | None = None) -> None:
    """Gives memory that is kept for reuse back to the system."""

def register_backend(backend: Any) -> None:
    """
    Adds a backend (pycyxwiz.backends.protocol.Backend) and its devices, for good.
    """

def op_names() -> list[str]:
    """What Programs are made of, by name."""

def record(op: str, dtype: DTypeLike, shape: ShapeLike, inputs: Sequence[Tensor], attributes: Sequence[int] = ...) -> Tensor:
    """
    The result of one instruction of a Program. Nothing is checked: it is for backends, which have
    the instruction from the core.
    """

class DType:
    """An element type. Compares equal to its name and to NumPy's."""

    def __init__(self, dtype: DTypeLike) -> None: ...

    @property
    def name(self) -> str: ...

    @property
    def itemsize(self) -> int:
        """The size of an element in bytes."""

    @property
    def numpy(self) -> numpy.dtype[Any]: ...

    def __str__(self) -> str: ...

    def __repr__(self) -> str: ...

    def __eq__(self, other: object, /) -> bool: ...

    def __hash__(self) -> int: ...

    def __reduce__(self) -> tuple[Any, ...]: ...

uint8: DType = ...

int8: DType = ...

int16: DType = ...

int32: DType = ...

int64: DType = ...

float32: DType = ...

float64: DType = ...

class Tensor:
    """
    An immutable value with shape, dtype and device, computed when it is read.

    Tensor(data) copies nested lists, numbers, arrays and tensors: ints become int64,
    floats float32; arrays keep their dtype. Tensor(shape, data) fills a shape.
    Assignments (t[i] = v, t += v) rebind the handle.

    Raises ShapeError for ragged lists or data that does not fill the shape, DTypeError
    for what is not numbers.

    >>> cx.Tensor([[1, 2], [3, 4]]).sum().item()
    10
    >>> cx.Tensor([2, 3], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).shape
    (2, 3)
    """

    def __init__(self, data: TensorLike, flat: TensorLike | None = None, dtype: DTypeLike | None = None) -> None: ...

    @property
    def shape(self) -> Any:
        """The sizes of the axes: a tuple; calling it gives a list."""

    @property
    def dtype(self) -> DType: ...

    @property
    def device(self) -> Device:
        """Where the value lies; calling it gives "CPU" or "CUDA"."""

    @property
    def ndim(self) -> int:
        """The number of axes."""

    @property
    def size(self) -> int:
        """The number of elements."""

    @property
    def nbytes(self) -> int: ...

    @property
    def T(self) -> Tensor:
        """The axes reversed."""

    @property
    def is_traced(self) -> bool:
        """Does it depend on an argument of a traced function?"""

    def __repr__(self) -> str: ...

    def __str__(self) -> str: ...

    def __hash__(self) -> int: ...

    def __add__(self, other: TensorLike, /) -> Tensor: ...

    def __radd__(self, other: TensorLike, /) -> Tensor: ...

    def __iadd__(self, other: TensorLike, /) -> Tensor: ...

    def __sub__(self, other: TensorLike, /) -> Tensor: ...

    def __rsub__(self, other: TensorLike, /) -> Tensor: ...

    def __isub__(self, other: TensorLike, /) -> Tensor: ...

    def __mul__(self, other: TensorLike, /) -> Tensor: ...

    def __rmul__(self, other: TensorLike, /) -> Tensor: ...

    def __imul__(self, other: TensorLike, /) -> Tensor: ...

    def __truediv__(self, other: TensorLike, /) -> Tensor: ...

    def __rtruediv__(self, other: TensorLike, /) -> Tensor: ...

    def __itruediv__(self, other: TensorLike, /) -> Tensor: ...

    def __floordiv__(self, other: TensorLike, /) -> Tensor: ...

    def __rfloordiv__(self, other: TensorLike, /) -> Tensor: ...

    def __ifloordiv__(self, other: TensorLike, /) -> Tensor: ...

    def __mod__(self, other: TensorLike, /) -> Tensor: ...

    def __rmod__(self, other: TensorLike, /) -> Tensor: ...

    def __imod__(self, other: TensorLike, /) -> Tensor: ...

    def __pow__(self, other: TensorLike, /) -> Tensor: ...

    def __rpow__(self, other: TensorLike, /) -> Tensor: ...

    def __ipow__(self, other: TensorLike, /) -> Tensor: ...

    def __matmul__(self, other: TensorLike, /) -> Tensor: ...

    def __rmatmul__(self, other: TensorLike, /) -> Tensor: ...

    def __imatmul__(self, other: TensorLike, /) -> Tensor: ...

    def __and__(self, other: TensorLike, /) -> Tensor: ...

    def __rand__(self, other: TensorLike, /) -> Tensor: ...

    def __iand__(self, other: TensorLike, /) -> Tensor: ...

    def __or__(self, other: TensorLike, /) -> Tensor: ...

    def __ror__(self, other: TensorLike, /) -> Tensor: ...

    def __ior__(self, other: TensorLike, /) -> Tensor: ...

    def __xor__(self, other: TensorLike, /) -> Tensor: ...

    def __rxor__(self, other: TensorLike, /) -> Tensor: ...

    def __ixor__(self, other: TensorLike, /) -> Tensor: ...

    def __eq__(self, other: TensorLike, /) -> Tensor: ...  # type: ignore[override]

    def __ne__(self, other: TensorLike, /) -> Tensor: ...  # type: ignore[override]

    def __lt__(self, other: TensorLike, /) -> Tensor: ...

    def __le__(self, other: TensorLike, /) -> Tensor: ...

    def __gt__(self, other: TensorLike, /) -> Tensor: ...

    def __ge__(self, other: TensorLike, /) -> Tensor: ...

    def __neg__(self) -> Tensor: ...

    def __pos__(self) -> Tensor: ...

    def __abs__(self) -> Tensor: ...

    def __invert__(self) -> Tensor: ...

    def to_numpy(self, *, copy: bool = False) -> numpy.typing.NDArray[Any]:
        """
        A read-only array that shares this tensor's memory; with copy=True a writable one of its own.
        """

    def item(self) -> Any:
        """
        The one element as a Python number. Raises ValueError when there are more.
        """

    def tolist(self) -> Any:
        """The elements as nested lists of Python numbers."""

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> numpy.typing.NDArray[Any]: ...

    __array_priority__: Final[int] = ...
    """(arg: object, /) -> int"""

    def __float__(self) -> float: ...

    def __int__(self) -> int: ...

    def __index__(self) -> int: ...

    def __round__(self, digits: int | None = None, /) -> Any: ...

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any: ...

    def __bool__(self) -> bool: ...

    def __dlpack__(self, **kwargs: Any) -> Any: ...

    def __dlpack_device__(self) -> tuple[int, int]: ...

    def __reduce__(self) -> tuple[Any, ...]: ...

    def __copy__(self) -> Tensor: ...

    def __deepcopy__(self, memo: object) -> Tensor: ...

    def astype(self, dtype: DTypeLike) -> Tensor:
        """Converted: floats are cut towards zero, integers wrap, as in NumPy."""

    def reshape(self, *shape: Any) -> Tensor:
        """
        The same elements in another shape, as t.reshape(2, -1) or t.reshape((2, -1)); one size may be
        -1. Raises ShapeError when they don't fill it.
        """

    def permute(self, *axes: Any) -> Tensor:
        """
        The axes in the order that is named, as t.permute(2, 0, 1); reversed when none is.
        """

    def transpose(self, *axes: Any) -> Tensor:
        """
        The axes in the order that is named, as t.permute(2, 0, 1); reversed when none is.
        """

    def flatten(self) -> Tensor:
        """The elements in one axis."""

    def squeeze(self, axis: AxesLike = None) -> Tensor:
        """
        Without its axes of size 1, or without those named. Raises ShapeError for a larger one.
        """

    def expand_dims(self, axis: int) -> Tensor:
        """With a new axis of size 1 at `axis`."""

    def to(self, device: Device | str) -> Tensor:
        """
        This tensor on another device; itself when it is there. Raises DeviceError for a device that is not there.
        """

    def __len__(self) -> int: ...

    def __iter__(self) -> Any: ...

    def __getitem__(self, index: Any, /) -> Tensor: ...

    def __setitem__(self, index: Any, value: TensorLike, /) -> None:
        """Rebinds this handle to a tensor with those elements replaced."""

    def negative(self) -> Tensor:
        """
        Elementwise: -x.

        >>> cx.negative([1, -2]).tolist()
        [-1, 2]
        """

    def absolute(self) -> Tensor:
        """
        Elementwise: The distance from zero.

        >>> cx.absolute([1, -2]).tolist()
        [1, 2]
        """

    def sign(self) -> Tensor:
        """
        Elementwise: -1, 0 or 1; NaN stays NaN.

        >>> cx.sign([-3, 0, 2]).tolist()
        [-1, 0, 1]
        """

    def square(self) -> Tensor:
        """
        Elementwise: x · x.

        >>> cx.square([3, -2]).tolist()
        [9, 4]
        """

    def relu(self) -> Tensor:
        """
        Elementwise: x where it is positive, else 0; NaN stays NaN.

        >>> cx.relu([-1.0, 2.0]).tolist()
        [0.0, 2.0]
        """

    def floor(self) -> Tensor:
        """
        Elementwise: The largest whole number not above x.

        >>> cx.floor([1.5, -1.5]).tolist()
        [1.0, -2.0]
        """

    def ceil(self) -> Tensor:
        """
        Elementwise: The smallest whole number not below x.

        >>> cx.ceil([1.5, -1.5]).tolist()
        [2.0, -1.0]
        """

    def round(self) -> Tensor:
        """
        Elementwise: The nearest whole number; halves go to the even one.

        >>> cx.round([0.5, 1.5]).tolist()
        [0.0, 2.0]
        """

    def trunc(self) -> Tensor:
        """
        Elementwise: x without its fraction.

        >>> cx.trunc([1.5, -1.5]).tolist()
        [1.0, -1.0]
        """

    def exp(self) -> Tensor:
        """
        Elementwise: e to the power x. Integers are computed as float32.

        >>> cx.exp([0.0]).tolist()
        [1.0]
        """

    def expm1(self) -> Tensor:
        """
        Elementwise: exp(x) - 1, exact near zero. Integers are computed as float32.

        >>> cx.expm1([0.0]).tolist()
        [0.0]
        """

    def log(self) -> Tensor:
        """
        Elementwise: The natural logarithm. Integers are computed as float32.

        >>> cx.log([1.0]).tolist()
        [0.0]
        """

    def log1p(self) -> Tensor:
        """
        Elementwise: log(1 + x), exact near zero. Integers are computed as float32.

        >>> cx.log1p([0.0]).tolist()
        [0.0]
        """

    def log2(self) -> Tensor:
        """
        Elementwise: The logarithm to base 2. Integers are computed as float32.

        >>> cx.log2([8.0]).tolist()
        [3.0]
        """

    def log10(self) -> Tensor:
        """
        Elementwise: The logarithm to base 10. Integers are computed as float32.

        >>> cx.log10([1.0]).tolist()
        [0.0]
        """

    def sqrt(self) -> Tensor:
        """
        Elementwise: The square root. Integers are computed as float32.

        >>> cx.sqrt([4, 9]).tolist()
        [2.0, 3.0]
        """

    def rsqrt(self) -> Tensor:
        """
        Elementwise: 1 / sqrt(x). Integers are computed as float32.

        >>> cx.rsqrt([4.0]).tolist()
        [0.5]
        """

    def reciprocal(self) -> Tensor:
        """
        Elementwise: 1 / x. Integers are computed as float32.

        >>> cx.reciprocal([4.0]).tolist()
        [0.25]
        """

    def sin(self) -> Tensor:
        """
        Elementwise: The sine of x, in radians. Integers are computed as float32.

        >>> cx.sin([0.0]).tolist()
        [0.0]
        """

    def cos(self) -> Tensor:
        """
        Elementwise: The cosine of x, in radians. Integers are computed as float32.

        >>> cx.cos([0.0]).tolist()
        [1.0]
        """

    def tan(self) -> Tensor:
        """
        Elementwise: The tangent of x, in radians. Integers are computed as float32.

        >>> cx.tan([0.0]).tolist()
        [0.0]
        """

    def asin(self) -> Tensor:
        """
        Elementwise: The angle whose sine is x, in radians. Integers are computed as float32.

        >>> cx.asin([0.0]).tolist()
        [0.0]
        """

    def acos(self) -> Tensor:
        """
        Elementwise: The angle whose cosine is x, in radians. Integers are computed as float32.

        >>> cx.acos([1.0]).tolist()
        [0.0]
        """

    def atan(self) -> Tensor:
        """
        Elementwise: The angle whose tangent is x, in radians. Integers are computed as float32.

        >>> cx.atan([0.0]).tolist()
        [0.0]
        """

    def sinh(self) -> Tensor:
        """
        Elementwise: The hyperbolic sine. Integers are computed as float32.

        >>> cx.sinh([0.0]).tolist()
        [0.0]
        """

    def cosh(self) -> Tensor:
        """
        Elementwise: The hyperbolic cosine. Integers are computed as float32.

        >>> cx.cosh([0.0]).tolist()
        [1.0]
        """

    def tanh(self) -> Tensor:
        """
        Elementwise: The hyperbolic tangent. Integers are computed as float32.

        >>> cx.tanh([0.0]).tolist()
        [0.0]
        """

    def asinh(self) -> Tensor:
        """
        Elementwise: The inverse of sinh. Integers are computed as float32.

        >>> cx.asinh([0.0]).tolist()
        [0.0]
        """

    def acosh(self) -> Tensor:
        """
        Elementwise: The inverse of cosh. Integers are computed as float32.

        >>> cx.acosh([1.0]).tolist()
        [0.0]
        """

    def atanh(self) -> Tensor:
        """
        Elementwise: The inverse of tanh. Integers are computed as float32.

        >>> cx.atanh([0.0]).tolist()
        [0.0]
        """

    def erf(self) -> Tensor:
        """
        Elementwise: The error function (Abramowitz and Stegun 7.1.1). Integers are computed as float32.

        >>> cx.erf([0.0]).tolist()
        [0.0]
        """

    def sigmoid(self) -> Tensor:
        """
        Elementwise: 1 / (1 + exp(-x)). Integers are computed as float32.

        >>> cx.sigmoid([0.0]).tolist()
        [0.5]
        """

    def softplus(self) -> Tensor:
        """
        Elementwise: log(1 + exp(x)), without overflow. Integers are computed as float32.

        >>> cx.softplus([100.0]).tolist()
        [100.0]
        """

    def isnan(self) -> Tensor:
        """
        Elementwise: Is x not a number?

        >>> cx.isnan([1.0, float('nan')]).tolist()
        [False, True]
        """

    def isinf(self) -> Tensor:
        """
        Elementwise: Is x infinite?

        >>> cx.isinf([1.0, float('inf')]).tolist()
        [False, True]
        """

    def isfinite(self) -> Tensor:
        """
        Elementwise: Is x neither infinite nor NaN?

        >>> cx.isfinite([1.0, float('inf')]).tolist()
        [True, False]
        """

    def logical_not(self) -> Tensor:
        """
        Elementwise: Is x zero?

        >>> cx.logical_not([0, 2]).tolist()
        [True, False]
        """

    def bitwise_not(self) -> Tensor:
        """
        Elementwise: Every bit flipped; integers and bools.

        >>> cx.bitwise_not([0, 1]).tolist()
        [-1, -2]
        """

    abs = absolute

    def clip(self, min: TensorLike | None = None, max: TensorLike | None = None) -> Tensor:
        """Limited to [min, max]; either may be None. NaN stays NaN."""

    def sum(self, axis: AxesLike = None, keepdims: bool = False) -> Tensor:
        """
        The sum over `axis`, an axis or several (None: all). Integers and bools give int64.

        >>> cx.sum([[1, 2], [3, 4]], axis=0).tolist()
        [4, 6]
        """

    def prod(self, axis: AxesLike = None, keepdims: bool = False) -> Tensor:
        """
        The product over `axis` (None: all). Integers and bools give int64.

        >>> cx.prod([2, 3, 4]).item()
        24
        """

    def min(self, axis: AxesLike = None, keepdims: bool = False) -> Tensor:
        """
        The smallest over `axis` (None: all); NaN where there is one. Raises ValueError when empty.

        >>> cx.min([3, 1, 2]).item()
        1
        """

    def max(self, axis: AxesLike = None, keepdims: bool = False) -> Tensor:
        """
        The largest over `axis` (None: all); NaN where there is one. Raises ValueError when empty.

        >>> cx.max([[1, 5], [7, 2]], axis=1).tolist()
        [5, 7]
        """

    def mean(self, axis: AxesLike = None, keepdims: bool = False) -> Tensor:
        """
        The mean over `axis` (None: all). Integers give float32.

        >>> cx.mean([1, 2, 3, 4]).item()
        2.5
        """

    def any(self, axis: AxesLike = None, keepdims: bool = False) -> Tensor:
        """
        Is any element true (not zero) over `axis` (None: all)?

        >>> cx.any([0, 0, 3]).item()
        True
        """

    def all(self, axis: AxesLike = None, keepdims: bool = False) -> Tensor:
        """
        Is every element true (not zero) over `axis` (None: all)?

        >>> cx.all([1, 0, 3]).item()
        False
        """

    def logsumexp(self, axis: AxesLike = None, keepdims: bool = False) -> Tensor:
        """
        log(sum(exp(x))) over `axis` (None: all), without overflow.

        >>> round(cx.logsumexp([1000.0, 1000.0]), 3)
        1000.693
        """

    def var(self, axis: AxesLike = None, keepdims: bool = False, ddof: float = 0.0) -> Tensor:
        """
        The variance over `axis` (None: all): squared distances from the mean over n - ddof.

        >>> cx.var([1.0, 3.0]).item()
        1.0
        """

    def std(self, axis: AxesLike = None, keepdims: bool = False, ddof: float = 0.0) -> Tensor:
        """
        The standard deviation over `axis` (None: all), the root of var().

        >>> cx.std([1.0, 3.0]).item()
        1.0
        """

    def argmax(self, axis: int | None = None, keepdims: bool = False) -> Tensor:
        """
        The index of the first largest (the first NaN) along an axis, or in all.

        >>> cx.argmax([1, 9, 9]).item()
        1
        """

    def argmin(self, axis: int | None = None, keepdims: bool = False) -> Tensor:
        """
        The index of the first smallest (the first NaN) along an axis, or in all.

        >>> cx.argmin([4, 0, 2]).item()
        1
        """

    def matmul(self, other: TensorLike) -> Tensor: ...

    dot = matmul

def from_numpy(array: numpy.typing.NDArray[Any]) -> Tensor:
    """
    A tensor that shares the array's memory: writing to the array changes the tensor.

    Arrays that are not C-contiguous or not in native byte order are copied. Raises DTypeError
    for a dtype that tensors don't have.

    >>> a = np.zeros(3, np.float32)
    >>> t = cx.from_numpy(a)
    >>> a[0] = 5
    >>> t.tolist()
    [5.0, 0.0, 0.0]
    """

def from_dlpack(x: Any) -> Tensor:
    """
    A tensor that shares the memory of an array of another library, by the DLPack protocol.

    >>> cx.from_dlpack(np.arange(3)).tolist()
    [0, 1, 2]
    """

def zeros(shape: ShapeLike, dtype: DTypeLike = 'float32') -> Tensor:
    """
    A tensor of zeros.

    >>> cx.zeros(3).tolist()
    [0.0, 0.0, 0.0]
    """

def ones(shape: ShapeLike, dtype: DTypeLike = 'float32') -> Tensor:
    """
    A tensor of ones.

    >>> cx.ones((2, 2)).sum().item()
    4.0
    """

def full(shape: ShapeLike, value: TensorLike, dtype: DTypeLike | None = None) -> Tensor:
    """
    A tensor with `value` everywhere; its dtype is the value's unless given.

    >>> cx.full((2,), 7).tolist()
    [7, 7]
    """

def zeros_like(x: TensorLike) -> Tensor:
    """
    Zeros of x's shape and dtype.

    >>> cx.zeros_like([1, 2]).tolist()
    [0, 0]
    """

def ones_like(x: TensorLike) -> Tensor:
    """
    Ones of x's shape and dtype.

    >>> cx.ones_like([0.5, 2.0]).tolist()
    [1.0, 1.0]
    """

def full_like(x: TensorLike, value: TensorLike) -> Tensor:
    """
    `value` everywhere, in x's shape and dtype.

    >>> cx.full_like([0.5, 2.0], 7).tolist()
    [7.0, 7.0]
    """

def arange(start: float, stop: float | None = None, step: float = 1, dtype: DTypeLike | None = None) -> Tensor:
    """
    start, start + step, … up to but without `stop`; with one number, from 0 to it.

    int64 when all three are ints, else float32. Raises ValueError for a step of 0.

    >>> cx.arange(2, 8, 2).tolist()
    [2, 4, 6]
    """

def linspace(start: float, stop: float, num: int = 50, dtype: DTypeLike | None = None) -> Tensor:
    """
    `num` evenly spaced numbers from `start` to `stop`, both included.

    >>> cx.linspace(0, 1, 3).tolist()
    [0.0, 0.5, 1.0]
    """

def eye(n: int, m: int | None = None, dtype: DTypeLike | None = None) -> Tensor:
    """
    Ones on the diagonal of n × m, zeros elsewhere.

    >>> cx.eye(2).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """

def one_hot(labels: TensorLike, classes: int, dtype: DTypeLike = 'float32') -> Tensor:
    """
    1 where the label equals the position along a new last axis, else 0.

    >>> cx.one_hot([0, 2], 3).tolist()
    [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """

def negative(x: TensorLike) -> Tensor:
    """
    Elementwise: -x.

    >>> cx.negative([1, -2]).tolist()
    [-1, 2]
    """

def absolute(x: TensorLike) -> Tensor:
    """
    Elementwise: The distance from zero.

    >>> cx.absolute([1, -2]).tolist()
    [1, 2]
    """

def sign(x: TensorLike) -> Tensor:
    """
    Elementwise: -1, 0 or 1; NaN stays NaN.

    >>> cx.sign([-3, 0, 2]).tolist()
    [-1, 0, 1]
    """

def square(x: TensorLike) -> Tensor:
    """
    Elementwise: x · x.

    >>> cx.square([3, -2]).tolist()
    [9, 4]
    """

def relu(x: TensorLike) -> Tensor:
    """
    Elementwise: x where it is positive, else 0; NaN stays NaN.

    >>> cx.relu([-1.0, 2.0]).tolist()
    [0.0, 2.0]
    """

def floor(x: TensorLike) -> Tensor:
    """
    Elementwise: The largest whole number not above x.

    >>> cx.floor([1.5, -1.5]).tolist()
    [1.0, -2.0]
    """

def ceil(x: TensorLike) -> Tensor:
    """
    Elementwise: The smallest whole number not below x.

    >>> cx.ceil([1.5, -1.5]).tolist()
    [2.0, -1.0]
    """

def round(x: TensorLike) -> Tensor:
    """
    Elementwise: The nearest whole number; halves go to the even one.

    >>> cx.round([0.5, 1.5]).tolist()
    [0.0, 2.0]
    """

def trunc(x: TensorLike) -> Tensor:
    """
    Elementwise: x without its fraction.

    >>> cx.trunc([1.5, -1.5]).tolist()
    [1.0, -1.0]
    """

def exp(x: TensorLike) -> Tensor:
    """
    Elementwise: e to the power x. Integers are computed as float32.

    >>> cx.exp([0.0]).tolist()
    [1.0]
    """

def expm1(x: TensorLike) -> Tensor:
    """
    Elementwise: exp(x) - 1, exact near zero. Integers are computed as float32.

    >>> cx.expm1([0.0]).tolist()
    [0.0]
    """

def log(x: TensorLike) -> Tensor:
    """
    Elementwise: The natural logarithm. Integers are computed as float32.

    >>> cx.log([1.0]).tolist()
    [0.0]
    """

def log1p(x: TensorLike) -> Tensor:
    """
    Elementwise: log(1 + x), exact near zero. Integers are computed as float32.

    >>> cx.log1p([0.0]).tolist()
    [0.0]
    """

def log2(x: TensorLike) -> Tensor:
    """
    Elementwise: The logarithm to base 2. Integers are computed as float32.

    >>> cx.log2([8.0]).tolist()
    [3.0]
    """

def log10(x: TensorLike) -> Tensor:
    """
    Elementwise: The logarithm to base 10. Integers are computed as float32.

    >>> cx.log10([1.0]).tolist()
    [0.0]
    """

def sqrt(x: TensorLike) -> Tensor:
    """
    Elementwise: The square root. Integers are computed as float32.

    >>> cx.sqrt([4, 9]).tolist()
    [2.0, 3.0]
    """

def rsqrt(x: TensorLike) -> Tensor:
    """
    Elementwise: 1 / sqrt(x). Integers are computed as float32.

    >>> cx.rsqrt([4.0]).tolist()
    [0.5]
    """

def reciprocal(x: TensorLike) -> Tensor:
    """
    Elementwise: 1 / x. Integers are computed as float32.

    >>> cx.reciprocal([4.0]).tolist()
    [0.25]
    """

def sin(x: TensorLike) -> Tensor:
    """
    Elementwise: The sine of x, in radians. Integers are computed as float32.

    >>> cx.sin([0.0]).tolist()
    [0.0]
    """

def cos(x: TensorLike) -> Tensor:
    """
    Elementwise: The cosine of x, in radians. Integers are computed as float32.

    >>> cx.cos([0.0]).tolist()
    [1.0]
    """

def tan(x: TensorLike) -> Tensor:
    """
    Elementwise: The tangent of x, in radians. Integers are computed as float32.

    >>> cx.tan([0.0]).tolist()
    [0.0]
    """

def asin(x: TensorLike) -> Tensor:
    """
    Elementwise: The angle whose sine is x, in radians. Integers are computed as float32.

    >>> cx.asin([0.0]).tolist()
    [0.0]
    """

def acos(x: TensorLike) -> Tensor:
    """
    Elementwise: The angle whose cosine is x, in radians. Integers are computed as float32.

    >>> cx.acos([1.0]).tolist()
    [0.0]
    """

def atan(x: TensorLike) -> Tensor:
    """
    Elementwise: The angle whose tangent is x, in radians. Integers are computed as float32.

    >>> cx.atan([0.0]).tolist()
    [0.0]
    """

def sinh(x: TensorLike) -> Tensor:
    """
    Elementwise: The hyperbolic sine. Integers are computed as float32.

    >>> cx.sinh([0.0]).tolist()
    [0.0]
    """

def cosh(x: TensorLike) -> Tensor:
    """
    Elementwise: The hyperbolic cosine. Integers are computed as float32.

    >>> cx.cosh([0.0]).tolist()
    [1.0]
    """

def tanh(x: TensorLike) -> Tensor:
    """
    Elementwise: The hyperbolic tangent. Integers are computed as float32.

    >>> cx.tanh([0.0]).tolist()
    [0.0]
    """

def asinh(x: TensorLike) -> Tensor:
    """
    Elementwise: The inverse of sinh. Integers are computed as float32.

    >>> cx.asinh([0.0]).tolist()
    [0.0]
    """

def acosh(x: TensorLike) -> Tensor:
    """
    Elementwise: The inverse of cosh. Integers are computed as float32.

    >>> cx.acosh([1.0]).tolist()
    [0.0]
    """

def atanh(x: TensorLike) -> Tensor:
    """
    Elementwise: The inverse of tanh. Integers are computed as float32.

    >>> cx.atanh([0.0]).tolist()
    [0.0]
    """

def erf(x: TensorLike) -> Tensor:
    """
    Elementwise: The error function (Abramowitz and Stegun 7.1.1). Integers are computed as float32.

    >>> cx.erf([0.0]).tolist()
    [0.0]
    """

def sigmoid(x: TensorLike) -> Tensor:
    """
    Elementwise: 1 / (1 + exp(-x)). Integers are computed as float32.

    >>> cx.sigmoid([0.0]).tolist()
    [0.5]
    """

def softplus(x: TensorLike) -> Tensor:
    """
    Elementwise: log(1 + exp(x)), without overflow. Integers are computed as float32.

    >>> cx.softplus([100.0]).tolist()
    [100.0]
    """

def isnan(x: TensorLike) -> Tensor:
    """
    Elementwise: Is x not a number?

    >>> cx.isnan([1.0, float('nan')]).tolist()
    [False, True]
    """

def isinf(x: TensorLike) -> Tensor:
    """
    Elementwise: Is x infinite?

    >>> cx.isinf([1.0, float('inf')]).tolist()
    [False, True]
    """

def isfinite(x: TensorLike) -> Tensor:
    """
    Elementwise: Is x neither infinite nor NaN?

    >>> cx.isfinite([1.0, float('inf')]).tolist()
    [True, False]
    """

def logical_not(x: TensorLike) -> Tensor:
    """
    Elementwise: Is x zero?

    >>> cx.logical_not([0, 2]).tolist()
    [True, False]
    """

def bitwise_not(x: TensorLike) -> Tensor:
    """
    Elementwise: Every bit flipped; integers and bools.

    >>> cx.bitwise_not([0, 1]).tolist()
    [-1, -2]
    """

def add(a: TensorLike, b: TensorLike) -> Tensor:
    """
    Elementwise, with broadcasting: a + b.

    >>> cx.add([1, 2], [10, 20]).tolist()
    [11, 22]
    """

def subtract(a: TensorLike, b: TensorLike) -> Tensor:
    """
    Elementwise, with broadcasting: a - b.

    >>> cx.subtract([1, 2], 1).tolist()
    [0, 1]
    """

def multiply(a: TensorLike, b: TensorLike) -> Tensor:
    """
    Elementwise, with broadcasting: a · b.

    >>> cx.multiply([1, 2], 3).tolist()
    [3, 6]
    """

def divide(a: TensorLike, b: TensorLike) -> Tensor:
    """
    Elementwise, with broadcasting: a / b; integers are computed as float32.

    >>> cx.divide([1, 3], 2).tolist()
    [0.5, 1.5]
    """

def floor_divide(a: TensorLike, b: TensorLike) -> Tensor:
    """
    Elementwise, with broadcasting: The largest whole number not above a / b; an integer divided by 0 gives 0.

    >>> cx.floor_divide([7, -7], 2).tolist()
    [3, -4]
    """

def remainder(a: TensorLike, b: TensorLike) -> Tensor:
    """
    Elementwise, with broadcasting: a - b · floor_divide(a, b): it has b's sign.

    >>> cx.remainder([7, -7], 3).tolist()
    [1, 2]
    """

def power(a: TensorLike, b: TensorLike) -> Tensor:
    """
    Elementwise, with broadcasting: a to the power b. Raises ValueError for an integer tensor and a negative integer.

    >>> cx.power([2, 3], 3).tolist()
    [8, 27]
    """

def maximum(a: TensorLike, b: TensorLike) -> Tensor:
    """
    Elementwise, with broadcasting: The larger; NaN where there is one.

    >>> cx.maximum([1, 5], 3).tolist()
    [3, 5]
    """

def minimum(a: TensorLike, b: TensorLike) -> Tensor:
    """
    Elementwise, with broadcasting: The smaller; NaN where there is one.

    >>> cx.minimum([1, 5], 3).tolist()
    [1, 3]
    """

def atan2(a: TensorLike, b: TensorLike) -> Tensor:
    """
    Elementwise, with broadcasting: The angle of the point (b, a), in radians.

    >>> cx.atan2([0.0], [1.0]).tolist()
    [0.0]
    """

def equal(a: TensorLike, b: TensorLike) -> Tensor:
    """
    Elementwise, with broadcasting: Is a equal to b?

    >>> cx.equal([1, 2], 2).tolist()
    [False, True]
    """

def not_equal(a: TensorLike, b: TensorLike) -> Tensor:
    """
    Elementwise, with broadcasting: Do a and b differ?

    >>> cx.not_equal([1, 2], 2).tolist()
    [True, False]
    """

def less(a: TensorLike, b: TensorLike) -> Tensor:
    """
    Elementwise, with broadcasting: Is a below b?

    >>> cx.less([1, 2], 2).tolist()
    [True, False]
    """

def less_equal(a: TensorLike, b: TensorLike) -> Tensor:
    """
    Elementwise, with broadcasting: Is a at most b?

    >>> cx.less_equal([1, 3], 2).tolist()
    [True, False]
    """

def greater(a: TensorLike, b: TensorLike) -> Tensor:
    """
    Elementwise, with broadcasting: Is a above b?

    >>> cx.greater([1, 3], 2).tolist()
    [False, True]
    """

def greater_equal(a: TensorLike, b: TensorLike) -> Tensor:
    """
    Elementwise, with broadcasting: Is a at least b?

    >>> cx.greater_equal([1, 2], 2).tolist()
    [False, True]
    """

def logical_and(a: TensorLike, b: TensorLike) -> Tensor:
    """
    Elementwise, with broadcasting: Are both true (not zero)?

    >>> cx.logical_and([True, True], [True, False]).tolist()
    [True, False]
    """

def logical_or(a: TensorLike, b: TensorLike) -> Tensor:
    """
    Elementwise, with broadcasting: Is either true (not zero)?

    >>> cx.logical_or([False, True], [False, False]).tolist()
    [False, True]
    """

def logical_xor(a: TensorLike, b: TensorLike) -> Tensor:
    """
    Elementwise, with broadcasting: Is exactly one true (not zero)?

    >>> cx.logical_xor([True, True], [True, False]).tolist()
    [False, True]
    """

def bitwise_and(a: TensorLike, b: TensorLike) -> Tensor:
    """
    Elementwise, with broadcasting: The bits that both have; integers and bools.

    >>> cx.bitwise_and([6], [3]).tolist()
    [2]
    """

def bitwise_or(a: TensorLike, b: TensorLike) -> Tensor:
    """
    Elementwise, with broadcasting: The bits that either has; integers and bools.

    >>> cx.bitwise_or([6], [3]).tolist()
    [7]
    """

def bitwise_xor(a: TensorLike, b: TensorLike) -> Tensor:
    """
    Elementwise, with broadcasting: The bits that exactly one has; integers and bools.

    >>> cx.bitwise_xor([6], [3]).tolist()
    [5]
    """

abs = absolute

def clip(x: TensorLike, min: TensorLike | None = None, max: TensorLike | None = None) -> Tensor:
    """
    x limited to [min, max]; either may be None. NaN stays NaN.

    >>> cx.clip([-2, 0, 5], 0, 3).tolist()
    [0, 0, 3]
    """

def where(condition: TensorLike, a: TensorLike, b: TensorLike) -> Tensor:
    """
    a where the condition holds, else b; the three broadcast.

    >>> cx.where([True, False], 1, 2).tolist()
    [1, 2]
    """

def astype(x: TensorLike, dtype: DTypeLike) -> Tensor:
    """
    x converted: floats are cut towards zero, integers wrap, as in NumPy.

    >>> cx.astype([1.7, -1.7], "int32").tolist()
    [1, -1]
    """

def reshape(x: TensorLike, shape: ShapeLike) -> Tensor:
    """
    The same elements in another shape; one size may be -1. Raises ShapeError.

    >>> cx.reshape([1, 2, 3, 4], (2, -1)).tolist()
    [[1, 2], [3, 4]]
    """

def transpose(x: TensorLike, axes: AxesLike = None) -> Tensor:
    """
    The axes reversed, or in the order of `axes`.

    >>> cx.transpose([[1, 2], [3, 4]]).tolist()
    [[1, 3], [2, 4]]
    """

def permute(x: TensorLike, axes: Sequence[int]) -> Tensor:
    """
    The axes in another order.

    >>> cx.permute(cx.zeros((2, 3, 4)), (2, 0, 1)).shape
    (4, 2, 3)
    """

def broadcast_to(x: TensorLike, shape: ShapeLike) -> Tensor:
    """
    x repeated to `shape`, by NumPy's rule.

    >>> cx.broadcast_to([1, 2], (2, 2)).tolist()
    [[1, 2], [1, 2]]
    """

def expand_dims(x: TensorLike, axis: int) -> Tensor:
    """
    x with a new axis of size 1 at `axis`.

    >>> cx.expand_dims([1, 2], 0).shape
    (1, 2)
    """

def squeeze(x: TensorLike, axis: AxesLike = None) -> Tensor:
    """
    x without its axes of size 1, or without those named. Raises ShapeError for a larger one.

    >>> cx.squeeze([[1, 2]]).shape
    (2,)
    """

def flip(x: TensorLike, axis: AxesLike = None) -> Tensor:
    """
    The elements in reverse order along the axes (all of them by default).

    >>> cx.flip([1, 2, 3]).tolist()
    [3, 2, 1]
    """

def concatenate(tensors: Sequence[TensorLike], axis: int = 0) -> Tensor:
    """
    The tensors one after another along an axis. Raises ShapeError where they differ beyond it.

    >>> cx.concatenate([[1, 2], [3]]).tolist()
    [1, 2, 3]
    """

def stack(tensors: Sequence[TensorLike], axis: int = 0) -> Tensor:
    """
    The tensors, of one shape, along a new axis.

    >>> cx.stack([[1, 2], [3, 4]], axis=1).tolist()
    [[1, 3], [2, 4]]
    """

def pad(x: TensorLike, widths: Sequence[tuple[int, int]]) -> Tensor:
    """
    x with zeros around it: (before, after) for each axis.

    >>> cx.pad([1, 2], [(1, 0)]).tolist()
    [0, 1, 2]
    """

def sum(x: TensorLike, axis: AxesLike = None, keepdims: bool = False) -> Tensor:
    """
    The sum over `axis`, an axis or several (None: all). Integers and bools give int64.

    >>> cx.sum([[1, 2], [3, 4]], axis=0).tolist()
    [4, 6]
    """

def prod(x: TensorLike, axis: AxesLike = None, keepdims: bool = False) -> Tensor:
    """
    The product over `axis` (None: all). Integers and bools give int64.

    >>> cx.prod([2, 3, 4]).item()
    24
    """

def min(x: TensorLike, axis: AxesLike = None, keepdims: bool = False) -> Tensor:
    """
    The smallest over `axis` (None: all); NaN where there is one. Raises ValueError when empty.

    >>> cx.min([3, 1, 2]).item()
    1
    """

def max(x: TensorLike, axis: AxesLike = None, keepdims: bool = False) -> Tensor:
    """
    The largest over `axis` (None: all); NaN where there is one. Raises ValueError when empty.

    >>> cx.max([[1, 5], [7, 2]], axis=1).tolist()
    [5, 7]
    """

def mean(x: TensorLike, axis: AxesLike = None, keepdims: bool = False) -> Tensor:
    """
    The mean over `axis` (None: all). Integers give float32.

    >>> cx.mean([1, 2, 3, 4]).item()
    2.5
    """

def any(x: TensorLike, axis: AxesLike = None, keepdims: bool = False) -> Tensor:
    """
    Is any element true (not zero) over `axis` (None: all)?

    >>> cx.any([0, 0, 3]).item()
    True
    """

def all(x: TensorLike, axis: AxesLike = None, keepdims: bool = False) -> Tensor:
    """
    Is every element true (not zero) over `axis` (None: all)?

    >>> cx.all([1, 0, 3]).item()
    False
    """

def logsumexp(x: TensorLike, axis: AxesLike = None, keepdims: bool = False) -> Tensor:
    """
    log(sum(exp(x))) over `axis` (None: all), without overflow.

    >>> round(cx.logsumexp([1000.0, 1000.0]), 3)
    1000.693
    """

def var(x: TensorLike, axis: AxesLike = None, keepdims: bool = False, ddof: float = 0.0) -> Tensor:
    """
    The variance over `axis` (None: all): squared distances from the mean over n - ddof.

    >>> cx.var([1.0, 3.0]).item()
    1.0
    """

def std(x: TensorLike, axis: AxesLike = None, keepdims: bool = False, ddof: float = 0.0) -> Tensor:
    """
    The standard deviation over `axis` (None: all), the root of var().

    >>> cx.std([1.0, 3.0]).item()
    1.0
    """

def argmax(x: TensorLike, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """
    The index of the first largest (the first NaN) along an axis, or in all.

    >>> cx.argmax([1, 9, 9]).item()
    1
    """

def argmin(x: TensorLike, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """
    The index of the first smallest (the first NaN) along an axis, or in all.

    >>> cx.argmin([4, 0, 2]).item()
    1
    """

def matmul(a: TensorLike, b: TensorLike) -> Tensor:
    """
    The matrix product, as NumPy's: 1-D operands are vectors, leading axes broadcast.

    Raises ShapeError when the inner sizes differ.

    >>> cx.matmul([[1, 2], [3, 4]], [1, 1]).tolist()
    [3, 7]
    """

dot = matmul

def softmax(x: TensorLike, axis: int = -1) -> Tensor:
    """
    exp(x) scaled to sum to 1 along `axis`.

    >>> cx.softmax([0.0, 0.0]).tolist()
    [0.5, 0.5]
    """

def log_softmax(x: TensorLike, axis: int = -1) -> Tensor:
    """
    The logarithm of softmax(x), computed without overflow.

    >>> round(cx.log_softmax([0.0, 0.0])[0], 4)
    -0.6931
    """

def take(x: TensorLike, indices: TensorLike, axis: int = 0) -> Tensor:
    """
    The slices of x along `axis` at integer `indices`; negative ones count from the end.

    An index outside raises IndexError when the result is read.

    >>> cx.take([10, 20, 30], [2, 0]).tolist()
    [30, 10]
    """

def conv2d(x: TensorLike, w: TensorLike, stride: ShapeLike = 1, padding: ShapeLike = 0, dilation: ShapeLike = 1) -> Tensor:
    """
    Cross-correlation of images [N, C, H, W] with filters [O, C, kh, kw]: [N, O, H', W'].

    H' = (H + 2·padding − dilation·(kh − 1) − 1) / stride + 1, rounded down. Raises ShapeError.

    >>> cx.conv2d(cx.ones((1, 1, 3, 3)), cx.ones((1, 1, 2, 2))).shape
    (1, 1, 2, 2)
    """

def max_pool2d(x: TensorLike, kernel: ShapeLike, stride: ShapeLike | None = None, padding: ShapeLike = 0) -> Tensor:
    """
    The largest of each window of images [N, C, H, W]; the stride is the window by default.

    >>> cx.max_pool2d(cx.ones((1, 1, 4, 4)), 2).shape
    (1, 1, 2, 2)
    """

def avg_pool2d(x: TensorLike, kernel: ShapeLike, stride: ShapeLike | None = None, padding: ShapeLike = 0) -> Tensor:
    """
    The mean of each window of images [N, C, H, W]; padding is not counted.

    >>> cx.avg_pool2d(cx.ones((1, 1, 4, 4)), 2).sum().item()
    4.0
    """

def random_uniform(shape: ShapeLike, low: float = 0.0, high: float = 1.0, dtype: DTypeLike = 'float32') -> Tensor:
    """Numbers from [low, high), all equally likely."""

def random_normal(shape: ShapeLike, mean: float = 0.0, std: float = 1.0, dtype: DTypeLike = 'float32') -> Tensor:
    """Normally distributed numbers."""

def random_bernoulli(p: TensorLike, shape: ShapeLike) -> Tensor:
    """True with probability p."""

def random_permutation(n: int) -> Tensor:
    """0 … n-1 in random order, int64."""

def random_randint(low: int, high: int, shape: ShapeLike) -> Tensor:
    """Integers from [low, high), int64."""

def random_seed(seed: int) -> None:
    """Starts the generator anew."""

def random_state() -> tuple[int, int]:
    """(seed, stream): the next stream that is drawn."""

def random_set_state(seed: int, stream: int) -> None:
    """Goes on from a state that random_state() gave."""

def watch(x: Tensor) -> Tensor:
    """
    The same value as a fresh tensor that derivatives can be taken to; what is computed from it
    stays differentiable after it was evaluated.
    """

def stop_gradient(x: TensorLike) -> Tensor:
    """
    The same value, through which no gradient flows.

    >>> cx.grad(lambda x: x * cx.stop_gradient(x))(cx.Tensor(3.0)).item()
    3.0
    """

def grad(output: Tensor, inputs: Sequence[Tensor], seed: Tensor | None = None) -> list[Tensor]:
    """
    The gradients of `output`, weighted by `seed` (1 for a 0-d output), to each of `inputs`; zeros
    to those it does not depend on. Raises ShapeError or DTypeError.
    """

class Tracing:
    """
    While it is active on this thread, operations are recorded for a Program: nothing is
    evaluated on its own, and random streams are inputs.
    """

    def __init__(self) -> None: ...

    def __enter__(self) -> Tracing: ...

    def __exit__(self, *args: object) -> None: ...

    @property
    def random_streams(self) -> int:
        """How many random streams the trace draws."""

def placeholder(shape: ShapeLike, dtype: DTypeLike, weak: bool = False, device: Device | None = None) -> Tensor:
    """A value that a trace does not have yet; weak: a Python number."""

def is_same(a: Tensor, b: Tensor) -> bool:
    """Do two handles hold one value, whatever it is?"""

class Program:
    """
    A traced function of tensors, compiled once, run many times.

    `inputs` are placeholders, `outputs` were computed from them under `tracing`.
    """

    def __init__(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor], tracing: Tracing, donated: Sequence[bool] = ...) -> None: ...

    def __call__(self, arguments: Sequence[Tensor | float]) -> list[Tensor]:
        """
        The outputs for these inputs. A donated argument's tensor is left without a value.
        """

    def repeat(self, arguments: Sequence[Tensor | float], counter: int, step: int, times: int, seconds: float) -> tuple[list[Tensor], int]:
        """
        The outputs after many runs, and their number. Each run's outputs are the next one's last
        arguments, and the argument at `counter` grows by `step`. No run begins after `times` of
        them, or, but for the first, when `seconds` have passed.
        """

    @property
    def steps(self) -> list[str]:
        """One line for each step that runs."""

def plain_signature(arguments: tuple[Any, ...], leaves: list[Any]) -> bytes | None:
    """
    A key for arguments that are tensors and numbers, which are appended to leaves; else None.
    """

def evaluate(tensors: Sequence[Tensor]) -> None:
    """Evaluates them together: what they share is computed once."""

def cache_stats() -> dict[str, int]:
    """
    How many Programs the structural cache holds, and how often it had the one that was needed.
    """

bool_: DType
