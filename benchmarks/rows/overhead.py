"""What the smallest operation costs: recorded only, and recorded and read back."""

from typing import Any

import numpy as np

from benchmarks.row import Row, Run, close

CALLS = 1000


def two_small() -> list[np.ndarray]:
    return [np.arange(4, dtype=np.float32), np.ones(4, np.float32)]


def repeated_add(a: Any, b: Any, wait: Any = None) -> Run:
    """Adds over and over; each result replaces the one before it, which nobody reads."""

    def run() -> Any:
        for _ in range(CALLS):
            c = a + b
        return wait(c) if wait else c

    return run


def repeated_read(a: Any, b: Any, read: Any) -> Run:
    def run() -> Any:
        for _ in range(CALLS):
            c = read(a + b)
        return c

    return run


def add_cx(arrays: list[np.ndarray]) -> Run:
    import pycyxwiz as cx

    return repeated_add(*(cx.from_numpy(array) for array in arrays))


def add_torch(arrays: list[np.ndarray]) -> Run:
    import torch

    return repeated_add(*(torch.from_numpy(array) for array in arrays))


def add_jax(arrays: list[np.ndarray]) -> Run:
    import jax

    return repeated_add(*(jax.device_put(array) for array in arrays), jax.block_until_ready)


def read_cx(arrays: list[np.ndarray]) -> Run:
    import pycyxwiz as cx

    return repeated_read(*(cx.from_numpy(array) for array in arrays), lambda c: c.to_numpy())


def read_torch(arrays: list[np.ndarray]) -> Run:
    import torch

    return repeated_read(*(torch.from_numpy(array) for array in arrays), lambda c: c.numpy())


ROWS = [
    Row(
        name="tiny-record",
        title="add 4 elements, recorded",
        data=two_small,
        contenders={
            "pycyxwiz": add_cx,
            "numpy": lambda arrays: repeated_add(*arrays),
            "torch": add_torch,
            "jax": add_jax,
        },
        floors={"torch": 2.0},
        limit=0.5e-6,
        check=close(),
        per=CALLS,
    ),
    Row(
        name="tiny-read",
        title="add 4 elements, recorded and read",
        data=two_small,
        contenders={"pycyxwiz": read_cx, "torch": read_torch},
        floors={"torch": 2.0},
        limit=2.5e-6,
        check=close(),
        per=CALLS,
    ),
]
