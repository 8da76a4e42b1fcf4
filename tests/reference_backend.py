"""The smallest backend there is: arrays are NumPy's, and every op is the CPU backend's own.

It proves the protocol, and lets tests pretend: a small memory, two devices.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pycyxwiz import OutOfMemoryError
from pycyxwiz.backends import Engine, compute_on_cpu, op_names
from pycyxwiz.backends.protocol import DeviceInfo, Memory, Program


class Array:
    """An array on the pretended device, which counts what lies there."""

    def __init__(self, backend: ReferenceBackend, data: np.ndarray[Any, Any], device: int) -> None:
        self.backend, self.data, self.device, self.taken = backend, data, device, 0
        backend.take(device, data.nbytes)
        self.taken = data.nbytes

    def __del__(self) -> None:
        self.backend.used[self.device] -= self.taken


class ReferenceExecutable:
    def __init__(self, backend: ReferenceBackend, program: Program, device: int) -> None:
        self.backend, self.program, self.device = backend, program, device

    def run(self, arguments: list[Any], donated: list[int]) -> Sequence[Any]:
        values: dict[int, np.ndarray[Any, Any]] = {}
        for id, argument in zip(self.program.inputs, arguments, strict=True):
            dtype = self.program.values[id].dtype
            is_array = isinstance(argument, Array)
            values[id] = argument.data if is_array else np.asarray(argument, dtype)
        for id, value in enumerate(self.program.values):
            if value.op != "input":
                self.backend.seen.add(value.op)
                values[id] = compute_on_cpu(value, [values[i] for i in value.inputs])
        self.backend.donated += len(donated)
        self.backend.runs += 1
        return [Array(self.backend, values[id].copy(), self.device) for id in self.program.outputs]

    def describe(self) -> list[str]:
        return [value.op for value in self.program.values if value.op != "input"]


class ReferenceBackend:
    name = "reference"
    ops = dict.fromkeys(op_names(), compute_on_cpu)

    def __init__(self, memory_bytes: int = 1 << 30) -> None:
        self.reasons: dict[str, str] = {}
        self.memory_bytes = memory_bytes
        self.used = [0, 0]
        self.seen: set[str] = set()  # ops that ran
        self.compiled = self.runs = self.donated = self.copied_in = 0

    def take(self, device: int, bytes: int) -> None:
        if self.used[device] + bytes > self.memory_bytes:
            free = self.memory_bytes - self.used[device]
            raise OutOfMemoryError(f"reference:{device}: {bytes} bytes asked for, {free} free")
        self.used[device] += bytes

    def devices(self) -> list[DeviceInfo]:
        return [DeviceInfo("reference", i, "NumPy", self.memory_bytes) for i in range(2)]

    def copy_in(self, array: np.ndarray[Any, Any], device: int, shareable: bool) -> Array:
        self.copied_in += array.nbytes
        return Array(self, array if shareable else array.copy(), device)

    def copy_out(self, array: Array) -> np.ndarray[Any, Any]:
        return array.data

    def compile(self, program: Program, device: int) -> ReferenceExecutable:
        self.compiled += 1
        return ReferenceExecutable(self, program, device)

    def synchronize(self, device: int) -> None:
        pass

    def memory(self, device: int) -> Memory:
        return Memory(cached=0, free=self.memory_bytes - self.used[device])

    def release_cached(self, device: int) -> None:
        pass


BACKEND = ReferenceBackend()
ENGINE = Engine("reference", ("reference",), lambda: BACKEND)
