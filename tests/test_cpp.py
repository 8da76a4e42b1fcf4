"""C++ and Python: one library. A program of core/include alone gives the same bits as a script."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import pycyxwiz as cx

PROGRAM = Path(sys.prefix) / "build" / "cyxwiz_tests"


def network(x, w, b, v):
    return cx.log_softmax(cx.relu(x @ w + b) @ v)


def loss(weights, x, labels):
    own = cx.expand_dims(labels, 1) == cx.arange(10)
    return -cx.mean(cx.sum(cx.where(own, network(x, *weights), 0), axis=-1))


def expressions():
    """What tests/cpp/bits.cpp prints, in its order."""
    normal, uniform = cx.random.normal, cx.random.uniform
    cx.random.seed(7)
    x, d = normal([1000, 37]), normal([70, 70], dtype="float64")
    n = (uniform([300]) * 1000).astype("int32") - 500
    yield "elementwise", cx.sqrt(x * x + 1) * cx.exp(-x) + cx.sin(x)
    yield "functions", cx.erf(x) + cx.atan2(x, 0.5) + cx.log1p(cx.abs(x)) + cx.abs(x) ** 1.3
    yield "float64", cx.tanh(d) / (d * d + 0.1) + np.pi
    yield "integers", n // 7 * 3 + n % 11
    yield "compare", x > 0.5
    yield "sums", x.sum(axis=0) + x.mean()
    yield "rows", x.std(axis=1) + x.max(axis=1)
    yield "argmax", x.argmax(axis=1)
    yield "softmax", cx.softmax(x)
    yield "product", d @ d
    yield "transposed", x.T @ x
    yield "movement", cx.concatenate([cx.flip(x, 0), x * 2, x.T.T], axis=1)
    yield "taken", cx.take(x, cx.arange(999, 299, -7))
    images, filters = normal([3, 4, 12, 12]), normal([5, 4, 3, 3])
    yield "convolution", cx.conv2d(images, filters, (2, 1), 1)
    yield "pooled", cx.max_pool2d(images, 2) - cx.avg_pool2d(images, 2)
    yield "permutation", cx.random.permutation(100)

    x, labels = normal([32, 50]), (uniform([32]) * 10).astype("int64")
    weights = [normal([50, 64]) * 0.1, cx.zeros([64]), normal([64, 10]) * 0.1]
    for step in range(5):
        value, gradients = cx.value_and_grad(loss)(weights, x, labels)
        yield f"loss{step}", value
        weights = [w - 0.5 * g for w, g in zip(weights, gradients, strict=True)]
    for i, weight in enumerate(weights):
        yield f"weight{i}", weight

    compiled = cx.compile(lambda x, scale: (cx.tanh(x) * scale + uniform([7, 9]), cx.sum(x * x, 0)))
    for i, result in enumerate(compiled(normal([7, 9]), 0.3)):
        yield f"compiled{i}", result


@pytest.mark.skipif(not PROGRAM.exists(), reason=f"the C++ tests are not built: no {PROGRAM}")
def test_a_cpp_program_and_a_script_give_the_same_bits():
    done = subprocess.run([PROGRAM, "--bits"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    lines = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    for name, tensor in expressions():
        found = f"{tensor.dtype} {tensor.shape()} {tensor.to_numpy().tobytes().hex()}"
        assert lines.pop(name) == found, name
    assert not lines
