"""Bad input: every mistake of a user of models is an error that says what to do, never a crash."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest

import pycyxwiz as cx
from pycyxwiz import layers

X = np.random.default_rng(0).normal(size=(10, 4)).astype(np.float32)
Y = np.arange(10) % 3


def model(loss="cross_entropy", last="softmax"):
    made = cx.Model([layers.Dense(4, 8, activation="relu"), layers.Dense(8, 3, activation=last)])
    made.compile("adam", loss)
    return made


def nan_labels():
    y = Y.astype(np.float32)
    y[[2, 5]] = np.nan
    return y


CASES = {
    # names
    "activation": (
        lambda: layers.Dense(2, 2, activation="rleu"),
        ValueError,
        "unknown activation 'rleu'; known are linear, log_softmax, relu, sigmoid, softmax, "
        "softplus, tanh",
    ),
    "initializer": (
        lambda: layers.Dense(2, 2, init="xavier"),
        ValueError,
        "unknown initializer 'xavier'; known are glorot_normal, glorot_uniform, he_normal, "
        "he_uniform",
    ),
    "loss": (
        lambda: model("crossentropy"),
        ValueError,
        "unknown loss 'crossentropy'; known are binary_cross_entropy, cross_entropy, huber, mae, "
        "mean_absolute_error, mean_squared_error, mse, or pass a function",
    ),
    "optimizer": (
        lambda: model().compile("adamm", "mse"),
        ValueError,
        "unknown optimizer 'adamm'; known are adam, adamw, rmsprop, sgd",
    ),
    "optimizer type": (
        lambda: model().compile(3, "mse"),
        TypeError,
        "the optimizer must be a name or an object such as cx.optimizers.Adam(), got 3",
    ),
    "metric": (
        lambda: model().compile("adam", "mse", ["acuracy"]),
        ValueError,
        "unknown metric 'acuracy'; known are accuracy, binary_accuracy, binary_cross_entropy, "
        "categorical_accuracy, cross_entropy, huber, mae, mean_absolute_error, "
        "mean_squared_error, mse, or "
        "pass a function",
    ),
    "metric twice": (
        lambda: model().compile("adam", "mse", ["mae", "mae"]),
        ValueError,
        "two of the loss and metrics are called 'mae'",
    ),
    "device": (
        lambda: cx.set_device("gpu"),
        cx.DeviceError,
        None,
    ),
    # layers that don't fit
    "add": (
        lambda: cx.Model([layers.Dense(784, 64), layers.Dense(128, 10)]),
        cx.ShapeError,
        "Dense(128, 10) got input [..., 64]: it needs [..., 128]; the layer before it, "
        "Dense(784, 64), gives 64",
    ),
    "input": (
        lambda: model().predict(X[:, :3]),
        cx.ShapeError,
        "Dense(4, 8, activation='relu') got input [?, 3]: it needs [..., 4]",
    ),
    "call": (
        lambda: model()(X[:, :3]),
        cx.ShapeError,
        "Dense(4, 8, activation='relu') got input [10, 3]: it needs [..., 4]",
    ),
    "fit input": (
        lambda: model().fit(X[:, :3], Y, verbose=0),
        cx.ShapeError,
        "Dense(4, 8, activation='relu') got input [?, 3]: it needs [..., 4]",
    ),
    "channels last": (
        lambda: layers.Conv2D(3, 4, 3)(np.zeros((2, 8, 8, 3))),
        cx.ShapeError,
        "Conv2D(3, 4, 3) got input [2, 8, 8, 3]: it needs [N, 3, H, W]; move the channels from "
        "the last place "
        "with transpose(0, 3, 1, 2)",
    ),
    "no channel axis": (
        lambda: layers.Conv2D(1, 4, 3)(np.zeros((2, 8, 8))),
        cx.ShapeError,
        "Conv2D(1, 4, 3) got input [2, 8, 8]: it needs [N, 1, H, W]; add the channel axis with "
        "expand_dims(1)",
    ),
    "small image": (
        lambda: layers.Conv2D(1, 4, 5)(np.zeros((2, 1, 4, 8))),
        cx.ShapeError,
        "Conv2D(1, 4, 5) got input [2, 1, 4, 8]: it needs images of at least 5 × 5, padding "
        "included",
    ),
    "no layer": (lambda: cx.Model(["dense"]), TypeError, "a model is made of layers, got 'dense'"),
    "empty model": (
        lambda: cx.Model().predict(X),
        ValueError,
        "the model has no layers: add() some first",
    ),
    "features": (
        lambda: layers.Dense(0, 3),
        ValueError,
        "Dense: in_features must be a whole number ≥ 1, got 0",
    ),
    "features type": (
        lambda: layers.Dense(4, 2.5),
        ValueError,
        "Dense: out_features must be a whole number ≥ 1, got 2.5",
    ),
    "rate": (
        lambda: layers.Dropout(1.0),
        ValueError,
        "Dropout: rate must be a number in [0, 1), got 1.0",
    ),
    "padding name": (
        lambda: layers.Conv2D(1, 1, 3, padding="full"),
        ValueError,
        'Conv2D: padding must be a number, a pair, "same" or "valid", got \'full\'',
    ),
    "kernel": (
        lambda: layers.MaxPool2D((1, 2, 3)),
        ValueError,
        "MaxPool2D: kernel_size must be a number or a pair (vertical, horizontal), got (1, 2, 3)",
    ),
    "pool padding": (
        lambda: layers.AvgPool2D(2, padding=2),
        ValueError,
        "AvgPool2D: padding (2, 2) is more than half of the window (2, 2): some windows would "
        "hold nothing else",
    ),
    # data
    "before compile": (
        lambda: cx.Model([layers.Dense(4, 3)]).fit(X, Y),
        RuntimeError,
        "fit needs a loss: call model.compile(optimizer=..., loss=...) first",
    ),
    "evaluate before compile": (
        lambda: cx.Model([layers.Dense(4, 3)]).evaluate(X, Y),
        RuntimeError,
        "evaluate needs a loss: call model.compile(optimizer=..., loss=...) first",
    ),
    "lengths": (
        lambda: model().fit(X, Y[:7], verbose=0),
        ValueError,
        "x has 10 examples, y has 7: they must have as many",
    ),
    "validation lengths": (
        lambda: model().fit(X, Y, validation_data=(X, Y[:7]), verbose=0),
        ValueError,
        "validation_data's x has 10 examples, validation_data's y has 7: they must have as many",
    ),
    "validation no pair": (
        lambda: model().fit(X, Y, validation_data=X, verbose=0),
        ValueError,
        "validation_data must be a pair (x, y)",
    ),
    "split": (
        lambda: model().fit(X, Y, validation_split=1.0, verbose=0),
        ValueError,
        "validation_split must be in [0, 1), got 1.0",
    ),
    "empty": (
        lambda: model().fit(X[:0], Y[:0], verbose=0),
        ValueError,
        "x is empty: its shape is [0, 4]",
    ),
    "empty list": (lambda: model().predict([]), ValueError, "x is empty: its shape is [0]"),
    "NaN labels": (
        lambda: model().fit(X, nan_labels(), verbose=0),
        ValueError,
        "y holds 2 NaN: drop those examples or fill them in",
    ),
    "NaN targets": (
        lambda: model("mse", None).fit(X, np.full((10, 3), np.nan), verbose=0),
        ValueError,
        "y holds 30 NaN: drop those examples or fill them in",
    ),
    "class too large": (
        lambda: model().fit(X, Y + 1, verbose=0),
        ValueError,
        "y holds class 3, but the model has 3 classes, 0 to 2",
    ),
    "negative class": (
        lambda: model().evaluate(X, Y - 1),
        ValueError,
        "y holds class -1, but the model has 3 classes, 0 to 2",
    ),
    "broken class": (
        lambda: model().fit(X, Y + 0.5, verbose=0),
        ValueError,
        "y holds 0.5: class indices are whole numbers",
    ),
    "label shape": (
        lambda: model().fit(X, np.zeros((10, 2)), verbose=0),
        cx.ShapeError,
        "y has shape [N, 2], the model gives [N, 3]: y must hold a class index for each example, "
        "[N], or a row "
        "of 3 probabilities",
    ),
    "target shape": (
        lambda: model("mse", None).fit(X, np.zeros(10), verbose=0),
        cx.ShapeError,
        "y has shape [N], the model gives [N, 3]: they must be equal",
    ),
    "yes or no": (
        lambda: model("binary_cross_entropy", "sigmoid").fit(X, np.full((10, 3), 2), verbose=0),
        ValueError,
        "y holds 2: yes-or-no targets are 0, 1 or between them",
    ),
    "names as labels": (
        lambda: model().fit(X, np.array(["cat"] * 10), verbose=0),
        ValueError,
        "y holds 'cat' (<U3): only real numbers can be computed with; for class names use "
        "np.unique(names, return_inverse=True)[1]",
    ),
    "infinite labels": (
        lambda: model().fit(X, np.full(10, np.inf), verbose=0),
        ValueError,
        "y holds inf: class indices are whole numbers",
    ),
    "one number as targets": (
        lambda: model().fit(X, 1, verbose=0),
        ValueError,
        "y is one number, 1: it must hold one entry for each example",
    ),
    "complex inputs": (
        lambda: model().fit(X.astype(complex), Y, verbose=0),
        ValueError,
        None,
    ),
    "validation_split type": (
        lambda: model().fit(X, Y, validation_split="a", verbose=0),
        ValueError,
        "validation_split must be in [0, 1), got 'a'",
    ),
    "callbacks": (
        lambda: model().fit(X, Y, callbacks=[3], verbose=0),
        TypeError,
        "callbacks are objects of cx.callbacks.Callback, got 3",
    ),
    "optimizer class": (
        lambda: model().compile(cx.optimizers.Adam, "mse"),
        TypeError,
        "the optimizer must be a name or an object such as cx.optimizers.Adam(), got "
        "<class 'pycyxwiz.optimizers.adam.Adam'>",
    ),
    "None": (
        lambda: model().fit(X, None, verbose=0),
        (TypeError, ValueError),
        None,
    ),
    "a word": (
        lambda: model().predict("photo.png"),
        TypeError,
        "x must be an array, a tensor, a table or a list, got 'photo.png'",
    ),
    "complex": (lambda: model().predict(X + 1j), ValueError, None),
    "ragged": (lambda: model().predict([[1, 2], [3]]), ValueError, None),
    "epochs": (
        lambda: model().fit(X, Y, epochs=0),
        ValueError,
        "epochs must be a whole number ≥ 1, got 0",
    ),
    "batch size": (
        lambda: model().fit(X, Y, batch_size=2.5),
        ValueError,
        "batch_size must be a whole number ≥ 1, got 2.5",
    ),
    "verbose": (lambda: model().fit(X, Y, verbose=7), ValueError, None),
    "one class": (
        lambda: cx.Model([layers.Dense(4, 1)]).compile("adam", "cross_entropy") or 1 / 0,
        ZeroDivisionError,
        None,
    ),
    "loss not a number": (
        lambda: model(lambda p, t: p).fit(X, np.zeros((10, 3)), verbose=0),
        cx.ShapeError,
        None,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_mistake_is_an_error_that_says_what_to_do(name):
    action, kind, message = CASES[name]
    with pytest.raises(kind) as caught:
        action()
    if message is not None:
        assert str(caught.value) == message


def test_cross_entropy_needs_two_classes():
    made = cx.Model([layers.Dense(4, 1, activation="sigmoid")])
    made.compile("adam", "cross_entropy")
    with pytest.raises(cx.ShapeError) as caught:
        made.fit(X, Y % 2, verbose=0)
    assert str(caught.value) == (
        "cross_entropy needs a model with an output for each of at least 2 classes; this one "
        "gives [N, 1]. "
        "For one yes-or-no output use binary_cross_entropy"
    )


def test_a_loss_that_reads_a_value_is_told_so_without_names_of_ours():
    made = model(lambda p, t: cx.mean(p - t).item())
    with pytest.raises(cx.TracingError) as caught:
        made.fit(X, np.zeros((10, 3)), verbose=0)
    assert "static_argnames=(" not in str(caught.value).replace("static_argnames=...", "")


def test_a_table_with_text_columns_names_them():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": [1.0] * 10, "b": [1] * 10, "city": ["x"] * 10, "d": [0.0] * 10})
    with pytest.raises(ValueError) as caught:
        model().fit(frame, Y, verbose=0)
    assert str(caught.value) == "x has columns that are not numbers: city; drop or encode them"


def test_a_failed_fit_leaves_the_model_usable():
    made = model()
    before = made.predict(X).to_numpy(copy=True)
    with pytest.raises(ValueError):
        made.fit(X, Y + 1, verbose=0)
    np.testing.assert_array_equal(made.predict(X).to_numpy(), before)

    class Fails(cx.callbacks.Callback):
        def on_epoch_end(self, epoch, logs):
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        made.fit(X, Y, verbose=0, callbacks=[Fails()])
    assert np.isfinite(made.predict(X).to_numpy()).all()
    assert made.fit(X, Y, verbose=0).epoch == [0]


def test_nan_inputs_train_to_nan_without_a_crash():
    x = X.copy()
    x[0, 0] = np.nan
    history = model().fit(x, Y, epochs=2, verbose=0)
    assert np.isnan(history.history["loss"][-1])


# --- files ----------------------------------------------------------------------------------------


def saved(tmp_path):
    path = tmp_path / "model.safetensors"
    model().save(path)
    return path


def rewritten(path, change_header=None, change_model=None):
    """The file with its header, or the JSON that describes the model, changed."""
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    if change_header:
        change_header(header)
    if change_model:
        described = json.loads(header["__metadata__"]["pycyxwiz"])
        change_model(described)
        header["__metadata__"]["pycyxwiz"] = json.dumps(described)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + size :])


@pytest.mark.parametrize("cut", [0, 3, 8, 100, -1])
def test_a_truncated_file_is_an_error(tmp_path, cut):
    path = saved(tmp_path)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ValueError) as caught:
        cx.Model.load(path)
    assert str(caught.value).startswith(f"'{path}' is no safetensors file, or a damaged one: ")


@pytest.mark.parametrize("content", [b"hello", b"\x80\x04K\x01.", b"\xff" * 1000, b"\0" * 64])
def test_a_foreign_file_is_an_error(tmp_path, content):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is no safetensors file, or a damaged one"):
        cx.Model.load(path)


def test_a_safetensors_file_of_another_program_is_an_error(tmp_path):
    from safetensors.numpy import save_file

    path = tmp_path / "other.safetensors"
    save_file({"w": np.zeros(3)}, path)
    with pytest.raises(ValueError) as caught:
        cx.Model.load(path)
    assert str(caught.value) == (
        f"'{path}' is a safetensors file of another program: it describes no pycyxwiz model"
    )


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        cx.Model.load(tmp_path / "none.safetensors")
    assert str(caught.value) == f"there is no model file '{tmp_path / 'none.safetensors'}'"
    with pytest.raises(FileNotFoundError):
        cx.Model.load(tmp_path)
    with pytest.raises((OSError, ValueError)):
        model().save(tmp_path / "no" / "such" / "folder")


def test_a_file_that_misses_or_adds_a_weight_is_an_error(tmp_path):
    path = saved(tmp_path)
    rewritten(path, lambda header: header.update(extra=header.pop("layers.1.bias")))
    with pytest.raises(ValueError, match=r"it lacks layers\.1\.bias; it has extra, unknown here"):
        cx.Model.load(path)


def test_a_file_whose_weights_have_another_shape_is_an_error(tmp_path):
    path = saved(tmp_path)

    def wider(described):
        described["model"]["arguments"]["layers"][1]["arguments"]["out_features"] = 5

    rewritten(path, change_model=wider)
    with pytest.raises(ValueError, match=r"layers\.1\.weight has shape \[8, 3\], needs \[8, 5\]"):
        cx.Model.load(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(version=99), "it was written by a newer version of pycyxwiz"),
        (
            lambda d: d["model"].update({"class": "Evil"}),
            "it uses the class 'Evil', which is not registered here",
        ),
        (lambda d: d["model"].update({"class": "os.system"}), "it uses the class 'os.system'"),
        (lambda d: d["model"].update({"class": "Dense", "arguments": {}}), "can't be loaded"),
        (
            lambda d: d["model"].update({"class": "SGD", "arguments": {}}),
            "it describes a SGD, not a Model",
        ),
        (lambda d: d.pop("model"), "can't be loaded"),
        (lambda d: d["model"].pop("arguments"), "expected a class with its arguments"),
        (lambda d: d["model"]["arguments"].update(layers=3), "can't be loaded"),
        (lambda d: d["compile"].update(loss="evil"), "unknown loss 'evil'"),
        (lambda d: d.update(model=[[[]]]), "it describes a list, not a Model"),
    ],
)
def test_a_file_that_was_tampered_with_is_an_error(tmp_path, change, message):
    path = saved(tmp_path)
    rewritten(path, change_model=change)
    with pytest.raises(ValueError) as caught:
        cx.Model.load(path)
    assert message in str(caught.value)


def test_a_file_of_another_kind_of_model_is_an_error(tmp_path):
    class Special(cx.Model):
        pass

    path = saved(tmp_path)
    with pytest.raises(ValueError) as caught:
        Special.load(path)
    assert str(caught.value) == "the file holds a Model, not a Special"
