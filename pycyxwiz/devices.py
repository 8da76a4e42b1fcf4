"""Devices: where tensors live and programs run.

A device is named by its kind and number: "cpu", "cuda:0", "rocm:1", "tpu:0", "xla:cpu", "opencl:0".
"cuda" is "cuda:0"; "gpu" the first GPU of any kind; "auto" the best device there is; "xla" or
"arrayfire" the best that engine has. An engine is imported when a device of its is asked for.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from pycyxwiz import _core
from pycyxwiz._core import Device, DeviceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pycyxwiz.backends import Engine

__all__ = ["device", "get_device", "get_devices", "set_device"]

_GPUS = ("cuda", "rocm", "oneapi", "opencl")
_BEST_FIRST = (*_GPUS, "tpu")


def get_devices(*, probe: bool = False) -> list[Device]:
    """The devices of this machine; each has ``name``, ``kind``, ``index`` and ``memory_gb``.

    Engines that are not in use yet are imported only where both their software and a device of
    theirs seem to be there; ``probe=True`` imports every one that is installed, and lists its
    devices ("xla:cpu", say) too.

    >>> [device.kind for device in cx.get_devices()][0]
    'cpu'
    """
    from pycyxwiz import backends

    for engine in backends.engines():
        if backends.is_loaded(engine) or not (probe or engine.is_likely()):
            continue
        try:
            backends.load(engine)
        except Exception as error:
            if not probe:
                _warn(engine, error)
    return _core.devices()


def set_device(name: str | Device, *, backend: str | None = None) -> None:
    """Chooses where new tensors are made, for the process; inside ``with cx.device``, for the rest
    of the block.

    Parameters
    ----------
    name : "cpu", "cuda:0", "cuda", "gpu", "auto", …, or a device of ``get_devices``.
    backend : which engine, where several serve that kind: "xla" (asked first) or "arrayfire".

    Raises ``DeviceError`` for one that isn't there, with those that are; the choice then stays as
    it was.

    >>> cx.set_device("cpu")
    """
    chosen = get_device(name, backend=backend)
    if _core.thread_device() is None:
        _core.set_default_device(chosen)
    else:
        _core.set_thread_device(chosen)


@contextmanager
def device(name: str | Device, *, backend: str | None = None) -> Iterator[Device]:
    """Makes this thread's new tensors on a device for the length of a ``with`` block; blocks nest.

    Parameters and errors are those of ``set_device``.

    >>> with cx.device("cpu"):
    ...     print(cx.Tensor([1.0]).device())
    CPU
    """
    before = _core.thread_device()
    chosen = get_device(name, backend=backend)
    _core.set_thread_device(chosen)
    try:
        yield chosen
    finally:
        _core.set_thread_device(before)


def get_device(name: str | Device, *, backend: str | None = None) -> Device:
    """The device of that name; loads the engine that serves it.

    Raises ``DeviceError``, with the devices there are, and why each engine that could have served
    it did not.

    >>> str(cx.get_device("cpu"))
    'cpu'
    """
    if isinstance(name, Device):
        return name
    spec = name.strip().lower()
    kind, _, number = spec.rpartition(":")
    if not kind or not number.isdecimal():
        kind, number = spec, "0"
    reasons: list[str] = []
    for candidate in _meant(kind):
        found = _look(candidate, number, backend, reasons)
        if found is not None:
            return found
    raise DeviceError(_not_there(name, backend, reasons))


def _meant(kind: str) -> tuple[str, ...]:
    """The kinds that a word stands for, in the order in which they are looked for."""
    if kind == "cpu":
        return (kind,)
    if kind == "gpu":
        return _GPUS
    if kind == "auto":
        return (*_BEST_FIRST, "cpu")
    from pycyxwiz import backends

    for engine in backends.engines():
        if kind == engine.name and kind not in engine.kinds:
            return engine.kinds
    return (kind,)


def _look(kind: str, number: str, backend: str | None, reasons: list[str]) -> Device | None:
    from pycyxwiz import backends

    spec = f"{kind}:{number}"
    if kind == "cpu":
        return next((d for d in _core.devices() if spec == f"{d.kind}:{d.index}"), None)
    for engine in backends.engines(kind):
        reason = None if backends.is_loaded(engine) else engine.missing(kind)
        if reason is None:
            try:
                loaded = backends.load(engine)
            except Exception as error:
                reason = str(error) or type(error).__name__
            else:
                if backend not in (None, engine.name, loaded.name):
                    continue
                try:
                    return _core.find_device(spec, loaded.name)
                except DeviceError:
                    reason = f"it finds no {spec}"
        if backend in (None, engine.name):
            reasons.append(f"{engine.name}: {reason}")
    return None


def _not_there(name: str, backend: str | None, reasons: list[str]) -> str:
    known = ", ".join(str(device) for device in _core.devices())
    through = f" through {backend!r}" if backend else ""
    message = f"there is no device {name!r}{through}: those in reach are {known}"
    return "; ".join([message, *dict.fromkeys(reasons)])


def _warn(engine: Engine, error: Exception) -> None:
    import warnings

    warnings.warn(f"the devices of {engine.name} can't be listed: {error}", stacklevel=3)
