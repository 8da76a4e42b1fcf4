"""Each optimizer against its paper's rule, written again in NumPy; schedules; what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest

import pycyxwiz as cx
from pycyxwiz import optimizers
from pycyxwiz.optimizers import schedules


def sgd(w, g, s, t, lr=0.1, momentum=0.0, nesterov=False, decay=0.0):
    g = g + decay * w
    if not momentum:
        return w - lr * g
    s["v"] = momentum * s.get("v", 0) + g
    return w - lr * (g + momentum * s["v"] if nesterov else s["v"])


def adam(w, g, s, t, lr=0.1, b1=0.9, b2=0.999, eps=1e-8, decay=0.0, decoupled=0.0):
    w = w - lr * decoupled * w
    g = g + decay * w
    s["m"] = b1 * s.get("m", 0) + (1 - b1) * g
    s["v"] = b2 * s.get("v", 0) + (1 - b2) * g * g
    return w - lr * (s["m"] / (1 - b1**t)) / (np.sqrt(s["v"] / (1 - b2**t)) + eps)


def rmsprop(w, g, s, t, lr=0.1, rho=0.9, momentum=0.0, eps=1e-8):
    s["q"] = rho * s.get("q", 0) + (1 - rho) * g * g
    step = g / (np.sqrt(s["q"]) + eps)
    s["v"] = momentum * s.get("v", 0) + step
    return w - lr * (s["v"] if momentum else step)


RULES = {
    "sgd": (lambda: optimizers.SGD(0.1), sgd, {}),
    "momentum": (lambda: optimizers.SGD(0.1, momentum=0.9), sgd, {"momentum": 0.9}),
    "nesterov": (
        lambda: optimizers.SGD(0.1, momentum=0.8, nesterov=True),
        sgd,
        {"momentum": 0.8, "nesterov": True},
    ),
    "decayed sgd": (lambda: optimizers.SGD(0.1, weight_decay=0.05), sgd, {"decay": 0.05}),
    "adam": (lambda: optimizers.Adam(0.1), adam, {}),
    "adam betas": (
        lambda: optimizers.Adam(0.1, 0.5, 0.9, 1e-3),
        adam,
        {"b1": 0.5, "b2": 0.9, "eps": 1e-3},
    ),
    "adam with decay": (lambda: optimizers.Adam(0.1, weight_decay=0.1), adam, {"decay": 0.1}),
    "adamw": (lambda: optimizers.AdamW(0.1), adam, {"decoupled": 0.01}),
    "adamw strong": (lambda: optimizers.AdamW(lr=0.1, weight_decay=0.3), adam, {"decoupled": 0.3}),
    "rmsprop": (lambda: optimizers.RMSprop(0.1), rmsprop, {}),
    "rmsprop momentum": (
        lambda: optimizers.RMSprop(0.1, 0.8, momentum=0.7),
        rmsprop,
        {"rho": 0.8, "momentum": 0.7},
    ),
}


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_steps_follow_the_papers_rule(name, dtype):
    make, rule, options = RULES[name]
    optimizer, rng, state = make(), np.random.default_rng(0), {}
    w = rng.normal(size=(3, 4))
    tree = {"w": cx.Tensor(w.astype(dtype))}
    for t in range(1, 8):
        g = rng.normal(size=w.shape)
        w = rule(w, g, state, t, **options)
        tree = optimizer.update(tree, {"w": cx.Tensor(g.astype(dtype))})
        close = (
            {"rtol": 1e-4, "atol": 1e-5} if dtype == "float32" else {"rtol": 1e-10, "atol": 1e-12}
        )
        np.testing.assert_allclose(tree["w"].to_numpy(), w, **close)
    assert tree["w"].dtype == dtype and optimizer.step.item() == 7


@pytest.mark.parametrize("name", RULES)
def test_one_step_changes_every_trainable_weight_of_a_model(name):
    model = cx.Model([cx.layers.Dense(3, 4, "tanh"), cx.layers.Dense(4, 2)])
    before = {k: v.to_numpy(copy=True) for k, v in model.parameters().items()}
    gradients = {k: cx.ones_like(v) for k, v in model.parameters().items()}
    assert RULES[name][0]().update(model, gradients) is model
    assert all((v.to_numpy() != before[k]).all() for k, v in model.parameters().items())


def test_a_rate_may_be_any_number():
    for one in (1, np.float32(1), cx.Tensor(1.0)):
        optimizer = optimizers.SGD(lr=one)
        optimizer.learning_rate = one
        assert optimizer.learning_rate == 1.0 and type(optimizer.learning_rate) is float


def test_the_learning_rate_may_change_at_any_time():
    optimizer = optimizers.SGD(lr=1.0)
    w = optimizer.update(cx.zeros(1), cx.ones(1))
    optimizer.learning_rate = 0.25
    assert optimizer.update(w, cx.ones(1)).item() == -1.25 and optimizer.learning_rate == 0.25


def test_gradients_are_clipped_by_their_common_norm():
    optimizer = optimizers.SGD(lr=1.0, clip_norm=1.0)
    tree = optimizer.update([cx.zeros(1), cx.zeros(1)], [cx.Tensor([3.0]), cx.Tensor([4.0])])
    np.testing.assert_allclose([tree[0].item(), tree[1].item()], [-0.6, -0.8], rtol=1e-6)
    small = optimizers.SGD(lr=1.0, clip_norm=10.0).update(cx.zeros(1), cx.ones(1))
    assert small.item() == -1
    still = optimizers.SGD(lr=1.0, clip_norm=1.0).update(cx.ones(1), cx.zeros(1))
    assert still.item() == 1


def cosine(step, rate=0.5, steps=100, final=0.1):
    return final + (rate - final) * (0.5 + 0.5 * math.cos(math.pi * min(step / steps, 1)))


SCHEDULES = [
    (schedules.Constant(0.3), lambda s: 0.3),
    (schedules.Step(0.5, every=10, factor=0.5), lambda s: 0.5 * 0.5 ** (s // 10)),
    (schedules.Exponential(0.5, every=10, factor=0.25), lambda s: 0.5 * 0.25 ** (s / 10)),
    (schedules.Cosine(0.5, steps=100, final=0.1), cosine),
    (schedules.WarmUp(0.5, steps=4), lambda s: 0.5 * min((s + 1) / 5, 1)),
    (
        schedules.WarmUp(schedules.Cosine(0.5, 100, 0.1), steps=4),
        lambda s: cosine(max(s - 4, 0)) * min((s + 1) / 5, 1),
    ),
]


@pytest.mark.parametrize("number", range(len(SCHEDULES)))
def test_schedules_give_their_rate_for_numbers_and_tensors(number):
    schedule, expected = SCHEDULES[number]
    for step in (0, 1, 3, 4, 9, 10, 25, 99, 100, 1000):
        assert float(schedule(step)) == pytest.approx(expected(step), rel=1e-5)
        assert float(schedule(cx.Tensor(np.array(float(step))))) == pytest.approx(
            expected(step), rel=1e-9
        )


@pytest.mark.parametrize("number", range(len(SCHEDULES)))
def test_an_optimizer_follows_its_schedule(number):
    schedule, expected = SCHEDULES[number]
    optimizer, w, total = optimizers.SGD(lr=schedule), cx.zeros(()), 0.0
    for step in range(15):
        w = optimizer.update(w, cx.ones(()))
        total -= expected(step)
    assert w.item() == pytest.approx(total, rel=1e-4)


def test_an_optimizer_serves_one_target():
    optimizer, a, b = optimizers.Adam(), cx.layers.Dense(2, 1), cx.layers.Dense(2, 1)
    zeros = {k: cx.zeros_like(v) for k, v in a.parameters().items()}
    optimizer.update(a, zeros)
    with pytest.raises(ValueError) as other:
        optimizer.update(b, zeros)
    assert str(other.value) == (
        "this Adam keeps state of another model's parameters: make one optimizer for each model, "
        "or "
        "call reset() first"
    )
    optimizer.reset()
    optimizer.update(b, zeros)
    with pytest.raises(ValueError) as keys:
        optimizers.SGD().update(a, {"weight": zeros["weight"]})
    assert str(keys.value) == (
        "the gradients don't belong to these parameters: needed are weight, bias; got weight"
    )
    with pytest.raises(cx.ShapeError) as shape:
        optimizers.SGD().update(a, {**zeros, "bias": cx.zeros(3)})
    assert str(shape.value) == "the gradient of bias has shape [3], the parameter [1]"


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (
            lambda: optimizers.SGD(-1),
            ValueError,
            "SGD: learning_rate must be a finite number ≥ 0, got -1",
        ),
        (
            lambda: optimizers.Adam(lr=float("nan")),
            ValueError,
            "Adam: learning_rate must be a finite number ≥ 0, got nan",
        ),
        (
            lambda: optimizers.Adam("fast"),
            TypeError,
            "Adam: learning_rate must be a number, got 'fast'",
        ),
        (
            lambda: optimizers.Adam(beta1=1),
            ValueError,
            "Adam: beta1 must be a finite number in [0, 1), got 1",
        ),
        (lambda: optimizers.SGD(nesterov=True), ValueError, "SGD: nesterov needs a momentum > 0"),
        (
            lambda: optimizers.SGD(0.1, lr=0.1),
            ValueError,
            "SGD: lr and learning_rate are one thing: give one",
        ),
        (lambda: optimizers.SGD(clip_norm=0), ValueError, "SGD: clip_norm must be > 0, got 0"),
        (
            lambda: optimizers.named("adamm"),
            ValueError,
            "unknown optimizer 'adamm'; known are adam, adamw, rmsprop, sgd",
        ),
        (
            lambda: schedules.Step(0.1, 0),
            ValueError,
            "Step: every must be a finite number ≥ 1, got 0",
        ),
        (
            lambda: schedules.Cosine("a", 1),
            TypeError,
            "Cosine: learning_rate must be a number, got 'a'",
        ),
    ],
)
def test_wrong_settings_are_refused(make, kind, message):
    with pytest.raises(kind) as caught:
        make()
    assert str(caught.value) == message


def test_repr_shows_the_settings():
    assert repr(optimizers.Adam(lr=0.002)) == "Adam(learning_rate=0.002)"
