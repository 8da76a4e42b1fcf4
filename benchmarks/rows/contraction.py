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
    why: str,
    rounds: int = 9,
) -> Row:
    batch, (m, k), n = math.prod(a[:-2]), a[-2:], b[-1]
    return Row(
        name=name,
        title=title,
        data=partial(factors, a, b),
        contenders=PRODUCT,
        floors=floors,
        # Rounding grows with the length of the sums.
        check=close(rtol=1e-3, atol=1e-5 * math.sqrt(k) * 4),
        rounds=rounds,
        operations=2 * batch * m * k * n,
        traffic=4 * batch * (m * k + k * n + m * n),
        why=why,
    )


def rounded_cx(precision: str, arrays: list[np.ndarray]) -> Run:
    import pycyxwiz as cx

    cx.set_matmul_precision(precision)
    return on_cx(product)(arrays)


def rounded_torch(arrays: list[np.ndarray], *, cast: bool) -> Run:
    import torch

    if not cast:
        torch.set_float32_matmul_precision("medium")
        return on_torch(product)(arrays)

    def function(torch: Any, a: Any, b: Any) -> Any:
        return torch.matmul(a.bfloat16(), b.bfloat16()).float()

    return on_torch(function)(arrays)


def rounded_row(size: int, rounds: int) -> Row:
    """Operands of float32 that may be rounded to bfloat16: reported, without a floor."""
    return Row(
        name=f"matmul-{size}-bfloat16",
        title=f"{size} × {size} matmul, bfloat16 precision",
        data=partial(factors, (size, size), (size, size)),
        contenders={
            "pycyxwiz": partial(rounded_cx, "bfloat16"),
            "pycyxwiz:float32": partial(rounded_cx, "float32"),
            "torch": partial(rounded_torch, cast=False),
            "torch:bfloat16-operands": partial(rounded_torch, cast=True),
        },
        check=close(rtol=0.02, atol=0.03 * math.sqrt(size)),
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

    return partial(forward, x, w1, b1, w2, b2)


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


def forward_row(batch: int, why: str) -> Row:
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
        operations=2 * batch * (784 * 128 + 128 * 10),
        traffic=4 * (batch * (784 + 10) + 784 * 128 + 128 * 10),
        why=why,
    )


ROWS = [
    product_row(
        "matmul-1000",
        "1000 × 1000 matmul",
        (1000, 1000),
        (1000, 1000),
        LARGE,
        "the edges of 1000 fill no whole tile of registers, and both operands are packed first",
    ),
    product_row(
        "matmul-4096",
        "4096 × 4096 matmul",
        (4096, 4096),
        (4096, 4096),
        LARGE,
        "packing, and the clock, which sinks under long AVX-512 work",
        rounds=5,
    ),
    product_row(
        "matmul-small",
        "32 × 784 · 784 × 128 matmul",
        (32, 784),
        (784, 128),
        SMALL,
        "waking a second thread, and rows of b that begin amid cache lines",
    ),
    product_row(
        "matmul-batch",
        "64 × (128 × 128) matmul",
        (64, 128, 128),
        (64, 128, 128),
        SMALL,
        "the sums are short: how a tile of them begins and ends weighs, and one operand is packed",
    ),
    rounded_row(1000, 9),
    rounded_row(4096, 5),
    forward_row(32, "as the product of 32 rows; then softmax, and 2 µs of Python"),
    forward_row(1, "reading the weights from L2, and some µs of Python"),
]
