"""Random tensors from one counter-based generator (Philox).

The same seed gives the same numbers on any number of threads. Each call draws the next stream, also
inside a compiled function, at every one of its runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pycyxwiz import _core
from pycyxwiz._core import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    Shape = int | Sequence[int]

__all__ = ["bernoulli", "normal", "permutation", "randint", "seed", "uniform"]


def seed(n: int) -> None:
    """Starts the generator anew: what follows is the same after the same seed.

    >>> cx.random.seed(7)
    >>> first = cx.random.normal([3]).tolist()
    >>> cx.random.seed(7)
    >>> cx.random.normal([3]).tolist() == first
    True
    """
    if not hasattr(n, "__index__") or not 0 <= n < 2**64:
        raise ValueError(f"seed: it takes whole numbers from 0 to 2**64 - 1, got {n!r}")
    _core.random_seed(n)


def uniform(
    shape: Shape = (), low: float = 0.0, high: float = 1.0, *, dtype: Any = _core.float32
) -> Tensor:
    """Numbers spread evenly over [low, high).

    >>> x = cx.random.uniform([1000], -1, 1)
    >>> bool((cx.abs(x) <= 1).all())
    True
    """
    return _core.random_uniform(_shape(shape), low, high, dtype=dtype)


def normal(
    shape: Shape = (), mean: float = 0.0, std: float = 1.0, *, dtype: Any = _core.float32
) -> Tensor:
    """Numbers of the normal distribution.

    >>> cx.random.normal([2, 3]).shape()
    [2, 3]
    """
    return _core.random_normal(_shape(shape), mean, std, dtype=dtype)


def bernoulli(p: float = 0.5, shape: Shape = ()) -> Tensor:
    """True with probability ``p``, else False.

    >>> str(cx.random.bernoulli(0.3, [4]).dtype)
    'bool'
    """
    return _core.random_bernoulli(p, _shape(shape))


def randint(low: int, high: int, shape: Shape = ()) -> Tensor:
    """Whole numbers, int64, each in [low, high) with the same probability.

    >>> x = cx.random.randint(0, 6, [100])
    >>> 0 <= x.min().item() <= x.max().item() < 6
    True
    """
    return _core.random_randint(low, high, _shape(shape))


def permutation(n: int | Tensor) -> Tensor:
    """The numbers 0 to n - 1 in random order, int64; a tensor's rows in random order.

    >>> sorted(cx.random.permutation(5).tolist())
    [0, 1, 2, 3, 4]
    """
    if isinstance(n, Tensor):
        return _core.take(n, _core.random_permutation(n.shape[0]))
    return _core.random_permutation(n)


def _shape(shape: Shape) -> Sequence[int]:
    return (shape,) if isinstance(shape, int) else shape
