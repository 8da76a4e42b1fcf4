"""Shape arithmetic that convolution and pooling share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pycyxwiz.layers._layer import InputShapeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycyxwiz.layers._layer import Layer, PartialShape


def check_images(layer: Layer, shape: PartialShape, channels: int | None = None) -> None:
    """Refuses what can't be [N, channels, H, W]."""
    known = len(shape) == 4 or (len(shape) > 0 and shape[0] is ...)
    got = shape[1] if len(shape) == 4 else None
    if not known or (channels is not None and isinstance(got, int) and got != channels):
        needs = f"[N, {'C' if channels is None else channels}, H, W]"
        if len(shape) == 4 and shape[3] == channels:
            needs += "; move the channels from the last place with transpose(0, 3, 1, 2)"
        elif len(shape) == 3 and channels in (None, 1):
            needs += "; add the channel axis with expand_dims(1)"
        raise InputShapeError(layer, shape, needs)


def window_shape(
    layer: Layer,
    shape: PartialShape,
    padded: Sequence[Any],
    extents: Sequence[int],
    stride: tuple[int, int],
) -> tuple[int | None, int | None]:
    """How many windows of ``extents`` fit into each padded size, where it is known."""
    fit = []
    for size, extent, step in zip(padded, extents, stride, strict=True):
        if size is not None and size < extent:
            raise InputShapeError(
                layer, shape, f"images of at least {extents[0]} × {extents[1]}, padding included"
            )
        fit.append(None if size is None else (size - extent) // step + 1)
    return fit[0], fit[1]
