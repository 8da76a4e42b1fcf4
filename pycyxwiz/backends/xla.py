"""The XLA backend: Programs under ``jax.jit``, on CUDA, ROCm, TPUs, and the CPU as "xla:cpu".

Each Program is compiled as a whole, once, ahead of its runs; the core keeps it by structure. JAX's
64-bit mode is on inside our calls only: scripts that use JAX themselves keep the mode they have.
"""

from __future__ import annotations

import atexit
import importlib.util
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pycyxwiz._core import OutOfMemoryError
from pycyxwiz.backends import Engine, compute_on_cpu
from pycyxwiz.backends.protocol import DeviceInfo, Memory

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pycyxwiz.backends.protocol import Program

# How JAX calls what we call by another name.
_PLATFORMS = {"cuda": "cuda", "rocm": "rocm", "tpu": "tpu", "xla:cpu": "cpu"}
_EXTRAS = {"cuda": "cuda", "rocm": "rocm", "tpu": "xla", "xla:cpu": "xla"}
_HARDWARE = {
    "cuda": ("/dev/nvidiactl", "/dev/dxg"),
    "rocm": ("/dev/kfd",),
    "tpu": ("/dev/accel0", "/dev/vfio/0"),
}
# Below this many bytes an array stays with the host until a Program takes it along: random streams
# and the like, for which a transfer of its own would cost more than the computation.
_SMALL = 256


class Array:
    """What lies on the device, and what has still to be checked about it."""

    __slots__ = ("checks", "device", "shared", "value")

    def __init__(
        self, value: Any, device: int, checks: tuple[Check, ...] = (), *, shared: bool = False
    ) -> None:
        self.value = value
        self.device = device
        self.checks = checks
        self.shared = shared  # its memory is seen from outside: a Program may not take it


class Check:
    """Indices of one run that may lie outside: XLA can't raise, so we look when values are read."""

    __slots__ = ("_found", "_rows", "passed")

    def __init__(self, found: Any, rows: Sequence[int]) -> None:
        self._found, self._rows = found, rows
        self.passed = False

    def settle(self) -> None:
        """Waits for the run, and raises ``IndexError`` for the first index that was outside."""
        if self.passed:
            return
        for (outside, position, index), rows in zip(
            np.asarray(self._found).tolist(), self._rows, strict=True
        ):
            if outside:
                raise IndexError(
                    f"take: index {index} (at position {position} of the indices) is out of bounds "
                    f"for an axis of size {rows}"
                )
        self.passed = True

    def is_over(self) -> bool:
        """Whether it passed, as far as is known without waiting."""
        if not self.passed and self._found.is_ready():
            try:
                self.settle()
            except IndexError:
                return False
        return self.passed


class XlaExecutable:
    """A Program as XLA compiled it."""

    def __init__(self, backend: XlaBackend, program: Program, device: int) -> None:
        from pycyxwiz.backends import _xla_ops

        self._backend, self._program, self._device = backend, program, device
        self._dtypes = [np.dtype(program.values[id].dtype).type for id in program.inputs]
        self._donated = [i for i, given in enumerate(program.donated) if given]
        # Drawn by the CPU, and handed over: one element after another, which no device is fast at.
        self._drawn = [
            (value, program.inputs.index(value.inputs[0]))
            for value in program.values
            if value.op == "permutation"
        ]
        lowered = _xla_ops.Lowering(program)
        self._compiled = backend.compile_function(
            lowered, lowered.arguments(), self._donated, device
        )
        self._rows = lowered.rows

    def run(self, arguments: list[Any], donated: list[int]) -> Sequence[Any]:
        backend = self._backend
        values: list[Any] = []
        checks: dict[Check, None] = {}
        for dtype, argument in zip(self._dtypes, arguments, strict=True):
            if type(argument) is Array:
                values.append(argument.value)
                for check in argument.checks:
                    if not check.passed:
                        checks[check] = None
            else:
                values.append(dtype(argument))
        with backend.session(self._device):
            for i in self._donated:
                if i not in donated or arguments[i].shared:
                    values[i] = backend.copy(values[i])
            for value, stream in self._drawn:
                values.append(compute_on_cpu(value, [np.asarray(values[stream])]))
            results = self._compiled(*values)
        pending = tuple(check for check in checks if not check.is_over())
        if self._rows:
            *results, found = results
            pending = (*pending, Check(found, self._rows))
        # An argument that JAX hands through is one array of two tensors: neither gives it away.
        given = {id(value): argument for value, argument in zip(values, arguments, strict=False)}
        arrays = []
        for result in results:
            twin = given.get(id(result))
            if twin is not None:
                twin.shared = True
            arrays.append(Array(result, self._device, pending, shared=twin is not None))
        return arrays

    def describe(self) -> Iterable[str]:
        shown = [value for value in self._program.values if value.op != "input"]
        return [f"{value.op} {value.dtype}{list(value.shape)}" for value in shown]


class XlaBackend:
    """See ``protocol.Backend``."""

    name = "xla"
    ops: Mapping[str, Any]
    reasons: Mapping[str, str]
    enable_x64: Any

    def __init__(self) -> None:
        import jax

        from pycyxwiz.backends import _xla_ops

        self.ops = _xla_ops.OPS
        self.reasons = _xla_ops.REASONS
        self._jax = jax
        self.door = Door()  # after JAX is imported: before its own end
        self.enable_x64 = getattr(jax, "enable_x64", None)
        if self.enable_x64 is None:  # before 0.8
            from jax.experimental import enable_x64

            self.enable_x64 = enable_x64
        self._devices: list[tuple[str, Any]] = []
        for kind, platform in _PLATFORMS.items():
            if _missing(kind) is None:
                try:
                    found = jax.local_devices(backend=platform)
                except RuntimeError:
                    continue  # the plugin is there, the hardware isn't
                self._devices += [(kind, device) for device in found]

    # --- the protocol --------------------------------------------------------------------------

    def devices(self) -> list[DeviceInfo]:
        found = []
        for position, (kind, device) in enumerate(self._devices):
            total = self._stats(position).get("bytes_limit", _host_bytes("SC_PHYS_PAGES"))
            name = f"{device.device_kind} (XLA)"
            found.append(DeviceInfo(kind, self._index(position), name, int(total)))
        return found

    def copy_in(self, array: np.ndarray[Any, Any], device: int, shareable: bool) -> Array:
        if array.nbytes <= _SMALL:
            return Array(array.copy(), device, shared=True)
        on_host = self._devices[device][0] == "xla:cpu"
        if on_host and not shareable:
            array = array.copy()
        with self.session(device):
            value = self._jax.device_put(array, self._devices[device][1])
        return Array(value, device, shared=on_host)

    def copy_out(self, array: Array) -> np.ndarray[Any, Any]:
        self._settle(array)
        array.shared = True
        with self.session(array.device):
            host: np.ndarray[Any, Any] = np.asarray(array.value)
            return host if host.ndim == 0 else np.ascontiguousarray(host)

    def compile(self, program: Program, device: int) -> XlaExecutable:
        return XlaExecutable(self, program, device)

    def synchronize(self, device: int) -> None:
        with self.session(device):
            for array in self._jax.live_arrays():
                if array.devices() == {self._devices[device][1]} and not array.is_deleted():
                    array.block_until_ready()

    def memory(self, device: int) -> Memory:
        stats = self._stats(device)
        if "bytes_limit" not in stats:
            return Memory(cached=0, free=_host_bytes("SC_AVPHYS_PAGES"))
        used = stats["bytes_in_use"]
        return Memory(
            cached=max(stats.get("pool_bytes", used) - used, 0), free=stats["bytes_limit"] - used
        )

    def release_cached(self, device: int) -> None:
        """XLA keeps its pool until the process ends, and has no call to shrink it."""

    # --- for its executables -------------------------------------------------------------------

    def session(self, device: int) -> Session:
        return Session(self, device)

    def copy(self, value: Any) -> Any:
        return self._jax.numpy.array(value, copy=True)

    def compile_function(
        self, function: Any, arguments: list[Any], donated: list[int], device: int
    ) -> Any:
        import warnings

        jax = self._jax
        here = jax.sharding.SingleDeviceSharding(self._devices[device][1])
        with self.session(device), warnings.catch_warnings():
            # State that changes its size can't take the old one's place: fine.
            warnings.filterwarnings("ignore", message="Some donated buffers were not usable")
            jitted = jax.jit(
                function, donate_argnums=donated, in_shardings=here, out_shardings=here
            )
            return jitted.lower(*arguments).compile()

    def _settle(self, array: Array) -> None:
        for check in array.checks:
            check.settle()
        array.checks = ()

    def _stats(self, device: int) -> dict[str, int]:
        return self._devices[device][1].memory_stats() or {}

    def out_of_memory(self, device: int, error: Exception) -> OutOfMemoryError:
        kind, index = self._devices[device][0], self._index(device)
        spec = kind if kind.endswith("cpu") and not index else f"{kind}:{index}"
        said = str(error).splitlines()[0].rstrip(".")
        return OutOfMemoryError(f"{spec}: {said}; {self.memory(device).free} bytes are free")

    def _index(self, device: int) -> int:
        """Its number among the devices of its kind."""
        kind = self._devices[device][0]
        return sum(other == kind for other, _ in self._devices[:device])


class Door:
    """Lets nobody into JAX any more once the interpreter shuts down, and waits for those inside.

    A thread that comes back from JAX when Python is gone is ended by force, which aborts the
    process: JAX can't be unwound so.
    """

    def __init__(self) -> None:
        self._inside: list[None] = []  # appending and popping are atomic
        self._closed = False
        atexit.register(self._close)

    def enter(self) -> None:
        self._inside.append(None)
        if self._closed and threading.current_thread() is not threading.main_thread():
            self.leave()
            threading.Event().wait()  # for the end of the process

    def leave(self) -> None:
        self._inside.pop()

    def _close(self) -> None:
        self._closed = True
        ends = time.monotonic() + 10
        while self._inside and time.monotonic() < ends:
            time.sleep(0.001)


class Session:
    """JAX in 64-bit mode for a scope; what it says of memory as our error."""

    __slots__ = ("_backend", "_device", "_mode")

    def __init__(self, backend: XlaBackend, device: int) -> None:
        self._backend, self._device = backend, device
        self._mode: Any = backend.enable_x64(True)

    def __enter__(self) -> None:
        self._backend.door.enter()
        self._mode.__enter__()

    def __exit__(self, kind: type[BaseException] | None, error: Any, trace: Any) -> None:
        self._mode.__exit__(kind, error, trace)
        self._backend.door.leave()
        if kind is not None and "RESOURCE_EXHAUSTED" in str(error):
            raise self._backend.out_of_memory(self._device, error) from None


def _host_bytes(which: str) -> int:
    return os.sysconf(which) * os.sysconf("SC_PAGE_SIZE")


# --- what is here, without importing it -----------------------------------------------------------


def _plugins() -> set[str]:
    """What JAX can drive: "cpu", and the platforms of its installed plugins."""
    if importlib.util.find_spec("jax") is None or importlib.util.find_spec("jaxlib") is None:
        return set()
    found = {"cpu"}
    spec = importlib.util.find_spec("jax_plugins")
    for folder in spec.submodule_search_locations or () if spec else ():
        for entry in Path(folder).iterdir():
            found |= {kind for kind in ("cuda", "rocm") if entry.name.startswith(f"xla_{kind}")}
    if importlib.util.find_spec("libtpu") is not None:
        found.add("tpu")
    return found


def _missing(kind: str) -> str | None:
    plugins = _plugins()
    if _PLATFORMS[kind] in plugins:
        return None
    extra = _EXTRAS[kind]
    what = f"JAX has no plugin for {kind}" if plugins else "JAX is not installed"
    return f"{what}: pip install 'pycyxwiz[{extra}]'"


def _is_likely() -> bool:
    plugins = _plugins()
    return any(
        kind in plugins and any(map(os.path.exists, paths)) for kind, paths in _HARDWARE.items()
    )


ENGINE = Engine("xla", tuple(_PLATFORMS), XlaBackend, _missing, _is_likely)
