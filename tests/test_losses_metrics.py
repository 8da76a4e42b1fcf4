"""Losses and metrics against NumPy; none of them broadcasts."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

import pycyxwiz as cx
from ops_table import log_softmax, sigmoid, softmax
from pycyxwiz import losses, metrics

RNG = np.random.default_rng(0)
P = RNG.uniform(0.05, 0.95, (6, 4)).astype(np.float32)
P /= P.sum(1, keepdims=True)
Z = RNG.normal(size=(6, 4)).astype(np.float32)
LABELS = RNG.integers(0, 4, 6)
ROWS = np.eye(4, dtype=np.float32)[LABELS]
YES = (RNG.random((6, 4)) < 0.5).astype(np.float32)


def huber(d, delta):
    return np.where(abs(d) <= delta, d * d / 2, delta * (abs(d) - delta / 2)).mean()


VALUES = {
    "mse": (lambda: losses.mse(Z, P), ((Z - P) ** 2).mean()),
    "mae": (lambda: losses.mae(Z, P), abs(Z - P).mean()),
    "huber": (lambda: losses.huber(Z, P), huber(Z - P, 1)),
    "huber delta": (lambda: losses.huber(Z, P, delta=0.3), huber(Z - P, 0.3)),
    "classes": (lambda: losses.cross_entropy(P, LABELS), -np.log(P[range(6), LABELS]).mean()),
    "column of classes": (
        lambda: losses.cross_entropy(P, LABELS[:, None]),
        -np.log(P[range(6), LABELS]).mean(),
    ),
    "one-hot": (lambda: losses.cross_entropy(P, ROWS), -np.log(P[range(6), LABELS]).mean()),
    "soft": (lambda: losses.cross_entropy(P, P), -(P * np.log(P)).sum(1).mean()),
    "logits": (
        lambda: losses.cross_entropy(Z, LABELS, from_logits=True),
        -log_softmax(Z)[range(6), LABELS].mean(),
    ),
    "binary": (
        lambda: losses.binary_cross_entropy(P, YES),
        -(YES * np.log(P) + (1 - YES) * np.log(1 - P)).mean(),
    ),
    "binary logits": (
        lambda: losses.binary_cross_entropy(Z, YES, from_logits=True),
        -(YES * np.log(sigmoid(Z)) + (1 - YES) * np.log(1 - sigmoid(Z))).mean(),
    ),
    "accuracy": (lambda: metrics.accuracy(P, LABELS), (P.argmax(1) == LABELS).mean()),
    "accuracy of rows": (lambda: metrics.accuracy(P, ROWS), (P.argmax(1) == LABELS).mean()),
    "accuracy of a column": (
        lambda: metrics.accuracy(P, LABELS[:, None]),
        (P.argmax(1) == LABELS).mean(),
    ),
    "accuracy of one output": (
        lambda: metrics.accuracy(P[:, :1], YES[:, :1]),
        ((P[:, 0] > 0.5) == YES[:, 0]).mean(),
    ),
    "binary accuracy": (lambda: metrics.binary_accuracy(P, YES), ((P > 0.5) == YES).mean()),
    "threshold": (
        lambda: metrics.binary_accuracy(P, YES, threshold=0.2),
        ((P > 0.2) == YES).mean(),
    ),
}


@pytest.mark.parametrize("name", VALUES)
def test_the_value_is_the_formulas(name):
    run, expected = VALUES[name]
    got = run()
    assert got.shape == () and got.dtype == "float32"
    assert got.item() == pytest.approx(float(expected), rel=2e-5)


def test_class_index_and_one_hot_cross_entropy_agree_in_value_and_gradient():
    for from_logits, x in ((False, P), (True, Z)):
        loss = partial(losses.cross_entropy, from_logits=from_logits)
        both = [cx.value_and_grad(loss)(cx.Tensor(x), y) for y in (LABELS, ROWS)]
        assert both[0][0].item() == pytest.approx(both[1][0].item(), rel=1e-6)
        np.testing.assert_allclose(
            both[0][1].to_numpy(), both[1][1].to_numpy(), rtol=1e-5, atol=1e-7
        )
    gradient = cx.grad(lambda z: losses.cross_entropy(z, LABELS, from_logits=True))(cx.Tensor(Z))
    np.testing.assert_allclose(gradient.to_numpy(), (softmax(Z) - ROWS) / 6, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "loss", [losses.mse, losses.mae, losses.huber, losses.binary_cross_entropy]
)
@pytest.mark.parametrize(
    "shapes", [((6,), (6, 1)), ((6, 1), (6,)), ((6, 4), (4,)), ((6, 4), ()), ((6, 4), (6, 3))]
)
def test_losses_never_broadcast(loss, shapes):
    a, b = (cx.full(s, 0.5) for s in shapes)
    mend = f"; reshape one, as in targets.reshape({list(shapes[0])})" if a.size == b.size else ""
    with pytest.raises(cx.ShapeError) as caught:
        loss(a, b)
    assert str(caught.value) == (
        f"{loss.__name__}: predictions {list(shapes[0])} and targets {list(shapes[1])} must have "
        f"one "
        f"shape, and are not broadcast{mend}"
    )


@pytest.mark.parametrize(
    "loss",
    [losses.mse, losses.mae, losses.huber, losses.binary_cross_entropy, losses.cross_entropy],
)
def test_gradients_do_not_change_when_a_batch_is_doubled_by_repetition(loss):
    p, y = cx.Tensor(P), ROWS
    once = cx.grad(lambda w: loss(p * w, y))(cx.ones(4))
    twice = cx.grad(lambda w: loss(cx.concatenate([p, p]) * w, np.concatenate([y, y])))(cx.ones(4))
    np.testing.assert_allclose(once.to_numpy(), twice.to_numpy(), rtol=1e-4, atol=1e-6)


def test_extreme_probabilities_and_logits_stay_finite():
    sure = cx.Tensor([[1.0, 0.0], [0.0, 1.0]])
    assert np.isfinite(losses.cross_entropy(sure, [1, 1]).item())
    assert np.isfinite(losses.binary_cross_entropy(sure, 1 - sure).item())
    huge = cx.Tensor([[1e4, -1e4]])
    assert losses.cross_entropy(huge, [1], from_logits=True).item() == pytest.approx(2e4)
    assert losses.binary_cross_entropy(
        huge, [[0.0, 1.0]], from_logits=True
    ).item() == pytest.approx(1e4)
    gradient = cx.grad(lambda z: losses.cross_entropy(z, [1], from_logits=True))(huge)
    assert gradient.tolist() == [[1, -1]]


def test_sequences_of_classes_are_scored_position_by_position():
    logits, labels = RNG.normal(size=(2, 3, 4)), RNG.integers(0, 4, (2, 3))
    got = losses.cross_entropy(cx.Tensor(logits), labels, from_logits=True)
    expected = -np.take_along_axis(log_softmax(logits), labels[..., None], -1).mean()
    assert got.dtype == "float64" and got.item() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("run", "kind", "message"),
    [
        (
            lambda: losses.cross_entropy(P, LABELS[:3]),
            cx.ShapeError,
            "cross_entropy: targets [3] don't fit predictions [6, 4]: they are class indices "
            "[6], or "
            "one row of 4 probabilities each",
        ),
        (
            lambda: losses.cross_entropy(P, LABELS.astype(np.float32)),
            cx.DTypeError,
            "cross_entropy: class indices are integers, not float32; convert them with "
            "astype(cx.int64)",
        ),
        (
            lambda: losses.cross_entropy(P[:, :1], LABELS),
            cx.ShapeError,
            "cross_entropy: predictions [6, 1] need a last axis of at least 2 classes; for one "
            "probability each use binary_cross_entropy",
        ),
        (
            lambda: losses.mse(LABELS, LABELS),
            cx.DTypeError,
            "mean_squared_error: predictions are int64, they must be floating",
        ),
        (
            lambda: losses.huber(P, P, delta=0),
            ValueError,
            "huber: delta must be > 0, got 0",
        ),
        (
            lambda: metrics.accuracy(P, LABELS[:3]),
            cx.ShapeError,
            "categorical_accuracy: targets [3] don't fit predictions [6, 4]",
        ),
    ],
)
def test_what_does_not_fit_says_so(run, kind, message):
    with pytest.raises(kind) as caught:
        run()
    assert str(caught.value) == message


def test_a_class_index_outside_gives_nan():
    assert np.isnan(losses.cross_entropy(P, [0, 1, 2, 3, 4, 0]).item())
    assert np.isnan(losses.cross_entropy(P, [0, 1, 2, 3, -1, 0]).item())
