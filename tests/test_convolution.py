"""Convolution and pooling against naive loops, for every stride, padding and dilation."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import pycyxwiz as cx
from ops_table import avg_pool2d, conv2d, max_pool2d

CLOSE = {"float32": {"rtol": 1e-4, "atol": 1e-4}, "float64": {"rtol": 1e-10, "atol": 1e-10}}
WINDOWS = [
    (stride, padding, dilation)
    for stride, padding, dilation in itertools.product(
        [1, 2, 3, (1, 2)], [0, 1, (2, 0)], [1, 2, (1, 3)]
    )
]


def images(shape, dtype="float32", seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


@pytest.mark.parametrize(("stride", "padding", "dilation"), WINDOWS)
@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (2, 3)])
def test_convolution_agrees_with_a_naive_loop(stride, padding, dilation, kernel):
    for dtype in ("float32", "float64"):
        x, w = images((2, 3, 10, 9), dtype), images((4, 3, *kernel), dtype, 1)
        got = cx.conv2d(x, w, stride, padding, dilation)
        expected = conv2d(x, w, stride, padding, dilation)
        assert got.shape == expected.shape and str(got.dtype) == dtype
        np.testing.assert_allclose(got.to_numpy(), expected, **CLOSE[dtype])


@pytest.mark.parametrize(("stride", "padding", "dilation"), WINDOWS)
def test_the_gradients_of_convolution_are_those_of_the_loop(stride, padding, dilation):
    x, w = images((2, 2, 8, 9), "float64"), images((3, 2, 2, 3), "float64", 1)
    y = conv2d(x, w, stride, padding, dilation)
    weights = images(y.shape, "float64", 2)
    for dtype in ("float32", "float64"):

        def loss(x, w, weights=weights, dtype=dtype):
            y = cx.conv2d(x, w, stride, padding, dilation)
            return cx.sum(y * weights.astype(dtype))

        gx, gw = cx.grad(loss, argnums=(0, 1))(
            cx.Tensor(x.astype(dtype)), cx.Tensor(w.astype(dtype))
        )
        # linear in each input: the gradient along an input's direction is the value there
        dx, dw = images(x.shape, "float64", 3), images(w.shape, "float64", 4)
        along_x = (conv2d(dx, w, stride, padding, dilation) * weights).sum()
        along_w = (conv2d(x, dw, stride, padding, dilation) * weights).sum()
        close = {"rel": 1e-3, "abs": 1e-3} if dtype == "float32" else {"rel": 1e-9, "abs": 1e-9}
        assert float((gx.to_numpy() * dx).sum()) == pytest.approx(along_x, **close)
        assert float((gw.to_numpy() * dw).sum()) == pytest.approx(along_w, **close)


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"),
    [
        (2, None, 0),
        (3, 1, 0),
        (3, 2, 1),
        ((2, 3), (1, 2), (0, 1)),
        (2, 3, 0),
        ((3, 1), None, (1, 0)),
        (5, 5, 2),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_pooling_agrees_with_a_naive_loop(kernel, stride, padding, dtype):
    x = images((2, 3, 11, 10), dtype)
    for ours, loop in ((cx.max_pool2d, max_pool2d), (cx.avg_pool2d, avg_pool2d)):
        got, expected = ours(x, kernel, stride, padding), loop(x, kernel, stride, padding)
        np.testing.assert_allclose(got.to_numpy(), expected, **CLOSE[dtype])
        weights = images(expected.shape, dtype, 1)

        def loss(x, ours=ours, weights=weights):
            return cx.sum(ours(x, kernel, stride, padding) * weights)

        gradient = cx.grad(loss)(cx.Tensor(x))
        direction, step = images(x.shape, "float64", 2), 1e-6
        wide = x.astype("float64")
        ends = [
            (loop(wide + s * direction, kernel, stride, padding) * weights).sum()
            for s in (step, -step)
        ]
        along = float((gradient.to_numpy() * direction).sum())
        assert along == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-3, abs=1e-3)


@pytest.mark.parametrize(("kernel", "size"), [(2, (12, 10)), ((3, 5), (12, 10)), (2, (11, 10))])
@pytest.mark.parametrize("channels", [1, 7, 16, 37])
def test_a_window_gives_its_gradient_to_its_maximum(kernel, size, channels):
    x = images((2, channels, *size))
    x[0, 0] = 1  # ties: the first
    given = images(max_pool2d(x, kernel, None, 0).shape, seed=1)
    expected = np.zeros_like(x)
    (height, width), (rows, columns) = np.broadcast_to(kernel, 2), given.shape[2:]
    for n, c, i, j in np.ndindex(2, channels, rows, columns):
        window = x[n, c, i * height : (i + 1) * height, j * width : (j + 1) * width]
        at = np.unravel_index(window.argmax(), window.shape)
        expected[n, c, i * height + at[0], j * width + at[1]] = given[n, c, i, j]

    def loss(x, shift):
        return cx.sum(cx.max_pool2d(x + shift, kernel) * given)

    got = cx.compile(cx.grad(loss, argnums=(0, 1)))(cx.Tensor(x), cx.zeros([channels, 1, 1]))
    np.testing.assert_array_equal(got[0].to_numpy(), expected)
    sums = given.sum((0, 2, 3), np.float64)
    np.testing.assert_allclose(got[1].to_numpy()[:, 0, 0], sums, rtol=1e-4, atol=1e-4)


def test_pooling_passes_nan_as_numpy_does():
    x = images((1, 1, 6, 6))
    x[0, 0, 1, 1] = np.nan
    got, expected = cx.max_pool2d(x, 2).to_numpy(), max_pool2d(x, 2)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))
    assert np.isnan(cx.avg_pool2d(x, 2).to_numpy()).sum() == 1


def test_pooling_of_negative_images_is_not_zero_at_the_border():
    assert cx.max_pool2d(-cx.ones((1, 1, 3, 3)), 3, 1, 1).tolist() == [[[[-1.0] * 3] * 3]]
    assert cx.avg_pool2d(cx.ones((1, 1, 3, 3)), 3, 1, 1).tolist() == [[[[1.0] * 3] * 3]]


@pytest.mark.parametrize("batch", [1, 5, 32])
@pytest.mark.parametrize("channels", [1, 3, 16, 17])
def test_convolution_is_right_for_odd_channels_and_views(batch, channels):
    x, w = images((batch, 9, 8, channels)), images((5, channels, 3, 3), seed=1)
    moved = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    expected = conv2d(moved, w, 1, 1)
    for form in (
        cx.Tensor(moved),
        cx.Tensor(x).permute(0, 3, 1, 2),
        cx.Tensor(moved[:, :, ::-1].copy())[:, :, ::-1],
    ):
        np.testing.assert_allclose(
            cx.conv2d(form, w, 1, 1).to_numpy(), expected, rtol=1e-3, atol=1e-3
        )


def test_a_convolution_between_elementwise_steps_is_right():
    x, w, b = images((4, 3, 12, 12)), images((8, 3, 3, 3), seed=1), images((8, 1, 1), seed=2)
    got = cx.max_pool2d(cx.relu(cx.conv2d(x * cx.ones(1) + 1, w, 1, 1) + b), 2) * 2
    expected = max_pool2d(np.maximum(conv2d(x + 1, w, 1, 1) + b, 0), 2) * 2
    np.testing.assert_allclose(got.to_numpy(), expected, rtol=1e-3, atol=1e-3)


def test_same_padding_keeps_ceil_of_size_over_stride():
    for size, kernel, stride, dilation in itertools.product(
        [5, 8], [1, 2, 3, 4], [1, 2, 3], [1, 2]
    ):
        layer = cx.layers.Conv2D(1, 2, kernel, stride, "same", dilation=dilation)
        expected = -(-size // stride)
        x = cx.ones((1, 1, size, size))
        assert (
            layer(x).shape == (1, 2, expected, expected) == layer.output_shape((1, 1, size, size))
        )


# --- images lie with the channels last between operations on windows -------------------------------


def test_values_that_lie_with_the_channels_last_read_like_any_other():
    x, w = images((3, 2, 7, 6)), images((5, 2, 3, 2), seed=1)
    other = images((3, 5, 5, 5), seed=2)
    y, expected = cx.conv2d(x, w), conv2d(x, w)
    cases = [
        (lambda y, cx: y, "itself"),
        (lambda y, _: y + other, "with one that lies otherwise"),
        (lambda y, cx: other * y - y, "after one that lies otherwise"),
        (lambda y, cx: y * other[:1], "broadcast over images"),
        (lambda y, cx: y + other[:, :, :1, :1], "broadcast over places"),
        (lambda y, cx: cx.exp(y).sum(axis=(0, 2, 3)), "sum but for the channels"),
        (lambda y, cx: y.sum(axis=1, keepdims=True) + y, "sum of the channels"),
        (lambda y, cx: y.mean(axis=(1, 3)), "mean of two axes"),
        (lambda y, cx: y.max(axis=3), "maximum"),
        (lambda y, cx: y.argmax(axis=1), "argmax of the channels"),
        (lambda y, cx: y.argmax(), "argmax of all"),
        (lambda y, cx: y.reshape(3, -1) @ y.reshape(-1, 3), "flattened"),
        (lambda y, cx: y[:, 1:4, ::2] * 2, "sliced"),
        (lambda y, cx: y.transpose(0, 2, 3, 1) + 1, "transposed"),
        (lambda y, cx: cx.where(y > 0, y, other), "chosen"),
    ]
    for function, name in cases:
        np.testing.assert_allclose(
            np.asarray(function(y, cx)),
            function(expected, np),
            err_msg=name,
            **CLOSE["float32"],
        )


@pytest.mark.parametrize("channels", [1, 3, 16])
def test_bias_relu_and_pool_after_a_convolution_are_those_of_the_loops(channels):
    x, w, bias = images((2, 3, 9, 8)), images((channels, 3, 2, 3), seed=1), images((channels, 1, 1))
    x[1, 2, 4, 4] = np.nan  # passes through all of them
    network = cx.compile(lambda x: cx.max_pool2d(cx.relu(cx.conv2d(x, w) + bias), 2))
    sums = conv2d(x, w) + bias
    expected = max_pool2d(np.where(sums < 0, np.float32(0), sums), 2, 2, 0)
    assert np.isnan(expected).any() and not np.isnan(expected).all()
    np.testing.assert_allclose(network(cx.Tensor(x)).to_numpy(), expected, **CLOSE["float32"])


def test_a_relu_before_a_pool_has_the_gradient_of_its_own_place():
    x = images((2, 3, 6, 6))
    x[0, 0] = -1  # a window in which relu leaves nothing: no gradient
    x[0, 1] = 2  # a tie: all to the first

    def after(x):
        return cx.sum(cx.square(cx.max_pool2d(cx.relu(x), 2)))

    def apart(x):  # what lies between keeps the two from changing places
        return cx.sum(cx.square(cx.max_pool2d(cx.relu(x) * 1, 2)))

    got = cx.compile(cx.grad(after))(cx.Tensor(x)).to_numpy()
    np.testing.assert_array_equal(got, cx.grad(apart)(cx.Tensor(x)).to_numpy())
    assert not got[0, 0].any() and np.count_nonzero(got[0, 1]) == 9


@pytest.mark.parametrize("images_count", [2, 17])
@pytest.mark.parametrize("pool_channels", [1, 5, 33])
def test_pools_of_any_number_of_images_and_channels_agree_with_the_loop(
    images_count, pool_channels
):
    x = images((images_count, pool_channels, 5, 6))
    for ours, loop in ((cx.max_pool2d, max_pool2d), (cx.avg_pool2d, avg_pool2d)):
        np.testing.assert_allclose(
            ours(x, 3, 2, 1).to_numpy(), loop(x, 3, 2, 1), **CLOSE["float32"]
        )
