"""Devices: where tensors live and programs run."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from pycyxwiz import _core

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pycyxwiz._core import Device

__all__ = ["device", "get_devices", "set_device"]


def get_devices() -> list[Device]:
    """The devices of this machine; each has ``name``, ``kind``, ``index`` and ``memory_gb``.

    >>> [device.kind for device in cx.get_devices()][0]
    'cpu'
    """
    return _core.devices()


def set_device(name: str | Device) -> None:
    """Chooses where new tensors are made: "cpu", "cpu:0", or a device of ``get_devices``.

    Raises ``DeviceError`` for one that isn't there, with those that are; the choice then stays as
    it was.

    >>> cx.set_device("cpu")
    """
    _core.set_default_device(str(name))


@contextmanager
def device(name: str | Device) -> Iterator[Device]:
    """Makes new tensors on a device for the length of a ``with`` block; blocks may be nested.

    Raises ``DeviceError`` for a device that isn't there.

    >>> with cx.device("cpu"):
    ...     print(cx.Tensor([1.0]).device())
    CPU
    """
    before = _core.default_device()
    set_device(name)
    try:
        yield _core.default_device()
    finally:
        _core.set_default_device(str(before))
