"""What ``Tensor.shape`` is: a tuple that can also be called, as the first scripts did."""

from __future__ import annotations

from typing import Any


class Shape(tuple[int, ...]):
    """The sizes of a tensor's axes: a tuple; calling it gives a list.

    >>> cx.Tensor([[1, 2, 3]]).shape
    (1, 3)
    >>> cx.Tensor([[1, 2, 3]]).shape()
    [1, 3]
    """

    __slots__ = ()

    def __call__(self) -> list[int]:
        return list(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return (Shape, (tuple(self),))
