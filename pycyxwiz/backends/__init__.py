"""Backends: engines that run Programs on devices, found by the kind of device they serve.

Nothing here imports an engine until a device of its is asked for (``load``). Installed packages add
backends through the entry point group ``pycyxwiz.backends``, whose names are kinds of devices and
whose values are functions that give a ``protocol.Backend``:

    [project.entry-points."pycyxwiz.backends"]
    npu = "their_package:make_backend"

A program can do the same with ``register``.
"""

from __future__ import annotations

import importlib
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pycyxwiz import _core
from pycyxwiz._core import op_names

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np

    from pycyxwiz.backends.protocol import Backend, Value

__all__ = [
    "Engine",
    "compute_on_cpu",
    "engines",
    "is_loaded",
    "load",
    "loaded",
    "op_names",
    "register",
]

_GROUP = "pycyxwiz.backends"
# Modules of this package with an ENGINE, in the order in which they are asked for a kind that
# several serve.
_BUILT_IN: tuple[str, ...] = ("xla", "arrayfire")


def _nothing_missing(kind: str) -> str | None:
    return None


def _unlikely() -> bool:
    return False


@dataclass(frozen=True)
class Engine:
    """A backend that could be loaded: what it is called, what it serves, where it is made."""

    name: str
    kinds: tuple[str, ...]
    make: Callable[[], Backend]
    missing: Callable[[str], str | None] = _nothing_missing
    """Why it can't serve that kind of device here, and the mend; by checks that import nothing."""
    is_likely: Callable[[], bool] = _unlikely
    """Whether its software and hardware seem to be here, so that a list of the devices has to load
    it; by checks that import nothing."""


_lock = threading.RLock()  # guards the two below
_registered: list[Engine] = []
_loaded: dict[str, Backend] = {}  # by the engine's name


def register(engine: Engine) -> None:
    """Adds an engine to those that are asked, after those that are there."""
    with _lock:
        _registered.append(engine)


def engines(kind: str | None = None) -> list[Engine]:
    """Those that serve a kind of device, or all, the preferred first; none is loaded by this."""
    found: list[Engine] = [
        importlib.import_module(f"pycyxwiz.backends.{name}").ENGINE for name in _BUILT_IN
    ]
    found += [*_installed(), *_registered]
    return [engine for engine in found if kind is None or kind in engine.kinds]


def _installed() -> list[Engine]:
    """Those of other packages: one for each function, with the kinds that it is named for."""
    from importlib.metadata import entry_points

    points: dict[str, list[Any]] = {}
    for point in entry_points(group=_GROUP):
        points.setdefault(point.value, []).append(point)

    def maker(point: Any) -> Callable[[], Backend]:
        return lambda: point.load()()

    return [
        Engine(value, tuple(point.name for point in same), maker(same[0]))
        for value, same in points.items()
    ]


def load(engine: Engine) -> Backend:
    """The engine's backend, its devices registered; safe to call twice.

    Raises what making it raises.
    """
    with _lock:
        if engine.name not in _loaded:
            backend = engine.make()
            _core.register_backend(backend)
            _loaded[engine.name] = backend
        return _loaded[engine.name]


def loaded() -> list[Backend]:
    """The backends that are in use."""
    return list(_loaded.values())


def is_loaded(engine: Engine) -> bool:
    """Whether its devices are registered."""
    return engine.name in _loaded


def compute_on_cpu(value: Value, arrays: Sequence[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    """What the CPU backend makes of one instruction: for ops that an engine can't do.

    >>> from pycyxwiz.backends import compute_on_cpu
    >>> from pycyxwiz.backends.protocol import Value
    >>> add = Value("add", "float32", (2,), (0, 1), ())
    >>> compute_on_cpu(add, [np.ones(2, np.float32)] * 2).tolist()
    [2.0, 2.0]
    """
    before = _core.thread_device()
    _core.set_thread_device(_core.find_device("cpu"))
    try:
        inputs = [_core.from_numpy(array) for array in arrays]
        result = _core.record(value.op, value.dtype, value.shape, inputs, value.attributes)
        return result.to_numpy()
    finally:
        _core.set_thread_device(before)
