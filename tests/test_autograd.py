"""grad and value_and_grad: over tensors, trees and models, of any order, and what they refuse."""

from __future__ import annotations

import gc

import numpy as np
import pytest

import pycyxwiz as cx
from pycyxwiz import _core


def test_the_gradient_has_the_form_of_the_argument():
    x = cx.Tensor([1.0, 2.0])
    assert cx.grad(lambda x: cx.sum(x**3))(x).tolist() == [3, 12]
    assert cx.grad(lambda x: x * x)(3.0).item() == 6
    pair = cx.grad(lambda p: cx.sum(p[0] * p[1]))([x, x + 1])
    assert isinstance(pair, list) and [g.tolist() for g in pair] == [[2, 3], [1, 2]]
    named = cx.grad(lambda p: cx.sum(p["a"] * 2) + p["b"]["c"][0] ** 2)(
        {"a": x, "b": {"c": (cx.Tensor(4.0),)}}
    )
    assert named["a"].tolist() == [2, 2] and named["b"]["c"][0].item() == 8
    assert isinstance(named["b"]["c"], tuple)


def test_several_arguments_give_a_tuple():
    x, y = cx.Tensor(2.0), cx.Tensor(5.0)
    assert [g.item() for g in cx.grad(lambda x, y: x * y, argnums=(0, 1))(x, y)] == [5, 2]
    assert cx.grad(lambda x, y: x * y, argnums=1)(x, y).item() == 2
    assert cx.grad(lambda x, y: x * y, argnums=-1)(x, y).item() == 2


def test_value_and_grad_gives_both_and_aux():
    x = cx.Tensor([1.0, 2.0])
    value, gradient = cx.value_and_grad(lambda x: cx.sum(x * x))(x)
    assert value.item() == 5 and gradient.tolist() == [2, 4]
    (value, more), gradient = cx.value_and_grad(
        lambda x: (cx.sum(x * x), {"twice": x * 2}), has_aux=True
    )(x)
    assert value.item() == 5 and more["twice"].tolist() == [2, 4] and gradient.tolist() == [2, 4]
    gradient, more = cx.grad(lambda x: (cx.sum(x), 7), has_aux=True)(x)
    assert gradient.tolist() == [1, 1] and more == 7


def test_what_is_not_reached_has_gradient_zero():
    gradient = cx.grad(lambda p: cx.sum(p["used"]))({"used": cx.ones(2), "idle": cx.ones((2, 2))})
    assert gradient["idle"].tolist() == [[0, 0], [0, 0]]


def test_gradients_to_a_layer_are_named_as_its_parameters():
    layer = cx.layers.Dense(3, 2)
    x = cx.Tensor(np.arange(6.0, dtype=np.float32).reshape(2, 3))
    gradient = cx.grad(lambda layer: cx.sum(layer(x)))(layer)
    assert list(gradient) == list(layer.parameters()) == ["weight", "bias"]
    assert gradient["weight"].tolist() == [[3, 3], [5, 5], [7, 7]]
    assert gradient["bias"].tolist() == [2, 2]
    model = cx.Model([layer, cx.layers.ReLU(), cx.layers.Dense(2, 1)])
    gradient = cx.grad(lambda model: cx.mean(model(x)))(model)
    assert list(gradient) == list(model.parameters())
    assert all(gradient[name].shape == value.shape for name, value in model.parameters().items())


def test_a_frozen_layer_has_no_gradient():
    model = cx.Model([cx.layers.Dense(3, 2), cx.layers.Dense(2, 1)])
    model.layers[0].trainable = False
    gradient = cx.grad(lambda model: cx.mean(model(cx.ones((1, 3)))))(model)
    assert list(gradient) == ["layers.1.weight", "layers.1.bias"]


def test_second_and_third_derivatives():
    cube = lambda x: x**3 * 2
    assert cx.grad(cx.grad(cube))(cx.Tensor(2.0)).item() == 24
    assert cx.grad(cx.grad(cx.grad(cube)))(cx.Tensor(2.0)).item() == 12
    hessian = cx.grad(lambda x: cx.sum(cx.grad(lambda x: cx.sum(x**4))(x) * cx.Tensor([1.0, 0.0])))
    assert hessian(cx.Tensor([2.0, 3.0])).tolist() == [48, 0]


def test_a_gradient_may_be_penalised():
    x = np.random.default_rng(0).normal(size=(4, 3))
    layer = cx.layers.Dense(3, 1, activation="tanh")

    def slope(layer):
        gradient = cx.grad(lambda x: cx.sum(layer(x)))(cx.Tensor(x.astype(np.float32)))
        return cx.mean(gradient**2)

    gradient = cx.grad(slope)(layer)
    weight = layer.weight.to_numpy(copy=True)
    for at in ((0, 0), (2, 0)):
        values = []
        for step in (1e-2, -1e-2):
            moved = weight.copy()
            moved[at] += step
            layer.weight = cx.Tensor(moved)
            values.append(slope(layer).item())
        layer.weight = cx.Tensor(weight)
        assert gradient["weight"].to_numpy()[at] == pytest.approx(
            (values[0] - values[1]) / 2e-2, rel=2e-2, abs=1e-4
        )


def test_no_gradient_flows_through_stop_gradient_integers_and_comparisons():
    x = cx.Tensor([2.0, 3.0])
    assert cx.grad(lambda x: cx.sum(x * cx.stop_gradient(x)))(x).tolist() == [2, 3]
    assert cx.grad(lambda x: cx.sum(x.astype("int32").astype("float32") * x))(x).tolist() == [2, 3]
    assert cx.grad(lambda x: cx.sum((x > 2) * x))(x).tolist() == [0, 1]


def test_values_read_inside_the_function_do_not_cut_the_gradient():
    def function(x):
        y = x * x
        if y.sum().item() > 1:  # evaluated here
            y = y * 3
        print(y)
        return cx.sum(y)

    assert cx.grad(function)(cx.Tensor([1.0, 2.0])).tolist() == [6, 12]


def test_gradients_inside_a_loop_that_evaluates():
    x = cx.Tensor(1.0)
    for _ in range(50):
        x = x - 0.1 * cx.grad(lambda x: (x - 3) ** 2)(x)
        cx.eval(x)
    assert x.item() == pytest.approx(3, abs=1e-3)


def test_a_loop_that_never_reads_stays_bounded():
    x, w = cx.ones((100, 100)), cx.ones((100, 100)) * 0.01
    step = lambda w: w - 0.01 * cx.grad(lambda w: cx.mean((x @ w) ** 2))(w)
    for _ in range(20):
        w = step(w)
    before = cx.memory.stats()["allocated"]
    for _ in range(2000):
        w = step(w)
    assert cx.memory.stats()["allocated"] < before + 100 * 100 * 4 * 400
    assert np.isfinite(w.to_numpy()).all()


def test_gradients_through_indexing_and_assignment():
    x = cx.Tensor([1.0, 2.0, 3.0, 4.0])

    def function(x):
        y = x * 2
        y[1:3] = x[:2] * 10
        y[0] = 5.0
        return cx.sum(y * cx.Tensor([1.0, 2.0, 3.0, 4.0])) + x[[0, 0, -1]].sum()

    assert cx.grad(function)(x).tolist() == [22, 30, 0, 9]


def test_gradients_are_to_the_argument_that_was_given_whatever_is_assigned_to_it():
    def doubled(x):
        x *= 2
        return x.sum()

    def replaced(x):
        x[0] = 0.0
        return (x * x).sum()

    def tripled(p):
        p["w"] *= 3
        return p["w"].sum()

    x = cx.ones(2)
    assert cx.grad(doubled)(x).tolist() == [2, 2] and x.tolist() == [1, 1]
    assert cx.grad(replaced)(x).tolist() == [0, 2]
    assert cx.grad(tripled)({"w": x})["w"].tolist() == [3, 3]
    assert cx.compile(cx.grad(doubled))(x).tolist() == [2, 2]

    class Scaled(cx.layers.Layer):
        def __init__(self):
            self.w = cx.ones([2])

        def forward(self, x):
            w = self.w
            w *= 4
            return (x * w).sum()

    assert cx.grad(lambda layer, x: layer(x))(Scaled(), x)["w"].tolist() == [4, 4]


def test_a_gradient_in_float64_stays_there():
    gradient = cx.grad(lambda x: cx.sum(x.astype("float32") * 2 + 0.5))(cx.Tensor(np.ones(2)))
    assert gradient.dtype == "float64" and gradient.tolist() == [2, 2]


@pytest.mark.parametrize(
    ("run", "kind", "message"),
    [
        (
            lambda: cx.grad(lambda x: x * 2)(cx.ones(3)),
            cx.ShapeError,
            "grad: {} returned a tensor of shape [3]: it must be 0-d; reduce it with mean() or "
            "sum()",
        ),
        (
            lambda: cx.grad(lambda x: 3.0)(cx.ones(3)),
            TypeError,
            "grad: {} must return a 0-d tensor, not float",
        ),
        (
            lambda: cx.grad(lambda x: cx.sum(x > 0))(cx.ones(3)),
            cx.DTypeError,
            "grad: {} returned int64: only a floating value has a gradient",
        ),
        (
            lambda: cx.value_and_grad(lambda x: cx.sum(x))(cx.arange(3)),
            cx.DTypeError,
            "value_and_grad: argument 0 of {} is int64: derivatives are taken to floating tensors; "
            "convert it with astype(cx.float32), or choose other argnums",
        ),
        (
            lambda: cx.grad(lambda x: x, argnums=1)(cx.ones(())),
            TypeError,
            "grad: argument 1 of {} must be given by position; the call has 1",
        ),
    ],
)
def test_what_has_no_gradient_says_why(run, kind, message):
    with pytest.raises(kind) as caught:
        run()
    assert str(caught.value) == message.format("<lambda>.<locals>.<lambda>")


def test_an_error_inside_the_function_leaves_the_layer_as_it_was():
    layer = cx.layers.Dense(2, 1)
    before = layer.weight.tolist()

    def fails(layer):
        layer(cx.ones((1, 2)))
        raise KeyError("mine")

    with pytest.raises(KeyError):
        cx.grad(fails)(layer)
    assert layer.weight.tolist() == before
    assert layer(cx.ones((1, 2))).shape == (1, 1)


def test_the_cores_grad_takes_a_seed_and_checks_it():
    x = _core.watch(cx.Tensor([1.0, 2.0]))
    y = x * x
    (gradient,) = _core.grad(y, [x], cx.Tensor([1.0, 10.0]))
    assert gradient.tolist() == [2, 40]
    with pytest.raises(cx.ShapeError):
        _core.grad(y, [x])
    with pytest.raises(cx.ShapeError):
        _core.grad(y, [x], cx.ones(3))
    cx.eval(y)
    (gradient,) = _core.grad(cx.sum(y), [x])  # watched: differentiable after its evaluation
    assert gradient.tolist() == [2, 4]


def test_what_a_gradient_was_computed_from_is_let_go():
    gc.collect()
    before = cx.memory.stats()["allocated"]
    x = cx.ones((100, 1000)) * 1
    gradient = cx.grad(lambda x: cx.sum(cx.exp(cx.sin(x)) * x))(x)
    cx.eval(gradient)
    del x
    gc.collect()
    assert cx.memory.stats()["allocated"] - before <= 400_000 * 1.1  # and what the pool rounds up
