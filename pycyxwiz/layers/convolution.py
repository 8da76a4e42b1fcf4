"""Conv2D: learned filters that slide over images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pycyxwiz import _core
from pycyxwiz._config import register
from pycyxwiz.layers import _initializers
from pycyxwiz.layers._checks import count, pair
from pycyxwiz.layers._images import check_images, window_shape
from pycyxwiz.layers.activations import Activated

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycyxwiz._core import Tensor
    from pycyxwiz.layers._layer import PartialShape
    from pycyxwiz.layers.activations import Activation

    _Window = tuple[tuple[int, int], tuple[int, int], tuple[int, int], list[tuple[int, int]]]


@register
class Conv2D(Activated):
    """A two-dimensional convolution (cross-correlation, as everywhere in neural networks).

    Parameters
    ----------
    in_channels, out_channels : channels of the input and of the output.
    kernel_size, stride, dilation : a number, or a pair (vertical, horizontal).
    padding : zeros added on each side, a number or a pair; or "valid" for none, or "same" for as
        many as keep ceil(size / stride), one more at the bottom and right where they are uneven.
    activation : as for ``Dense``.
    bias : whether a bias is added to each channel.
    init : as for ``Dense``; ``weight`` is Glorot uniform by default, the bias starts at 0.

    Takes images [N, in_channels, H, W] and gives [N, out_channels, H', W'], where H' = (H + padding
    - dilation·(kernel - 1) - 1) // stride + 1. The parameters are ``weight`` [out_channels,
    in_channels, kernel, kernel] and ``bias`` [out_channels], float32; an input of another dtype is
    cast to it.

    >>> layer = cx.layers.Conv2D(1, 32, 3, padding="same", activation="relu")
    >>> layer(cx.zeros([8, 1, 28, 28])).shape()
    [8, 32, 28, 28]
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] | str = 0,
        *,
        dilation: int | tuple[int, int] = 1,
        activation: Activation = None,
        bias: bool = True,
        init: str = "glorot_uniform",
    ) -> None:
        self.in_channels = count(self, "in_channels", in_channels)
        self.out_channels = count(self, "out_channels", out_channels)
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = padding
        self.dilation = dilation
        self.activation = activation
        kernel, *_ = self._window()
        area = kernel[0] * kernel[1]
        self.weight = _initializers.draw(
            init,
            (self.out_channels, self.in_channels, *kernel),
            self.in_channels * area,
            self.out_channels * area,
        )
        self.bias = _core.zeros([self.out_channels]) if bias else None

    def forward_logits(self, x: Tensor) -> Tensor:
        self.output_shape(tuple(x.shape))
        weight, bias = self.weight, self.bias
        _, stride, dilation, sides = self._window(x.shape[2:])
        x = _core.astype(x, weight.dtype)
        if any(before != after for before, after in sides):
            x = _core.pad(x, [(0, 0), (0, 0), *sides])
            sides = [(0, 0), (0, 0)]
        y = _core.conv2d(x, weight, stride, (sides[0][0], sides[1][0]), dilation)
        return y if bias is None else y + _core.reshape(bias, [self.out_channels, 1, 1])

    def output_shape(self, shape: PartialShape) -> PartialShape:
        check_images(self, shape, self.in_channels)
        sizes: tuple[Any, ...] = (None, None) if shape[0] is ... else shape[2:]
        kernel, stride, dilation, sides = self._window(sizes)
        padded = [
            size + sum(side) if isinstance(size, int) else None
            for size, side in zip(sizes, sides, strict=True)
        ]
        extents = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
        batch = None if shape[0] is ... else shape[0]
        return (batch, self.out_channels, *window_shape(self, shape, padded, extents, stride))

    def _window(self, sizes: Sequence[int | None] = (None, None)) -> _Window:
        """Kernel, stride and dilation as pairs, and the zeros around an image of those sizes."""
        kernel = pair(self, "kernel_size", self.kernel_size)
        stride = pair(self, "stride", self.stride)
        dilation = pair(self, "dilation", self.dilation)
        if not isinstance(self.padding, str):
            sides = [(extra, extra) for extra in pair(self, "padding", self.padding, least=0)]
        elif self.padding == "valid":
            sides = [(0, 0), (0, 0)]
        elif self.padding == "same":
            extents = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
            sides = [_same(*axis) for axis in zip(sizes, extents, stride, strict=True)]
        else:
            raise ValueError(
                f'Conv2D: padding must be a number, a pair, "same" or "valid", got {self.padding!r}'
            )
        return kernel, stride, dilation, sides


def _same(size: int | None, extent: int, stride: int) -> tuple[int, int]:
    """The zeros before and after an axis that leave ceil(size / stride) places for the window."""
    if size is None:
        return 0, 0
    total = max((-(-size // stride) - 1) * stride + extent - size, 0)
    return total // 2, total - total // 2
