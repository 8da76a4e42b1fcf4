"""Flatten: every axis but the first becomes one."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from pycyxwiz import _core
from pycyxwiz._config import register
from pycyxwiz.layers._layer import InputShapeError, Layer

if TYPE_CHECKING:
    from pycyxwiz._core import Tensor
    from pycyxwiz.layers._layer import PartialShape


@register
class Flatten(Layer):
    """[N, a, b, …] → [N, a·b·…]: between convolutions and dense layers.

    >>> cx.layers.Flatten()(cx.zeros([32, 8, 5, 5])).shape()
    [32, 200]
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim == 0:
            raise InputShapeError(self, (), "[N, ...]")
        return _core.reshape(x, [x.shape[0], prod(x.shape[1:])])

    def output_shape(self, shape: PartialShape) -> PartialShape:
        if not shape:
            raise InputShapeError(self, shape, "[N, ...]")
        if shape[0] is ...:
            return (None, None)
        sizes = [size for size in shape[1:] if isinstance(size, int)]
        return (shape[0], prod(sizes) if len(sizes) == len(shape) - 1 else None)
