"""Model: fit, evaluate, predict, save and load, as users meet them."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest

import pycyxwiz as cx
from ops_table import softmax

RNG = np.random.default_rng(0)
X = RNG.normal(size=(90, 4)).astype(np.float32)
Y = (X @ RNG.normal(size=(4, 3))).argmax(1)


def classifier(seed=0, last="softmax", metrics=("accuracy",), optimizer=None, **options):
    cx.random.seed(seed)
    model = cx.Model(
        [cx.layers.Dense(4, 16, activation="relu"), cx.layers.Dense(16, 3, activation=last)]
    )
    model.compile(
        optimizer or cx.optimizers.Adam(lr=0.02), "cross_entropy", metrics=list(metrics), **options
    )
    return model


def test_fit_learns_and_history_records_every_epoch():
    model = classifier()
    history = model.fit(X, Y, epochs=30, batch_size=16, validation_data=(X[:30], Y[:30]), verbose=0)
    assert sorted(history.history) == ["accuracy", "loss", "val_accuracy", "val_loss"]
    assert all(len(values) == 30 for values in history.history.values())
    assert all(type(v) is float for values in history.history.values() for v in values)
    assert history.epoch == list(range(30)) and model.history is history
    assert history.history["loss"][-1] < history.history["loss"][0] / 2
    assert history.history["accuracy"][-1] > 0.9
    found = model.evaluate(X, Y)
    assert found["accuracy"] == pytest.approx((np.asarray(model.predict(X)).argmax(1) == Y).mean())


def test_evaluate_is_the_mean_over_all_examples_whatever_the_batches():
    model = classifier()
    p = np.asarray(model.predict(X)).astype("float64")
    expected = -np.log(p[range(90), Y]).mean()
    for batch_size in (1, 7, 64, 90, 1000):
        found = model.evaluate(X, Y, batch_size=batch_size)
        assert found["loss"] == pytest.approx(expected, rel=1e-5)
        assert found["accuracy"] == pytest.approx((p.argmax(1) == Y).mean())


def test_the_last_smaller_batch_counts_as_what_it_is():
    """One epoch of SGD by hand: 90 examples in batches of 40 are 40, 40 and 10."""
    cx.random.seed(0)
    model = cx.Model([cx.layers.Dense(4, 1)])
    model.compile(cx.optimizers.SGD(lr=0.1), "mse")
    w, b = model.layers[0].weight.to_numpy(copy=True).astype("f8"), np.zeros(1)
    target = X @ np.ones((4, 1), np.float32)
    history = model.fit(X, target, batch_size=40, shuffle=False, verbose=0)
    total = 0.0
    for start in (0, 40, 80):
        x, y = X[start : start + 40].astype("f8"), target[start : start + 40]
        error = x @ w + b - y
        total += (error**2).sum()
        w, b = w - 0.1 * 2 * x.T @ error / len(x), b - 0.1 * 2 * error.mean(0)
    np.testing.assert_allclose(model.layers[0].weight.to_numpy(), w, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(model.layers[0].bias.to_numpy(), b, rtol=1e-4, atol=1e-5)
    assert history.history["loss"][0] == pytest.approx(total / 90, rel=1e-5)


def test_the_same_seed_gives_the_same_training_on_any_number_of_threads():
    before, results = cx.get_num_threads(), []
    for threads in (1, 2, 2):
        cx.set_num_threads(threads)
        model = classifier(seed=7)
        model.fit(X, Y, epochs=3, batch_size=16, verbose=0)
        results.append(np.array(model.predict(X).to_numpy()))
    cx.set_num_threads(before)
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[1], results[2])
    other = classifier(seed=8)
    other.fit(X, Y, epochs=3, batch_size=16, verbose=0)
    assert (other.predict(X).to_numpy() != results[0]).any()


@pytest.mark.parametrize(
    "form",
    [
        "int64",
        "int32",
        "uint8",
        "float32",
        "column",
        "one-hot",
        "list",
        "tensor",
        "one-hot float64",
    ],
)
def test_labels_may_come_in_any_form(form):
    forms = {
        "column": Y[:, None],
        "one-hot": np.eye(3, dtype=np.float32)[Y],
        "list": Y.tolist(),
        "tensor": cx.Tensor(Y),
        "one-hot float64": np.eye(3)[Y],
    }
    labels = forms[form] if form in forms else Y.astype(form)
    model, plain = classifier(), classifier()
    history = model.fit(X, labels, epochs=2, shuffle=False, verbose=0)
    expected = plain.fit(X, Y, epochs=2, shuffle=False, verbose=0)
    for name in ("loss", "accuracy"):
        np.testing.assert_allclose(history.history[name], expected.history[name], rtol=1e-4)


def test_inputs_may_be_arrays_tensors_tables_and_lists():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=list("abcd"))
    expected = None
    for form in (
        X,
        X.astype("float64"),
        cx.Tensor(X),
        X.tolist(),
        frame,
        frame.astype("float64"),
        X[::-1][::-1],
    ):
        model = classifier()
        history = model.fit(form, pd.Series(Y), epochs=1, shuffle=False, verbose=0)
        expected = expected or history.history["loss"][0]
        assert history.history["loss"][0] == pytest.approx(expected, rel=1e-5)
        assert model.predict(form).shape == (90, 3) and model.predict(form).dtype == "float32"
    whole = np.abs(X * 10).astype("uint8")
    assert classifier().fit(whole, Y, verbose=0).history["loss"][0] > 0


def test_softmax_with_cross_entropy_is_computed_from_logits():
    model = classifier()
    model.layers[1].weight = model.layers[1].weight * 1e4
    model.layers[0].bias = model.layers[0].bias + 1.0
    wrong = (np.asarray(model.predict(X)).argmax(1) + 1) % 3
    loss = model.evaluate(X, wrong)["loss"]
    assert np.isfinite(loss) and loss > 100  # a probability would have been cut off near -log(1e-7)


def test_a_model_that_ends_in_nothing_is_taken_to_give_logits():
    model, plain = classifier(last=None), classifier()
    plain.layers[1].weight = model.layers[1].weight
    plain.layers[0].weight = model.layers[0].weight
    a, b = model.evaluate(X, Y), plain.evaluate(X, Y)
    assert a["loss"] == pytest.approx(b["loss"], rel=1e-5) and a["accuracy"] == b["accuracy"]
    np.testing.assert_allclose(
        softmax(model.predict(X).to_numpy()), plain.predict(X).to_numpy(), rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("shape", [(90,), (90, 1)])
def test_yes_or_no_targets_may_be_a_row_or_a_column(shape):
    cx.random.seed(0)
    model = cx.Model([cx.layers.Dense(4, 1, activation="sigmoid")])
    model.compile("adam", "binary_cross_entropy", metrics=["accuracy"])
    history = model.fit(X, (Y == 1).astype(int).reshape(shape), epochs=2, shuffle=False, verbose=0)
    assert 0 <= history.history["accuracy"][-1] <= 1 and history.history["loss"][-1] < 3


def test_predict_in_batches_is_predict_at_once_and_prints_nothing(capfd):
    model = classifier()
    whole = model.predict(X).to_numpy()
    for batch_size in (1, 13, 89, 90, 91):
        np.testing.assert_allclose(
            model.predict(X, batch_size=batch_size).to_numpy(), whole, rtol=1e-5, atol=1e-7
        )
    for i in range(20):
        model.predict(X[i : i + 1])
    np.testing.assert_allclose(model(X).to_numpy(), whole, rtol=1e-5, atol=1e-7)
    captured = capfd.readouterr()
    assert captured.out == "" and captured.err == ""


def test_verbose_0_is_silent_1_shows_a_bar_and_2_writes_lines(capfd):
    model = classifier()
    model.fit(X, Y, epochs=2, verbose=0)
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""
    model.fit(X, Y, epochs=2, verbose=1)
    captured = capfd.readouterr()
    assert "Epoch 2/2" in captured.err + captured.out and "accuracy" in captured.err + captured.out
    history = model.fit(X, Y, epochs=2, verbose=2)
    lines = capfd.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["Epoch 1/2", "Epoch 2/2"]
    assert f"loss={history.history['loss'][1]:.4g}" in lines[1]


def test_callbacks_hear_everything_and_may_stop():
    heard = []

    class Ear(cx.callbacks.Callback):
        def on_train_begin(self):
            heard.append("begin")

        def on_epoch_begin(self, epoch):
            heard.append(f"epoch {epoch}")

        def on_batch_end(self, batch, logs):
            heard.append(f"batch {batch}")
            assert np.isfinite(logs["loss"])

        def on_epoch_end(self, epoch, logs):
            heard.append(sorted(logs))
            self.model.stop_training = epoch == 1

        def on_train_end(self):
            heard.append("end")

    history = classifier().fit(X, Y, epochs=10, batch_size=40, verbose=0, callbacks=[Ear()])
    batches = ["batch 0", "batch 1", "batch 2", ["accuracy", "loss"]]
    assert heard == ["begin", "epoch 0", *batches, "epoch 1", *batches, "end"]
    assert history.epoch == [0, 1]


def test_a_validation_split_takes_the_end():
    a = classifier().fit(X, Y, epochs=2, validation_split=0.2, shuffle=False, verbose=0)
    b = classifier().fit(
        X[:72], Y[:72], epochs=2, validation_data=(X[72:], Y[72:]), shuffle=False, verbose=0
    )
    for name in b.history:
        np.testing.assert_allclose(a.history[name], b.history[name], rtol=1e-5)


def test_ctrl_c_ends_fit_with_the_history_so_far():
    class Interrupt(cx.callbacks.Callback):
        def on_batch_end(self, batch, logs):
            if self.seen == 2 and batch == 1:
                raise KeyboardInterrupt

        def on_epoch_end(self, epoch, logs):
            self.seen += 1

    callback = Interrupt()
    callback.seen = 0
    model = classifier()
    history = model.fit(X, Y, epochs=50, batch_size=16, verbose=0, callbacks=[callback])
    assert history.epoch == [0, 1] and len(history.history["loss"]) == 2
    assert np.isfinite(model.predict(X).to_numpy()).all()
    assert model.fit(X, Y, verbose=0).epoch == [0]  # and training can go on


CTRL_C = """
import os, signal, threading, numpy as np
import pycyxwiz as cx
x, y = np.random.default_rng(0).normal(size=(20000, 50)).astype("f4"), np.zeros(20000, int)
model = cx.Model([cx.layers.Dense(50, 64, "relu"), cx.layers.Dense(64, 2, "softmax")])
model.compile("adam", "cross_entropy")
threading.Timer(1.0, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
history = model.fit(x, y, epochs=100000, verbose=0)
print("epochs", len(history.epoch) > 0, np.isfinite(model.predict(x).to_numpy()).all())
"""


def test_a_real_ctrl_c_ends_fit_cleanly():
    done = subprocess.run(
        [sys.executable, "-c", CTRL_C], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["epochs", "True", "True"]


def test_fit_goes_on_where_it_stopped():
    model, whole = classifier(), classifier()
    cx.random.seed(3)
    for _ in range(3):
        model.fit(X, Y, shuffle=False, verbose=0)
    whole.fit(X, Y, epochs=3, shuffle=False, verbose=0)
    np.testing.assert_allclose(
        model.predict(X).to_numpy(), whole.predict(X).to_numpy(), rtol=1e-4, atol=1e-6
    )


def test_save_and_load_keep_predictions_weights_and_how_it_was_compiled(tmp_path):
    optimizer = cx.optimizers.Adam(cx.optimizers.schedules.Cosine(0.01, 100), weight_decay=0.1)
    model = classifier(optimizer=optimizer)
    model.fit(X, Y, epochs=2, verbose=0)
    path = tmp_path / "model.safetensors"
    model.save(path)
    random_state = cx._core.random_state()
    again = cx.Model.load(str(path))
    assert cx._core.random_state() == random_state
    np.testing.assert_array_equal(again.predict(X).to_numpy(), model.predict(X).to_numpy())
    assert again.evaluate(X, Y) == model.evaluate(X, Y)
    assert repr(again.optimizer) == repr(model.optimizer)
    again.fit(X, Y, verbose=0)
    assert list(tmp_path.iterdir()) == [path]


def test_a_model_of_every_layer_survives_saving(tmp_path):
    layers = cx.layers
    model = cx.Model(
        [
            layers.Conv2D(1, 4, 3, padding="same", activation="relu"),
            layers.MaxPool2D(),
            layers.AvgPool2D(2, 1),
            layers.Flatten(),
            layers.Dropout(0.1),
            layers.Dense(36, 8),
            layers.ReLU(),
            cx.Model([layers.Dense(8, 8, "tanh"), layers.Sigmoid()]),
            layers.Tanh(),
            layers.Dense(8, 3),
            layers.Softmax(),
        ]
    )
    x = RNG.normal(size=(2, 1, 8, 8)).astype(np.float32)
    model.save(tmp_path / "m")
    again = cx.Model.load(tmp_path / "m")
    np.testing.assert_array_equal(again(x).to_numpy(), model(x).to_numpy())
    model.compile("sgd", "cross_entropy", ["accuracy"])
    assert model.fit(x, [0, 2], epochs=2, verbose=0).history["loss"][1] > 0


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_trained_model_is_copied_and_pickled_and_both_train_on(copied):
    model = classifier()
    model.fit(X, Y, epochs=2, verbose=0)
    twin = copied(model)
    assert twin.history.history == model.history.history
    with pytest.raises(RuntimeError):  # the record belongs to no model until the next fit
        _ = twin.history.model
    for _ in range(2):
        first, second = (m.fit(X, Y, shuffle=False, verbose=0).history for m in (model, twin))
        assert first == second
    assert twin.history.model is twin


def test_a_saved_model_replaces_the_old_file_whole(tmp_path):
    path = tmp_path / "m.safetensors"
    cx.Model([cx.layers.Dense(1, 1)]).save(path)
    old = path.read_bytes()

    class Own(cx.layers.Layer):
        def forward(self, x):
            return x

    with pytest.raises(
        ValueError, match=r"Own can't be saved: put @cx.layers.register above the class"
    ):
        cx.Model([Own()]).save(path)
    assert path.read_bytes() == old and os.listdir(tmp_path) == ["m.safetensors"]


def test_summary_lists_layers_shapes_and_parameters(capsys):
    cx.Model([cx.layers.Dense(784, 128, activation="relu"), cx.layers.Dense(128, 10)]).summary()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Model" and lines[1].split() == ["layer", "output", "shape", "parameters"]
    assert lines[2].split("    ")[0] == "Dense(784, 128, activation='relu')" and lines[2].endswith(
        "100,480"
    )
    assert lines[-1] == "total 101,770, trainable 101,770"


def test_a_convolutional_model_learns():
    x = RNG.normal(size=(64, 1, 8, 8)).astype(np.float32) * 0.1
    y = np.arange(64) % 2
    x[y == 1, :, 2:5, 2:5] += 1
    cx.random.seed(0)
    model = cx.Model(
        [
            cx.layers.Conv2D(1, 4, 3, activation="relu"),
            cx.layers.MaxPool2D(),
            cx.layers.Flatten(),
            cx.layers.Dense(36, 2, "softmax"),
        ]
    )
    model.compile(cx.optimizers.Adam(0.01), "cross_entropy", ["accuracy"])
    assert model.fit(x, y, epochs=15, batch_size=20, verbose=0).history["accuracy"][-1] > 0.95


def test_dropout_draws_a_new_mask_for_every_batch():
    cx.random.seed(0)
    model = cx.Model([cx.layers.Dropout(0.5), cx.layers.Dense(8, 1, bias=False)])
    model.compile(cx.optimizers.SGD(lr=0.0), "mse")
    seen = []

    class Look(cx.callbacks.Callback):
        def on_batch_end(self, batch, logs):
            seen.append(logs["loss"])

    model.fit(np.ones((40, 8)), np.zeros(40), batch_size=1, epochs=1, verbose=0, callbacks=[Look()])
    assert len(set(np.diff(np.array(seen) * np.arange(1, 41)).round(5).tolist())) > 5


def test_a_subclass_with_a_forward_of_its_own_trains():
    class Two(cx.Model):
        def __init__(self):
            super().__init__()
            self.left, self.right = cx.layers.Dense(4, 3), cx.layers.Dense(4, 3)

        def forward(self, x):
            return cx.softmax(self.left(x) + cx.tanh(self.right(x)))

    cx.random.seed(0)
    model = Two()
    model.compile(cx.optimizers.Adam(0.05), "cross_entropy", ["accuracy"])
    assert model.fit(X, Y, epochs=20, verbose=0).history["accuracy"][-1] > 0.8


def test_loss_and_metrics_may_be_functions():
    def off(predictions, targets):
        return cx.mean(cx.absolute(predictions - targets)) * 10

    model = cx.Model([cx.layers.Dense(4, 1)])
    model.compile("sgd", lambda p, t: cx.mean((p - t) ** 4), metrics=[off, "mae", cx.metrics.mse])
    found = model.evaluate(X, Y.astype(np.float32))
    assert found["off"] == pytest.approx(10 * found["mae"], rel=1e-5) and set(found) == {
        "loss",
        "off",
        "mae",
        "mean_squared_error",
    }


def test_a_weight_that_a_user_holds_keeps_its_value_through_fit():
    model = classifier()
    held = model.layers[0].weight
    view, before = held.to_numpy(), held.to_numpy(copy=True)
    model.fit(X, Y, epochs=2, verbose=0)
    np.testing.assert_array_equal(held.to_numpy(), before)
    np.testing.assert_array_equal(view, before)
    assert (model.layers[0].weight.to_numpy() != before).any()


def test_thousands_of_calls_grow_no_memory():
    model = classifier()
    small, labels = X[:8], Y[:8]
    for _ in range(20):
        model.fit(small, labels, verbose=0)
        model.predict(small)
    gc.collect()
    stats, objects = cx.memory.stats()["allocated"], len(gc.get_objects())
    for _ in range(1000):
        model.fit(small, labels, verbose=0)
        model.predict(small)
    gc.collect()
    assert cx.memory.stats()["allocated"] <= stats + 4096
    assert len(gc.get_objects()) <= objects + 200


def test_a_model_that_is_gone_frees_its_memory():
    gc.collect()
    before = cx.memory.stats()["allocated"]
    model = cx.Model([cx.layers.Dense(1000, 1000), cx.layers.Dense(1000, 1)])
    model.compile("adam", "mse")
    model.fit(np.ones((4, 1000)), np.ones(4), verbose=0)
    assert cx.memory.stats()["allocated"] > before + 8_000_000
    del model
    gc.collect()
    assert cx.memory.stats()["allocated"] < before + 1_000_000
