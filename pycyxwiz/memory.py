"""Memory of tensors: how much is in use on a device, and giving the rest back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycyxwiz import _core, devices

if TYPE_CHECKING:
    from pycyxwiz._core import Device

__all__ = ["empty_cache", "stats"]


def stats(device: str | Device | None = None) -> dict[str, int]:
    """Bytes: ``allocated`` to tensors, the ``peak`` of that, ``cached`` for reuse, and ``free``.

    Parameters
    ----------
    device : a device or its name; by default the one on which new tensors are made.

    >>> sorted(cx.memory.stats("cpu"))
    ['allocated', 'cached', 'free', 'peak']
    """
    return _core.memory_stats(_device(device))


def empty_cache(device: str | Device | None = None) -> None:
    """Gives cached memory back, as far as the device's engine can.

    >>> cx.memory.empty_cache()
    """
    _core.empty_cache(_device(device))


def _device(device: str | Device | None) -> Device:
    return _core.default_device() if device is None else devices.get_device(device)
