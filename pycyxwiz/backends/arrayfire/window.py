"""Convolution and pooling: windows are laid out as a matrix, and come back by their sum.

An image [N, C, H, W] has the dims (W, H, C, N). ``_windows`` gives (L, K, C, N): L windows of K
elements each, so that a convolution is a matrix product over K and C, and pooling a reduction over
K. ``_unwindows`` is its transpose, which is all that gradients need.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, prod
from typing import TYPE_CHECKING

import numpy as np

from pycyxwiz.backends.arrayfire.array import Array, select
from pycyxwiz.backends.arrayfire.layout import dims_of
from pycyxwiz.backends.arrayfire.structure import first_extreme

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycyxwiz.backends.arrayfire.layout import Dims
    from pycyxwiz.backends.arrayfire.step import Step

__all__ = ["WINDOW"]

_TRANSPOSED = 1  # AF_MAT_TRANS


@dataclass(frozen=True)
class _Window:
    """The attributes of a window op, in ArrayFire's order: (horizontal, vertical)."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    image: tuple[int, int]

    @classmethod
    def of(cls, step: Step, image: Dims) -> _Window:
        kh, kw, sh, sw, ph, pw, dh, dw = step.attributes[:8]
        return cls((kw, kh), (sw, sh), (pw, ph), (dw, dh), (image[3], image[2]))

    @property
    def reach(self) -> tuple[int, int]:
        """What a window covers, gaps of a dilation and all."""
        kx, ky = ((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilation, strict=True))
        return kx, ky

    @property
    def counts(self) -> tuple[int, int]:
        """How many windows there are."""
        nx, ny = (
            (size + 2 * p - r) // s + 1
            for size, p, r, s in zip(self.image, self.padding, self.reach, self.stride, strict=True)
        )
        return nx, ny

    @property
    def is_dilated(self) -> bool:
        return self.dilation != (1, 1)


def _padded(x: Array, padding: tuple[int, int], fill: float) -> Array:
    for axis, width in enumerate(padding):
        if width:
            dims = list(x.dims)
            dims[axis] += 2 * width
            x = x.place.constant(fill, tuple(dims), x.dtype).put(axis, width, 1, x)
    return x


def _windows(x: Array, w: _Window, fill: float = 0) -> Array:
    """The windows of images (W, H, C, N) as (L, K, C, N); `fill` is what they find outside."""
    (rx, ry), (px, py) = w.reach, w.padding
    if fill != 0 or px >= rx or py >= ry:  # what ArrayFire's unwrap can't pad itself
        x, px, py = _padded(x, w.padding, fill), 0, 0
    size = w.counts[0] * w.counts[1]
    dims = (size, rx * ry, *x.dims[2:])
    result = x.place.make(
        "unwrap", dims, x.dtype, x.handle, rx, ry, w.stride[0], w.stride[1], px, py, False
    )
    if not w.is_dilated:
        return result
    channels = prod(x.dims[2:])
    result = result.view((size, rx, ry, channels))
    for axis, (k, d) in enumerate(zip(w.kernel, w.dilation, strict=True)):
        result = result.take(axis + 1, 0, d, k)
    return result.view((size, prod(w.kernel), *x.dims[2:]))


def _unwindows(u: Array, w: _Window) -> Array:
    """Images (W, H, C, N) in which each element is the sum of its places in the windows."""
    (rx, ry), (width, height), (px, py) = w.reach, w.image, w.padding
    size, _, c, n = u.dims
    if w.is_dilated:  # zeros into the gaps
        blank = u.place.constant(0, (size, rx, w.kernel[1], c * n), u.dtype)
        u = blank.put(1, 0, w.dilation[0], u.view((size, *w.kernel, c * n)))
        blank = u.place.constant(0, (size, rx, ry, c * n), u.dtype)
        u = blank.put(2, 0, w.dilation[1], u)
    u = u.view((size, rx * ry, c, n))
    return u.place.make(
        "wrap", (width, height, c, n), u.dtype, u.handle,
        width, height, rx, ry, w.stride[0], w.stride[1], px, py, False,
    )  # fmt: skip


def _dims4(shape: Dims) -> tuple[int, int, int, int]:
    """All four, those of size 1 that end them too."""
    a, b, c, d = reversed(shape)
    return a, b, c, d


def _product(a: Array, b: Array, dims: Dims, *transposed: int) -> Array:
    return a.place.make("matmul", dims, a.dtype, a.handle, b.handle, *transposed)


def _conv2d(step: Step, x: Array, w: Array) -> Array:
    window = _Window.of(step, step.shapes[0])
    n, o, *_ = step.shape
    windows = _windows(x.view(_dims4(step.shapes[0])), window)
    size, k, c, _ = windows.dims
    product = _product(windows.view((size, k * c, n)), w.view((k * c, o)), (size, o, n), 0, 0)
    return product.view(dims_of(step.shape))


def _conv2d_input_grad(step: Step, g: Array, w: Array) -> Array:
    window = _Window.of(step, step.shape)
    n, c, *_ = step.shape
    o, k, size = step.shapes[1][0], prod(window.kernel), prod(window.counts)
    product = _product(g.view((size, o, n)), w.view((k * c, o)), (size, k * c, n), 0, _TRANSPOSED)
    return _unwindows(product.view((size, k, c, n)), window).view(dims_of(step.shape))


def _conv2d_weight_grad(step: Step, x: Array, g: Array) -> Array:
    window = _Window.of(step, step.shapes[0])
    windows = _windows(x.view(_dims4(step.shapes[0])), window)
    size, k, c, n = windows.dims
    o = step.shape[0]
    # One product over all windows of all images: they come together as rows.
    left = windows.view((size, k * c, n)).reorder((0, 2, 1)).view((size * n, k * c))
    right = g.view((size, o, n)).reorder((0, 2, 1)).view((size * n, o))
    return _product(left, right, (k * c, o), _TRANSPOSED, 0).view(dims_of(step.shape))


def _inside(x: Array, window: _Window) -> Array | None:
    """Which elements of the windows (L, K, C, N) are inside the image; None: all."""
    if window.padding == (0, 0):
        return None
    one = x.place.constant(1, (*window.image, 1, 1), "float32")
    return (_windows(one, window) != 0).tile((1, 1, *x.dims[2:]))


def _max_pool2d(step: Step, x: Array) -> Array:
    x = x.view(_dims4(step.shapes[0]))
    windows = _windows(x, _Window.of(step, step.shapes[0]), fill=-inf)
    largest = windows.reduce("max", 1)
    has_nan = windows.map("isnan", "bool").reduce("any_true", 1)
    return select(has_nan, float("nan"), largest).view(dims_of(step.shape))


def _choice(step: Step, x: Array) -> Array:
    """Where in its window (L, K, C, N) the first maximum is: true at one of K."""
    x = x.view(_dims4(step.shapes[0]))
    window = _Window.of(step, step.shapes[0])
    windows = _windows(x, window)
    first = first_extreme(windows, 1, "max", _inside(x, window))
    return windows.place.positions(windows.dims, 1) == first.tile_to(windows.dims)


def _max_pool2d_grad(step: Step, x: Array, g: Array) -> Array:
    window = _Window.of(step, step.shape)
    choice = _choice(step, x)
    size, _, c, n = choice.dims
    spread = select(choice, g.view((size, 1, c, n)).tile_to(choice.dims), 0)
    return _unwindows(spread, window).view(dims_of(step.shape))


def _max_pool2d_pick(step: Step, x: Array, v: Array) -> Array:
    windows = _windows(v.view(_dims4(step.shapes[0])), _Window.of(step, step.shapes[0]))
    picked = select(_choice(step, x), windows, 0)
    return picked.reduce("sum", 1).view(dims_of(step.shape))


def _elements_inside(step: Step, image: Dims) -> Array:
    """How many elements of each window (L, 1, 1, 1) are inside the image."""
    window = _Window.of(step, image)
    taps = []
    for size, k, s, p, count in zip(
        window.image, window.kernel, window.stride, window.padding, window.counts, strict=True
    ):
        start = np.arange(count) * s - p
        taps.append(np.minimum(start + k, size) - np.maximum(start, 0))
    inside = np.outer(taps[1], taps[0]).astype(step.dtype)
    return step.place.from_numpy(inside, (inside.size, 1, 1, 1))


def _avg_pool2d(step: Step, x: Array) -> Array:
    x = x.view(_dims4(step.shapes[0]))
    window = _Window.of(step, step.shapes[0])
    inside = _elements_inside(step, step.shapes[0])
    total = _windows(x, window).reduce("sum", 1)
    return (total / inside.tile_to(total.dims)).view(dims_of(step.shape))


def _avg_pool2d_grad(step: Step, g: Array) -> Array:
    window = _Window.of(step, step.shape)
    n, c, *_ = step.shape
    size = prod(window.counts)
    share = g.view((size, 1, c, n))
    share = share / _elements_inside(step, step.shape).tile_to(share.dims)
    spread = share.tile((1, prod(window.kernel), 1, 1))
    return _unwindows(spread, window).view(dims_of(step.shape))


WINDOW: dict[str, Callable[..., Array]] = {
    "conv2d": _conv2d,
    "conv2d_input_grad": _conv2d_input_grad,
    "conv2d_weight_grad": _conv2d_weight_grad,
    "max_pool2d": _max_pool2d,
    "max_pool2d_grad": _max_pool2d_grad,
    "max_pool2d_pick": _max_pool2d_pick,
    "avg_pool2d": _avg_pool2d,
    "avg_pool2d_grad": _avg_pool2d_grad,
}
