"""The precision of matrix products: exact by default, bfloat16 operands when asked for."""

from collections.abc import Iterator

import numpy as np
import pytest

import pycyxwiz as cx
from pycyxwiz import _core

SHAPES = [
    ((64, 96), (96, 80)),
    ((300, 500), (500, 40)),
    ((5, 33, 70), (5, 70, 20)),
    ((128, 1), (1, 128)),
    ((1, 512), (512, 64)),
]


@pytest.fixture(autouse=True)
def exact_before_and_after() -> Iterator[None]:
    assert cx.get_matmul_precision() == "float32"
    yield
    cx.set_matmul_precision("float32")


def operands(a_shape: tuple[int, ...], b_shape: tuple[int, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape, np.float32) for shape in (a_shape, b_shape)]


@pytest.mark.parametrize(("a_shape", "b_shape"), SHAPES)
@pytest.mark.parametrize("turned", [False, True])
def test_rounded_operands_stay_within_bfloat16s_error(a_shape, b_shape, turned):
    a, b = operands(a_shape, b_shape)
    left, right = cx.Tensor(a), cx.Tensor(b)
    if turned:  # the same operands, lying the other way in memory
        left = cx.transpose(cx.Tensor(np.ascontiguousarray(a.T))) if a.ndim == 2 else left
        right = cx.transpose(cx.Tensor(np.ascontiguousarray(b.T))) if b.ndim == 2 else right
    exact = a.astype(np.float64) @ b
    # Rounding an operand to 8 significant bits is off by at most 2^-8 of it (half a step is 2^-9).
    bound = 2.0**-7 * (np.abs(a) @ np.abs(b)) + 1e-5
    cx.set_matmul_precision("bfloat16")
    assert (np.abs((left @ right).to_numpy() - exact) <= bound).all()


def test_the_default_is_exact_and_comes_back():
    a, b = (cx.Tensor(each) for each in operands((200, 300), (300, 100)))
    before = (a @ b).to_numpy(copy=True)
    cx.set_matmul_precision("medium")
    (a @ b).to_numpy()
    cx.set_matmul_precision("highest")
    np.testing.assert_array_equal((a @ b).to_numpy(), before)


def test_the_precision_is_part_of_a_programs_structure():
    a, b = (cx.Tensor(each) for each in operands((31, 37), (37, 41)))
    misses = _core.cache_stats()["misses"]
    for precision in ("float32", "bfloat16", "float32", "bfloat16"):
        cx.set_matmul_precision(precision)
        (a @ b).to_numpy()
    assert _core.cache_stats()["misses"] == misses + 2


def test_only_float32_products_are_rounded():
    a, b = (cx.Tensor(each.astype(np.float64)) for each in operands((31, 37), (37, 43)))
    exact = (a @ b).to_numpy(copy=True)
    misses = _core.cache_stats()["misses"]
    cx.set_matmul_precision("bfloat16")
    np.testing.assert_array_equal((a @ b).to_numpy(), exact)
    assert _core.cache_stats()["misses"] == misses


def test_a_compiled_function_follows_the_setting():
    traced = []

    @cx.compile
    def product(a, b):
        traced.append(cx.get_matmul_precision())
        return a @ b

    a, b = (cx.Tensor(each) for each in operands((64, 64), (64, 64)))
    for precision in ("float32", "bfloat16", "float32", "bfloat16"):
        cx.set_matmul_precision(precision)
        product(a, b)
    assert traced == ["float32", "bfloat16"]


def test_derivatives_have_the_products_precision():
    a, b = (cx.Tensor(each) for each in operands((32, 48), (48, 40)))
    precise = cx.grad(lambda a: cx.sum((a @ b) ** 2))(a).to_numpy(copy=True)
    cx.set_matmul_precision("bfloat16")
    rounded = cx.grad(lambda a: cx.sum((a @ b) ** 2))(a).to_numpy()
    np.testing.assert_allclose(rounded, precise, rtol=0.05, atol=0.05 * np.abs(precise).max())


def test_the_result_does_not_depend_on_the_number_of_threads():
    a, b = (cx.Tensor(each) for each in operands((700, 300), (300, 200)))
    cx.set_matmul_precision("bfloat16")
    threads, results = cx.get_num_threads(), []
    try:
        for count in (1, 2, 3):
            cx.set_num_threads(count)
            results.append((a @ b).to_numpy(copy=True))
    finally:
        cx.set_num_threads(threads)
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_an_unknown_precision_is_named_with_those_there_are():
    with pytest.raises(ValueError) as caught:
        cx.set_matmul_precision("tf32")
    assert str(caught.value) == (
        'set_matmul_precision: it takes "float32" (or "highest", "high") or "bfloat16" (or '
        '"medium"), got "tf32"'
    )
