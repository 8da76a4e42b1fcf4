"""Random numbers: repeatable, the same on any number of threads, and of their distribution."""

from __future__ import annotations

import numpy as np
import pytest

import pycyxwiz as cx
from pycyxwiz import _core

N = 200_000

DRAWS = {
    "uniform": lambda: cx.random.uniform([1001], -2, 3),
    "normal": lambda: cx.random.normal([1001], 1, 2),
    "normal64": lambda: cx.random.normal([1001], dtype="float64"),
    "bernoulli": lambda: cx.random.bernoulli(0.3, [1001]),
    "randint": lambda: cx.random.randint(-5, 5, [1001]),
    "permutation": lambda: cx.random.permutation(1001),
}


@pytest.mark.parametrize("name", DRAWS)
def test_the_same_seed_gives_the_same_numbers_on_any_number_of_threads(name):
    before, drawn = cx.get_num_threads(), []
    for threads in (1, 2, 3):
        cx.set_num_threads(threads)
        cx.random.seed(11)
        drawn.append((DRAWS[name]().tolist(), DRAWS[name]().tolist()))
    cx.set_num_threads(before)
    assert drawn[0] == drawn[1] == drawn[2]
    assert drawn[0][0] != drawn[0][1]
    cx.random.seed(12)
    assert DRAWS[name]().tolist() != drawn[0][0]


def test_uniform_numbers_have_their_range_mean_and_variance():
    cx.random.seed(0)
    x = cx.random.uniform([N], -2, 3).to_numpy()
    assert x.dtype == np.float32 and x.min() >= -2 and x.max() < 3
    assert x.mean() == pytest.approx(0.5, abs=0.02) and x.var() == pytest.approx(25 / 12, rel=0.02)
    assert np.histogram(x, 10)[0] == pytest.approx(N / 10, rel=0.05)
    y = cx.random.uniform([N], dtype="float64").to_numpy()
    assert y.dtype == np.float64 and len(np.unique(y)) == N and y.min() >= 0 and y.max() < 1
    assert abs(np.corrcoef(y[:-1], y[1:])[0, 1]) < 0.01


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_normal_numbers_have_their_moments(dtype):
    cx.random.seed(0)
    x = cx.random.normal([N], 1.0, 2.0, dtype=dtype).to_numpy().astype("f8")
    z = (x - 1) / 2
    assert (
        np.isfinite(z).all()
        and z.mean() == pytest.approx(0, abs=0.01)
        and z.std() == pytest.approx(1, abs=0.01)
    )
    assert (z**3).mean() == pytest.approx(0, abs=0.03) and (z**4).mean() == pytest.approx(
        3, abs=0.1
    )


def test_the_other_draws_are_of_their_distribution():
    cx.random.seed(0)
    assert cx.random.bernoulli(0.3, [N]).mean().item() == pytest.approx(0.3, abs=0.01)
    assert (
        cx.random.bernoulli(0.0, [100]).any().item() is False
        and cx.random.bernoulli(1.0, [100]).all().item() is True
    )
    counts = np.bincount(cx.random.randint(0, 6, [N]).to_numpy())
    assert len(counts) == 6 and counts == pytest.approx(N / 6, rel=0.03)
    assert cx.random.randint(-3, -2, [5]).tolist() == [-3] * 5
    first = np.array([cx.random.permutation(5).to_numpy() for _ in range(2000)])
    assert (np.sort(first, axis=1) == np.arange(5)).all()
    for column in first.T:
        assert np.bincount(column) == pytest.approx(400, rel=0.2)


@pytest.mark.parametrize("n", [0, 1, 2, 1000, 100_003])
def test_a_permutation_holds_every_number_once(n):
    p = cx.random.permutation(n)
    assert str(p.dtype) == "int64" and p.shape == (n,)
    np.testing.assert_array_equal(np.sort(p.to_numpy()), np.arange(n))
    rows = cx.random.permutation(cx.arange(12).reshape(6, 2))
    assert sorted(rows.tolist()) == cx.arange(12).reshape(6, 2).tolist()


def test_shapes_may_be_numbers_lists_tuples_or_nothing():
    assert cx.random.normal(3).shape == (3,) and cx.random.uniform((2, 0)).shape == (2, 0)
    assert cx.random.normal().shape == () and cx.random.bernoulli().shape == ()


def test_the_state_can_be_kept_and_put_back():
    cx.random.seed(5)
    cx.random.normal([3])
    state = _core.random_state()
    first = cx.random.normal([3]).tolist()
    _core.random_set_state(*state)
    assert cx.random.normal([3]).tolist() == first


def test_the_order_of_drawing_counts_not_that_of_reading():
    cx.random.seed(1)
    a, b = cx.random.uniform([3]), cx.random.uniform([3])
    late, early = b.tolist(), a.tolist()
    cx.random.seed(1)
    assert cx.random.uniform([3]).tolist() == early and cx.random.uniform([3]).tolist() == late


def test_large_seeds_differ_and_wrong_ones_are_errors():
    seen = set()
    for seed in (0, 1, 2**32, 2**63, 2**64 - 1):
        cx.random.seed(seed)
        seen.add(tuple(cx.random.uniform([2]).tolist()))
    assert len(seen) == 5
    for wrong in (-1, 2**64, 1.5, "a", None):
        with pytest.raises((TypeError, ValueError, OverflowError)):
            cx.random.seed(wrong)


def test_wrong_arguments_are_errors():
    with pytest.raises(ValueError) as caught:
        cx.random.randint(3, 3, [2])
    assert str(caught.value) == "random_randint: low must be below high"
    with pytest.raises(cx.DTypeError) as dtype:
        cx.random.normal([2], dtype="int32")
    assert str(dtype.value) == "random_uniform: it draws floating dtypes only"
    with pytest.raises(ValueError):
        cx.random.permutation(-1)
    with pytest.raises(cx.ShapeError):
        cx.random.uniform([-1])
