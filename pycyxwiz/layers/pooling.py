"""MaxPool2D and AvgPool2D: images made smaller, window by window."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pycyxwiz import _core
from pycyxwiz._config import register
from pycyxwiz.layers._checks import pair
from pycyxwiz.layers._images import check_images, window_shape
from pycyxwiz.layers._layer import Layer

if TYPE_CHECKING:
    from pycyxwiz._core import Tensor
    from pycyxwiz.layers._layer import PartialShape


class _Pool2D(Layer):
    def __init__(
        self,
        kernel_size: int | tuple[int, int] = 2,
        stride: int | tuple[int, int] | None = None,
        padding: int | tuple[int, int] = 0,
    ) -> None:
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = padding
        self._window()

    def _window(self) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
        """Kernel, stride and padding as pairs."""
        kernel = pair(self, "kernel_size", self.kernel_size)
        stride = kernel if self.stride is None else pair(self, "stride", self.stride)
        padding = pair(self, "padding", self.padding, least=0)
        if any(2 * p > k for p, k in zip(padding, kernel, strict=True)):
            raise ValueError(
                f"{type(self).__name__}: padding {padding} is more than half of the window "
                f"{kernel}: some windows would hold nothing else"
            )
        return kernel, stride, padding

    def output_shape(self, shape: PartialShape) -> PartialShape:
        check_images(self, shape)
        kernel, stride, padding = self._window()
        sizes: tuple[Any, ...] = (None, None) if shape[0] is ... else shape[2:]
        padded = [
            size + 2 * extra if isinstance(size, int) else None
            for size, extra in zip(sizes, padding, strict=True)
        ]
        batch, channels = (None, None) if shape[0] is ... else shape[:2]
        return (batch, channels, *window_shape(self, shape, padded, kernel, stride))


@register
class MaxPool2D(_Pool2D):
    """The largest value in each window.

    Parameters
    ----------
    kernel_size : the window, a number or a pair (vertical, horizontal).
    stride : how far windows are apart; None for ``kernel_size``, so that they tile the image.
    padding : rows and columns added on each side, which never win; at most half of the window.

    Takes images [N, C, H, W] and gives [N, C, H', W'], where H' = (H + 2·padding - kernel) //
    stride + 1.

    >>> cx.layers.MaxPool2D()(cx.zeros([8, 32, 28, 28])).shape()
    [8, 32, 14, 14]
    """

    def forward(self, x: Tensor) -> Tensor:
        self.output_shape(tuple(x.shape))
        return _core.max_pool2d(x, *self._window())


@register
class AvgPool2D(_Pool2D):
    """The mean of each window; padding is not counted in it.

    Parameters and shapes are those of ``MaxPool2D``.

    >>> cx.layers.AvgPool2D()(cx.ones([1, 1, 2, 2])).tolist()
    [[[[1.0]]]]
    """

    def forward(self, x: Tensor) -> Tensor:
        self.output_shape(tuple(x.shape))
        return _core.avg_pool2d(x, *self._window())
