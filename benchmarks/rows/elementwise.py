"""Elementwise work: the fused chain at three sizes, single operations, softmax and layer norm."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.peers import on_cx, on_jax, on_numexpr, on_numpy, on_torch
from benchmarks.row import Contender, Row, Run, close

#: Additions and multiplications in one exp or sin of single precision, about.
EXP = 20


def vectors(count: int, size: int) -> list[np.ndarray]:
    """Positive numbers, so that every function of these rows is defined."""
    rng = np.random.default_rng(0)
    return [rng.random(size, np.float32) + np.float32(0.5) for _ in range(count)]


def chain(lib: Any, x: Any, y: Any) -> Any:
    """The same text for every library: sqrt(x*x + y*y) * exp(-x) + sin(y)."""
    return lib.sqrt(x * x + y * y) * lib.exp(-x) + lib.sin(y)


def chain_torch_compiled(arrays: list[np.ndarray]) -> Run:
    """What ``torch.compile`` makes of the chain, with its default settings."""
    import os

    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    tensors = [torch.from_numpy(array) for array in arrays]
    compiled = torch.compile(partial(chain, torch))

    def run() -> Any:
        with torch.inference_mode():
            return compiled(*tensors)

    return run


def chain_row(
    name: str,
    size: int,
    label: str,
    floors: dict[str, float],
    *,
    rounds: int,
    compiled: bool,
    why: str,
) -> Row:
    contenders: dict[str, Contender] = {
        "pycyxwiz": on_cx(chain),
        "numpy": on_numpy(chain),
        "numexpr": on_numexpr("sqrt(x*x + y*y) * exp(-x) + sin(y)", "x", "y"),
        "torch": on_torch(chain),
        "jax": on_jax(chain),
    }
    if compiled:
        contenders["torch:compile"] = chain_torch_compiled
    return Row(
        name=name,
        title=f"sqrt(x*x + y*y) * exp(-x) + sin(y), {label}",
        data=partial(vectors, 2, size),
        contenders=contenders,
        floors=floors,
        check=close(),
        rounds=rounds,
        # exp and sin are polynomials, with a reduction of their argument.
        operations=size * (2 * EXP + 6),
        traffic=12 * size,
        why=why,
    )


def operation(name: str, count: int, function: Callable[..., Any], why: str) -> Row:
    """One operation over a million elements: bound by memory, or by the arithmetic of exp."""
    return Row(
        name=f"{name}-1m",
        title=f"{name}, 1M",
        data=partial(vectors, count, 1_000_000),
        contenders={
            "pycyxwiz": on_cx(function),
            "numpy": on_numpy(function),
            "torch": on_torch(function),
            "jax": on_jax(function),
        },
        floors={"numpy": 2.0, "torch": 1.0},
        check=close(),
        operations=1_000_000 * (EXP if name == "exp" else 1),
        traffic=4_000_000 * (count + 1),
        why=why,
    )


def matrix(rows: int, columns: int) -> list[np.ndarray]:
    return [np.random.default_rng(0).standard_normal((rows, columns), np.float32)]


def softmax_numpy(np: Any, x: Any) -> Any:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    e /= e.sum(axis=-1, keepdims=True)
    return e


def softmax_jax(jnp: Any, x: Any) -> Any:
    import jax

    return jax.nn.softmax(x)


def norm(lib: Any, x: Any) -> Any:
    """Layer norm in operations that NumPy, JAX and we all spell alike."""
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = (centred * centred).mean(axis=-1, keepdims=True)
    return centred / lib.sqrt(variance + 1e-5)


ROWS = [
    chain_row(
        "fused-1m",
        1_000_000,
        "1M",
        {"numpy": 5.0, "jax": 4.5, "torch": 6.0},
        rounds=15,
        compiled=True,
        why="exp, sin and the root take some 40 instructions for 16 elements, two a cycle",
    ),
    chain_row(
        "fused-10k",
        10_000,
        "10k",
        {"numpy": 1.0, "jax": 1.0, "torch": 1.0},
        rounds=15,
        compiled=True,
        why="looking up the Program and waking a thread: 2 µs",
    ),
    chain_row(
        "fused-100m",
        100_000_000,
        "100M",
        {"numpy": 1.0, "jax": 1.0, "torch": 1.0},
        rounds=5,
        compiled=False,
        why="stores first read the line that they replace",
    ),
    operation(
        "add",
        2,
        lambda lib, x, y: x + y,
        "stores first read the line that they replace; every other call goes backwards, and begins "
        "with what L2 still has",
    ),
    operation("multiply", 2, lambda lib, x, y: x * y, "as add"),
    operation("exp", 1, lambda lib, x: lib.exp(x), "loads and stores between the polynomials"),
    Row(
        name="softmax",
        title="softmax over rows, 512 × 1024",
        data=partial(matrix, 512, 1024),
        contenders={
            "pycyxwiz": on_cx(lambda cx, x: cx.softmax(x)),
            "numpy": on_numpy(softmax_numpy),
            "torch": on_torch(lambda torch, x: torch.softmax(x, -1)),
            "jax": on_jax(softmax_jax),
        },
        floors={"torch": 1.3},
        check=close(),
        operations=512 * 1024 * (EXP + 3),
        traffic=8 * 512 * 1024,
        why="four passes over each row, in L1",
    ),
    Row(
        name="layer-norm",
        title="layer norm over rows, 512 × 1024",
        data=partial(matrix, 512, 1024),
        contenders={
            "pycyxwiz": on_cx(norm),
            "numpy": on_numpy(norm),
            "torch": on_torch(lambda torch, x: torch.nn.functional.layer_norm(x, (1024,))),
            "jax": on_jax(norm),
        },
        floors={"torch": 1.3},
        check=close(),
        operations=512 * 1024 * 6,
        traffic=8 * 512 * 1024,
        why="five passes over each row, in L1",
    ),
]
