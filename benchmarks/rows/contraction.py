"""Matrix products, large and small, and a small network's forward pass."""

import math
from functools import partial
from typing import Any

import numpy as np

from benchmarks.peers import on_cx, on_jax, on_numpy, on_torch
from benchmarks.row import Contender, Row, Run, close


def factors(*shapes: tuple[int, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape, np.float32) for shape in shapes]


def product(lib: Any, a: Any, b: Any) -> Any:
    return lib.matmul(a, b)


PRODUCT: dict[str, Contender] = {
    "pycyxwiz": on_cx(product),
    "numpy": on_numpy(product),
    "torch": on_torch(product),
    "jax": on_jax(product),
}


def product_row(
    name: str,
    title: str,
    a: tuple[int, ...],
    b: tuple[int, ...],
    floors: dict[str, float],
    rounds: int = 9,
) -> Row:
    return Row(
        name=name,
        title=title,
        data=partial(factors, a, b),
        contenders=PRODUCT,
        floors=floors,
        # Rounding grows with the length of the sums.
        check=close(rtol=1e-3, atol=1e-5 * math.sqrt(a[-1]) * 4),
        rounds=rounds,
    )


LARGE, SMALL = {"numpy": 0.97, "torch": 0.97}, {"numpy": 2.0, "torch": 1.3}


def network(batch: int) -> list[np.ndarray]:
    """A batch, and the weights of 784 → 128 → 10, scaled as at the start of training."""
    x, w1, b1, w2, b2 = factors((batch, 784), (784, 128), (128,), (128, 10), (10,))
    return [x, w1 / 28, b1, w2 / 11, b2]


def forward_cx(arrays: list[np.ndarray]) -> Run:
    import pycyxwiz as cx

    x, w1, b1, w2, b2 = (cx.from_numpy(array) for array in arrays)

    @cx.compile
    def forward(x: Any, w1: Any, b1: Any, w2: Any, b2: Any) -> Any:
        return cx.softmax(cx.relu(x @ w1 + b1) @ w2 + b2)

    def run() -> Any:
        result = forward(x, w1, b1, w2, b2)
        cx.eval(result)
        return result

    return run


def forward_numpy(arrays: list[np.ndarray]) -> Run:
    x, w1, b1, w2, b2 = arrays
    hidden = np.empty((x.shape[0], 128), np.float32)
    out = np.empty((x.shape[0], 10), np.float32)

    def run() -> np.ndarray:
        np.matmul(x, w1, out=hidden)
        np.add(hidden, b1, out=hidden)
        np.maximum(hidden, 0, out=hidden)
        np.matmul(hidden, w2, out=out)
        np.add(out, b2, out=out)
        np.subtract(out, out.max(axis=1, keepdims=True), out=out)
        np.exp(out, out=out)
        np.divide(out, out.sum(axis=1, keepdims=True), out=out)
        return out

    return run


def forward_torch(torch: Any, x: Any, w1: Any, b1: Any, w2: Any, b2: Any) -> Any:
    hidden = torch.addmm(b1, x, w1).relu_()
    return torch.softmax(torch.addmm(b2, hidden, w2), -1)


def forward_jax(jnp: Any, x: Any, w1: Any, b1: Any, w2: Any, b2: Any) -> Any:
    import jax

    return jax.nn.softmax(jax.nn.relu(x @ w1 + b1) @ w2 + b2)


def forward_row(batch: int) -> Row:
    return Row(
        name=f"mlp-forward-{batch}",
        title=f"784 → 128 → 10 forward, batch {batch}",
        data=partial(network, batch),
        contenders={
            "pycyxwiz": forward_cx,
            "numpy": forward_numpy,
            "torch": on_torch(forward_torch),
            "jax": on_jax(forward_jax),
        },
        floors={"numpy": 1.8, "torch": 1.8},
        check=close(rtol=1e-3),
    )


ROWS = [
    product_row("matmul-1000", "1000 × 1000 matmul", (1000, 1000), (1000, 1000), LARGE),
    product_row("matmul-4096", "4096 × 4096 matmul", (4096, 4096), (4096, 4096), LARGE, rounds=5),
    product_row("matmul-small", "32 × 784 · 784 × 128 matmul", (32, 784), (784, 128), SMALL),
    product_row("matmul-batch", "64 × (128 × 128) matmul", (64, 128, 128), (64, 128, 128), SMALL),
    forward_row(32),
    forward_row(1),
]
