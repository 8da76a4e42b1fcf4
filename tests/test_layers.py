"""Layers: one driver that checks shape, dtype, parameters, training and saving of any layer."""

from __future__ import annotations

import numpy as np
import pytest

import pycyxwiz as cx
from ops_table import sigmoid, softmax
from pycyxwiz import layers


def run_layer_test(make, shape, gives, parameters, *, trains=True):
    """``make()`` takes [N, *shape], gives [N, *gives] and has so many parameters."""
    cx.random.seed(0)
    layer = make()
    x = np.random.default_rng(0).normal(size=(6, *shape)).astype(np.float32)
    y = layer(x)
    assert y.shape == (6, *gives) and y.dtype == "float32"
    assert sum(p.size for p in layer.parameters().values()) == parameters
    # What it says without computing is what it gives.
    said = layer.output_shape((6, *shape))
    assert all(a is None or a is ... or a == b for a, b in zip(said, y.shape, strict=False))
    # Inputs of other dtypes, and arrays and tensors, are one.
    np.testing.assert_allclose(
        layer(x.astype("float64")).to_numpy(), y.to_numpy(), rtol=1e-4, atol=1e-5
    )
    np.testing.assert_array_equal(layer(cx.Tensor(x)).to_numpy(), y.to_numpy())
    # A compiled call gives the same.
    np.testing.assert_allclose(
        cx.compile(layer)(cx.Tensor(x)).to_numpy(), y.to_numpy(), rtol=1e-5, atol=1e-6
    )
    assert layer(np.zeros((0, *shape), np.float32)).shape == (0, *gives)
    # Training changes every parameter and lowers the loss.
    if parameters:
        before = {name: p.to_numpy(copy=True) for name, p in layer.parameters().items()}
        target = np.random.default_rng(1).uniform(0.1, 0.9, y.shape).astype(np.float32)
        optimizer = cx.optimizers.Adam(lr=0.01)
        step = cx.value_and_grad(lambda layer: cx.losses.mse(layer(x, training=True), target))
        values = []
        for _ in range(10):
            value, gradient = step(layer)
            optimizer.update(layer, gradient)
            values.append(value.item())
        assert values[-1] < values[0]
        assert all((p.to_numpy() != before[name]).any() for name, p in layer.parameters().items())
    # A model of it is saved and loaded whole.
    return layer


LAYERS = {
    "dense": (lambda: layers.Dense(5, 3), (5,), (3,), 18),
    "dense on rows of rows": (lambda: layers.Dense(5, 3, "tanh"), (4, 5), (4, 3), 18),
    "dense without bias": (lambda: layers.Dense(5, 3, bias=False), (5,), (3,), 15),
    "dense softmax": (lambda: layers.Dense(5, 3, "softmax", init="he_normal"), (5,), (3,), 18),
    "dense linear": (lambda: layers.Dense(5, 3, "linear", init="glorot_normal"), (5,), (3,), 18),
    "dense softplus": (lambda: layers.Dense(5, 3, "softplus", init="he_uniform"), (5,), (3,), 18),
    "dense log_softmax": (lambda: layers.Dense(5, 3, "log_softmax"), (5,), (3,), 18),
    "dropout": (lambda: layers.Dropout(0.4), (5, 2), (5, 2), 0),
    "flatten": (lambda: layers.Flatten(), (5, 2, 3), (30,), 0),
    "flatten of numbers": (lambda: layers.Flatten(), (), (1,), 0),
    "relu": (lambda: layers.ReLU(), (5, 2), (5, 2), 0),
    "sigmoid": (lambda: layers.Sigmoid(), (5,), (5,), 0),
    "tanh": (lambda: layers.Tanh(), (5,), (5,), 0),
    "softmax": (lambda: layers.Softmax(), (5,), (5,), 0),
    "softmax axis": (lambda: layers.Softmax(axis=1), (5, 3), (5, 3), 0),
    "conv": (lambda: layers.Conv2D(2, 4, 3, activation="relu"), (2, 8, 9), (4, 6, 7), 76),
    "conv same": (lambda: layers.Conv2D(2, 4, 3, padding="same"), (2, 8, 9), (4, 8, 9), 76),
    "conv valid": (
        lambda: layers.Conv2D(2, 4, (2, 3), 2, "valid", bias=False),
        (2, 8, 9),
        (4, 4, 4),
        48,
    ),
    "conv dilated": (
        lambda: layers.Conv2D(1, 1, 3, padding=1, dilation=2),
        (1, 8, 9),
        (1, 6, 7),
        10,
    ),
    "max pool": (lambda: layers.MaxPool2D(), (2, 8, 9), (2, 4, 4), 0),
    "max pool overlapping": (lambda: layers.MaxPool2D(3, 2, 1), (2, 8, 9), (2, 4, 5), 0),
    "average pool": (lambda: layers.AvgPool2D((2, 3)), (2, 8, 9), (2, 4, 3), 0),
    "model": (lambda: cx.Model([layers.Dense(5, 4, "relu"), layers.Dense(4, 2)]), (5,), (2,), 34),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_has_its_shape_parameters_and_trains(name):
    run_layer_test(*LAYERS[name])


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_saved_and_loaded_in_a_model(name, tmp_path):
    make, shape, _, _ = LAYERS[name]
    model = cx.Model([make()])
    x = np.random.default_rng(0).normal(size=(3, *shape)).astype(np.float32)
    model.save(tmp_path / "m.safetensors")
    again = cx.Model.load(tmp_path / "m.safetensors")
    assert repr(again.layers[0]) == repr(model.layers[0])
    np.testing.assert_array_equal(again(x).to_numpy(), model(x).to_numpy())


def test_dense_is_an_affine_map_and_its_activation():
    layer = layers.Dense(3, 2, activation="sigmoid")
    x = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    w, b = layer.weight.to_numpy(), layer.bias.to_numpy()
    np.testing.assert_allclose(layer(x).to_numpy(), sigmoid(x @ w + b), rtol=1e-5)
    np.testing.assert_allclose(
        layer.logits(cx.Tensor(x)).to_numpy(), x @ w + b, rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(layers.Softmax()(x).to_numpy(), softmax(x), rtol=1e-5)
    custom = layers.Dense(3, 2, activation=lambda x: x * 0)
    assert custom(x).tolist() == [[0, 0]] * 4


def test_dropout_keeps_the_mean_and_is_off_in_inference():
    cx.random.seed(0)
    layer, x = layers.Dropout(0.25), cx.ones((200, 200))
    assert layer(x).tolist() == x.tolist()
    dropped = layer(x, training=True).to_numpy()
    assert set(np.unique(dropped).tolist()) == {0.0, np.float32(1 / 0.75).item()}
    assert (dropped == 0).mean() == pytest.approx(
        0.25, abs=0.01
    ) and dropped.mean() == pytest.approx(1, abs=0.02)
    assert layer(x, training=True).tolist() != dropped.tolist()
    model = cx.Model([cx.Model([layer])])
    assert (model(x, training=True).to_numpy() == 0).any() and (model(x).to_numpy() == 1).all()
    gradient = cx.grad(lambda x: cx.sum(layer(x, training=True)))(x).to_numpy()
    assert set(np.unique(gradient).tolist()) == {0.0, np.float32(1 / 0.75).item()}


@pytest.mark.parametrize("init", ["glorot_uniform", "glorot_normal", "he_uniform", "he_normal"])
def test_first_weights_have_the_variance_of_their_scheme(init):
    cx.random.seed(1)
    weight = layers.Dense(400, 200, init=init).weight.to_numpy()
    variance = 2 / 600 if init.startswith("glorot") else 2 / 400
    assert weight.var() == pytest.approx(variance, rel=0.05) and abs(weight.mean()) < 0.001
    filters = layers.Conv2D(20, 30, 5, init=init).weight.to_numpy()
    variance = 2 / (50 * 25) if init.startswith("glorot") else 2 / 500
    assert filters.var() == pytest.approx(variance, rel=0.08)


def test_a_layer_of_ones_own_finds_parameters_state_and_layers_below():
    class Block(layers.Layer):
        def __init__(self):
            self.scale = cx.ones([3])
            self._seen = cx.zeros([])
            self.steps = cx.zeros([], dtype="int64")
            self.parts = [layers.Dense(3, 3), {"deep": layers.Dense(3, 3, bias=False)}]

        def forward(self, x, *, training=False):
            if training:
                self._seen = self._seen + 1
            return self.parts[1]["deep"](self.parts[0](x)) * self.scale

    block = Block()
    assert list(block.parameters()) == [
        "scale",
        "parts.0.weight",
        "parts.0.bias",
        "parts.1.deep.weight",
    ]
    assert set(block.state()) == {*block.parameters(), "_seen", "steps"}
    block(cx.ones((1, 3)), training=True)
    block(cx.ones((1, 3)))
    assert block._seen.item() == 1
    state = {name: value.to_numpy(copy=True) for name, value in block.state().items()}
    again = Block()
    again.load_state(state)
    assert again(cx.ones((1, 3))).tolist() == block(cx.ones((1, 3))).tolist()


def test_a_state_that_misses_or_ignores_a_weight_is_an_error():
    layer = layers.Dense(2, 1)
    good = layer.state()
    with pytest.raises(ValueError) as missing:
        layer.load_state({"weight": good["weight"]})
    assert str(missing.value) == "the state does not fit Dense(2, 1): it lacks bias"
    with pytest.raises(ValueError) as unknown:
        layer.load_state({**good, "extra": good["bias"]})
    assert str(unknown.value) == "the state does not fit Dense(2, 1): it has extra, unknown here"
    with pytest.raises(cx.ShapeError) as shape:
        layer.load_state({**good, "bias": cx.zeros(2)})
    assert str(shape.value) == "bias has shape [2], needs [1]"
    with pytest.raises(ValueError) as dtype:
        layer.load_state({**good, "bias": cx.zeros(1, dtype="float64")})
    assert str(dtype.value) == "bias is float64, needs float32"


def test_repr_shows_how_a_layer_was_made():
    assert repr(layers.Dense(784, 128, activation="relu")) == "Dense(784, 128, activation='relu')"
    assert repr(layers.Dropout(0.2)) == "Dropout(0.2)" and repr(layers.ReLU()) == "ReLU()"
    assert repr(layers.Conv2D(1, 2, 3, padding="same")) == "Conv2D(1, 2, 3, padding='same')"
    assert repr(cx.Model([layers.Flatten()])) == "Model(layers=[Flatten()])"
