"""Examples on their way to the device that computes: at once where they fit, else in parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycyxwiz import _core, devices

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pycyxwiz._core import Device, Tensor

# The share of a device's free memory that examples may take: the rest is for what is computed.
_SHARE = 0.5


class Feed:
    """The examples (x, y) of a training or an evaluation, for a device.

    ``parts`` gives them in whole batches, as tensors of the device, in any order. They are moved
    when the first part is asked for; examples that don't fit are moved anew in every epoch.
    ``beside`` is a feed whose examples lie there at the same time.
    """

    def __init__(
        self,
        examples: tuple[Tensor, Tensor],
        device: Device,
        batch_size: int,
        *,
        beside: Feed | None = None,
    ) -> None:
        self._examples, self._device = examples, device
        self.count = len(examples[0])
        self._rows = self.count  # of a part
        self._bytes = sum(tensor.nbytes for tensor in examples if tensor.device != device)
        if self._bytes and device.kind != "cpu":
            free = int(_core.memory_stats(device)["free"] * _SHARE)
            free -= beside._bytes if beside is not None else 0
            if self._bytes > free:
                # Two parts are there at a time: one that is computed with, one that arrives.
                row = self._bytes // self.count
                self._rows = max(free // 2 // (row * batch_size), 1) * batch_size
                self._bytes = 2 * self._rows * row

    @property
    def fits(self) -> bool:
        """Whether all examples lie on the device at a time."""
        return self._rows >= self.count

    def parts(
        self, order: Tensor | None = None
    ) -> Iterator[tuple[tuple[Tensor, Tensor], Tensor, int]]:
        """(x, y), the order of their rows, and how many there are; in all, ``order``."""
        if self.fits:
            x, y = self._examples = self._moved(self._examples)
            yield (x, y), _core.arange(self.count) if order is None else order, self.count
            return
        for start in range(0, self.count, self._rows):
            count = min(self._rows, self.count - start)
            yield self._moved(self._part(order, start, count)), _core.arange(count), count

    def _part(self, order: Tensor | None, start: int, count: int) -> tuple[Tensor, Tensor]:
        """Rows gathered by the CPU."""
        x, y = self._examples
        if order is None:
            return x[start : start + count], y[start : start + count]
        with devices.device("cpu"):
            rows = order.to("cpu")[start : start + count]
            return _core.take(x, rows), _core.take(y, rows)

    def _moved(self, examples: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        x, y = examples
        return x.to(self._device), y.to(self._device)
