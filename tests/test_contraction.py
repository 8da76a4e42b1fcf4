"""Matrix products of every size and layout: tiles, packed blocks, cut sums, batches, what follows."""

import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

import pycyxwiz as cx

TOLERANCE = {np.float32: 2e-5, np.float64: 1e-13}  # of a sum of k products, times the root of k

#: The largest size of an axis, and how many draws: vectors, register tiles, packed blocks.
SIZES = [(8, 40), (40, 40), (130, 25), (300, 15), (900, 5)]


def operand(
    rng: np.random.Generator, batch: tuple[int, ...], rows: int, columns: int, dtype: type
) -> tuple[np.ndarray, Callable[[], cx.Tensor]]:
    """A matrix, and what makes the tensor of it: contiguous, transposed, or every other row."""
    layout = rng.choice(["plain", "transposed", "strided"])
    shape = {"transposed": (columns, rows), "strided": (2 * rows, columns)}.get(
        layout, (rows, columns)
    )
    if np.issubdtype(dtype, np.integer):
        array = rng.integers(-9, 10, batch + shape).astype(dtype)
    else:
        array = rng.standard_normal(batch + shape).astype(dtype)
    tensor, rank = cx.Tensor(array), len(batch)
    if layout == "transposed":
        axes = (*range(rank), rank + 1, rank)
        return np.swapaxes(array, -1, -2), lambda: cx.permute(tensor, axes)
    if layout == "strided":
        return array[..., ::2, :], lambda: tensor[..., ::2, :]
    return array, lambda: tensor


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.int64])
@pytest.mark.parametrize(("largest", "draws"), SIZES)
def test_a_product_has_numpys_value_and_the_same_bits_for_any_number_of_threads(
    largest, draws, dtype, threads
):
    rng = np.random.default_rng(largest)
    for _ in range(draws):
        m, k, n = (int(size) for size in rng.integers(0, largest + 1, 3))
        if rng.random() < 0.1:  # a long sum of few results
            m, k, n = min(m, 40), 100 * largest, min(n, 40)
        batch = tuple(rng.integers(1, 4, rng.integers(0, 3))) if largest < 300 else ()
        (a, left), (b, right) = (operand(rng, batch, *s, dtype) for s in ((m, k), (k, n)))
        bias = rng.integers(-5, 6, n).astype(dtype)
        follows = rng.choice(["nothing", "bias", "bias and relu"])

        def product(left=left, right=right, bias=bias, follows=follows) -> np.ndarray:
            result = left() @ right()
            if follows != "nothing":
                result = result + cx.Tensor(bias)
            return np.array(cx.relu(result) if follows == "bias and relu" else result)

        threads(1)
        one = product()
        for count in (2, 5):
            threads(count)
            np.testing.assert_array_equal(product(), one)
        wide = np.float64 if dtype == np.float32 else dtype
        expected = a.astype(wide) @ b.astype(wide)
        if follows != "nothing":
            expected = expected + bias
        if follows == "bias and relu":
            expected = np.maximum(expected, 0)
        allowed = TOLERANCE.get(dtype, 0.0) * max(k, 1) ** 0.5
        np.testing.assert_allclose(one, expected, rtol=allowed, atol=allowed)


#: Several groups of rows; more rows and columns than are packed at a time.
@pytest.mark.parametrize("shape", [(1000, 500, 450), (2100, 400, 4200)])
def test_a_product_is_whole_where_its_blocks_meet(shape, threads):
    m, k, n = shape
    rng = np.random.default_rng(0)
    a = rng.integers(-9, 10, (m, k)).astype(np.float32)  # so every sum is exact
    b = rng.integers(-9, 10, (k, n)).astype(np.float32)
    left, right = cx.Tensor(a), cx.Tensor(b)
    for count in (1, 2, 5):
        threads(count)
        np.testing.assert_array_equal(np.array(left @ right), a @ b)


@pytest.mark.parametrize("shape", [(32, 784, 128), (32, 1000, 8), (300, 300, 300)])
def test_nan_passes_through_a_product_and_its_relu(shape):
    m, k, n = shape
    a, b = np.ones((m, k), np.float32), np.ones((k, n), np.float32)
    a[1, k // 2] = np.nan
    b[0, n - 1] = -np.inf
    got = cx.relu(cx.Tensor(a) @ cx.Tensor(b) + cx.zeros([n])).to_numpy()
    np.testing.assert_array_equal(got, np.maximum(a @ b, 0))


@pytest.mark.parametrize("widths", [(64, 48, 10), (100, 33, 70, 7), (784, 128, 10)])
@pytest.mark.parametrize("rows", [2, 8, 9, 16, 24, 40, 64, 100, 700])
def test_layers_computed_row_by_row_have_the_bits_of_each_alone(rows, widths, threads):
    rng = np.random.default_rng(rows)
    draw = lambda *shape: cx.Tensor(rng.standard_normal(shape).astype(np.float32))
    x = draw(rows, widths[0])
    layers = [(draw(*pair), draw(pair[1])) for pair in pairwise(widths)]

    def forward(x: cx.Tensor, *, alone: bool) -> cx.Tensor:
        for weights, bias in layers:
            x = cx.relu(x @ weights + bias)
            if alone:
                cx.eval(x)
        return x

    threads(1)
    expected = forward(x, alone=True).to_numpy()
    assert expected.any()
    for count in (1, 2, 3, 5):
        threads(count)
        np.testing.assert_array_equal(forward(x, alone=False).to_numpy(), expected)


AT_THE_END_OF_MEMORY = """
import ctypes, itertools, mmap
import numpy as np
import pycyxwiz as cx

PAGES = 64
memory = mmap.mmap(-1, (PAGES + 1) * mmap.PAGESIZE)
start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
beyond = ctypes.c_void_p(start + PAGES * mmap.PAGESIZE)
assert ctypes.CDLL(None).mprotect(beyond, mmap.PAGESIZE, 0) == 0

def at_the_end(array):
    flat = np.frombuffer(memory, array.dtype, array.size, PAGES * mmap.PAGESIZE - array.nbytes)
    flat[:] = array.ravel()
    return cx.from_numpy(flat.reshape(array.shape))

rng = np.random.default_rng(0)
for dtype, m, k, n in itertools.product(
    (np.float32, np.float64, np.int32), (1, 2, 9, 70), (1, 3, 40), (1, 2, 5, 10, 17, 40, 64, 100)
):
    a, b = (rng.integers(-9, 10, shape).astype(dtype) for shape in ((m, k), (k, n)))
    np.testing.assert_array_equal((cx.Tensor(a) @ at_the_end(b)).to_numpy(), a @ b)
    np.testing.assert_array_equal((at_the_end(a) @ cx.Tensor(b)).to_numpy(), a @ b)
    columns = n // 2 + 1
    last = at_the_end(b)[:, n - columns :]
    np.testing.assert_array_equal((cx.Tensor(a) @ last).to_numpy(), a @ b[:, n - columns :])
print("read nothing beyond")
"""


def test_products_read_nothing_beyond_their_operands():
    done = subprocess.run(
        [sys.executable, "-c", AT_THE_END_OF_MEMORY], capture_output=True, text=True, timeout=120
    )
    assert done.stdout == "read nothing beyond\n", done.stderr
