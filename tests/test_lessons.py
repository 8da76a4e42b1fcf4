"""Lessons others paid for, one test each, under the words of the style guide."""

from __future__ import annotations

import gc
import importlib.util
import itertools
import subprocess
import sys
import weakref

import numpy as np
import pytest

import pycyxwiz as cx
from ops_table import conv2d, windows
from pycyxwiz import _core, losses

RNG = np.random.default_rng(0)


def resident_kilobytes() -> int:
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def test_a_reader_built_before_an_indexed_assignment_still_sees_the_old_value():
    t = cx.zeros(5)
    reader, row = t + 1, t[1:3]
    t[2] = 9
    assert reader.tolist() == [1] * 5 and row.tolist() == [0, 0] and t.tolist() == [0, 0, 9, 0, 0]


@pytest.mark.parametrize("size", [1, 4, 16, 100, 1000, 10_000, 1_000_000])
def test_numpy_sharing_behaves_the_same_at_every_size(size):
    a = np.zeros(size, np.float32)
    t = cx.from_numpy(a)
    a[0] = 3
    assert t[0].item() == 3 and np.shares_memory(a, t.to_numpy())


def test_a_loop_that_never_reads_stays_bounded():
    x = cx.ones((256, 256))
    for _ in range(100):
        x = x * 0.999 + 0.001
    before = cx.memory.stats()["allocated"]
    for _ in range(20_000):
        x = x * 0.999 + 0.001
    assert cx.memory.stats()["allocated"] - before < 50 * 256 * 256 * 4
    assert x.mean().item() == pytest.approx(1, rel=1e-3)


def test_a_loop_that_never_reads_keeps_little_memory_that_it_alone_needs():
    made = []
    total, most = cx.Tensor(0.0), 0
    for _ in range(12):
        numbers = np.zeros(25_000_000, np.float32)  # 100 MB of zeros: never resident
        made.append(weakref.ref(numbers))
        total = total + cx.from_numpy(numbers).sum()
        most = max(most, sum(array() is not None for array in made))
    assert most <= 4
    assert total.item() == 0


def test_a_chain_on_large_arrays_stays_one_program():
    x = cx.from_numpy(np.zeros(75_000_000, np.float32))  # 300 MB
    before = cx.memory.stats()["allocated"]
    y = cx.sqrt(x * x + x) * 2 + x  # nothing of it is computed before it is asked for
    assert cx.memory.stats()["allocated"] - before < 1_000_000
    del y


def test_a_changed_scalar_a_string_or_a_last_short_batch_does_not_recompile_every_time():
    traced = []

    @cx.compile
    def step(x, rate, mode):
        traced.append(mode)
        return cx.sum(x * rate) if mode == "sum" else cx.mean(x * rate)

    for epoch in range(5):
        for size in (32, 32, 32, 10):
            for mode in ("sum", "mean"):
                step(cx.ones(size), 0.1 / (epoch + 1), mode)
    assert len(traced) == 4

    model = cx.Model([cx.layers.Dense(3, 1)])
    model.compile(cx.optimizers.Adam(lr=cx.optimizers.schedules.Cosine(0.1, 100)), "mse")
    model.fit(np.ones((42, 3)), np.ones(42), batch_size=16, verbose=0)
    misses = _core.cache_stats()["misses"]
    for rate in (0.5, 0.25):
        model.fit(np.ones((42, 3)), np.ones(42), batch_size=16, epochs=3, verbose=0)
        model.optimizer.learning_rate = rate
    assert _core.cache_stats()["misses"] - misses <= 3
    assert len(model._steps.train._traces) <= 4


def test_losses_never_broadcast_a_row_against_a_column():
    for loss in (losses.mse, losses.mae, losses.huber, losses.binary_cross_entropy):
        with pytest.raises(cx.ShapeError):
            loss(cx.full((8,), 0.5), cx.full((8, 1), 0.5))


def test_a_tenth_in_float64_is_not_rounded_through_float32():
    x = cx.Tensor(np.zeros(3))
    for value in (
        x + 0.1,
        0.1 + x,
        cx.where(x == 0, 0.1, x),
        cx.maximum(x, 0.1),
        cx.full((3,), 0.1, "float64"),
    ):
        assert value.dtype == "float64" and value.tolist() == [0.1] * 3
    x[1] = 0.1
    assert x[1].item() == 0.1
    assert cx.Tensor([0.1], dtype="float64").item() == 0.1
    assert cx.linspace(0.1, 1, 2, dtype="float64")[0].item() == 0.1
    assert cx.compile(lambda x, s: x + s)(cx.Tensor(np.zeros(1)), 0.1).item() == 0.1


@pytest.mark.parametrize("size", [1, 3, 15, 16, 17, 100, 1023, 1024, 1025, 4097])
def test_nan_passes_through_max_argmax_and_clip_as_in_numpy_in_body_and_tail(size):
    for place in {0, size // 2, size - 1}:
        x = RNG.normal(size=size).astype(np.float32)
        x[place] = np.nan
        t = cx.from_numpy(x)
        assert np.isnan(cx.max(t).item()) and np.isnan(cx.min(t).item())
        assert cx.argmax(t).item() == place and cx.argmin(t).item() == place
        np.testing.assert_array_equal(cx.clip(t, -1, 1).to_numpy(), np.clip(x, -1, 1))
        np.testing.assert_array_equal(cx.relu(t).to_numpy(), np.maximum(x, 0))
        np.testing.assert_array_equal(cx.maximum(t, 0).to_numpy(), np.maximum(x, 0))


def test_a_thousand_calls_of_fit_and_predict_grow_no_memory():
    model = cx.Model(
        [cx.layers.Dense(20, 30, "relu"), cx.layers.Dropout(0.1), cx.layers.Dense(30, 2, "softmax")]
    )
    model.compile("adam", "cross_entropy", ["accuracy"])
    x, y = RNG.normal(size=(40, 20)), RNG.integers(0, 2, 40)

    def calls(count):
        for _ in range(count):
            model.fit(x, y, verbose=0)
            model.predict(x)
        gc.collect()

    calls(100)
    allocated, resident, programs = (
        cx.memory.stats()["allocated"],
        resident_kilobytes(),
        _core.cache_stats()["programs"],
    )
    calls(1000)
    assert cx.memory.stats()["allocated"] <= allocated + 4096
    assert resident_kilobytes() < resident + 4000
    assert _core.cache_stats()["programs"] <= programs + 5


def test_memory_is_bounded_under_ever_changing_shapes():
    def compute(shapes):
        for h, w in shapes:
            cx.eval(
                cx.conv2d(cx.ones((1, 1, h, w)), cx.ones((2, 1, 3, 3))),
                cx.ones((h, w)) @ cx.ones((w, 8)),
            )

    shapes = [(h, w) for h in range(4, 70) for w in range(4, 70)]
    shapes = [shapes[i] for i in np.random.default_rng(0).permutation(len(shapes))]
    compute(shapes[:1500])
    before = resident_kilobytes()
    compute(shapes[1500:4000])
    # What one of these shapes leaves behind, kept for all, would be 40,000 and more.
    assert resident_kilobytes() < before + 16_000
    assert _core.cache_stats()["programs"] <= 1024


def test_large_programs_of_ever_changing_shapes_are_bounded_too():
    def compute(sizes):
        for size in sizes:
            x = cx.ones((size, 3))
            for _ in range(25):
                x = cx.tanh(x @ cx.ones((3, 3)) + 0.5)
            cx.eval(x)

    compute(range(1, 200))
    before, programs = resident_kilobytes(), _core.cache_stats()["programs"]
    compute(range(200, 700))
    assert resident_kilobytes() < before + 16_000
    assert _core.cache_stats()["programs"] <= programs + 10


def test_importing_starts_no_thread():
    done = subprocess.run(
        [sys.executable, "-c", "import threading, pycyxwiz; print(threading.active_count())"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.strip() == "1"  # test_process.py counts the operating system's too


# Forks, threads and a second OpenMP runtime: test_process.py.


def test_predict_inside_a_loop_prints_nothing(capfd):
    model = cx.Model([cx.layers.Dense(2, 1)])
    for i in range(30):
        model.predict(np.ones((i + 1, 2)), batch_size=4)
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""


def test_a_load_that_misses_or_ignores_a_weight_is_an_error_not_a_warning(tmp_path):
    from safetensors import safe_open
    from safetensors.numpy import load_file, save_file

    path = tmp_path / "m.safetensors"
    cx.Model([cx.layers.Dense(2, 1)]).save(path)
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
    good = load_file(path)
    bias = next(name for name in good if name.endswith("bias"))
    for change in (
        {k: v for k, v in good.items() if k != bias},
        {**good, "more": np.zeros(1, np.float32)},
    ):
        save_file(change, path, metadata=metadata)
        with pytest.raises(ValueError, match="can't be loaded: the state does not fit"):
            cx.Model.load(path)


def test_gradients_do_not_change_when_a_batch_is_doubled_by_repetition():
    cx.random.seed(0)
    model = cx.Model([cx.layers.Dense(4, 8, "tanh"), cx.layers.Dense(8, 3, "softmax")])
    x, y = RNG.normal(size=(10, 4)).astype(np.float32), RNG.integers(0, 3, 10)
    loss = lambda model, x, y: losses.cross_entropy(model(x), y)
    once = cx.grad(loss)(model, x, y)
    twice = cx.grad(loss)(model, np.concatenate([x, x]), np.concatenate([y, y]))
    for name in once:
        np.testing.assert_allclose(
            once[name].to_numpy(), twice[name].to_numpy(), rtol=1e-4, atol=1e-6
        )


def test_class_index_and_one_hot_cross_entropy_agree():
    x, y = RNG.normal(size=(12, 5)).astype(np.float32), RNG.integers(0, 5, 12)
    results = []
    for labels in (y, np.eye(5)[y]):
        cx.random.seed(0)
        model = cx.Model([cx.layers.Dense(5, 5, "softmax")])
        model.compile("sgd", "cross_entropy")
        model.fit(x, labels, epochs=3, shuffle=False, verbose=0)
        results.append(model.predict(x).to_numpy())
    np.testing.assert_allclose(results[0], results[1], rtol=1e-5)


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "rmsprop"])
def test_one_optimizer_step_changes_every_trainable_weight(name):
    cx.random.seed(0)
    model = cx.Model(
        [
            cx.layers.Conv2D(1, 2, 3, activation="tanh"),
            cx.layers.Flatten(),
            cx.layers.Dense(32, 4, "tanh"),
            cx.layers.Dense(4, 1),
        ]
    )
    model.layers[2].trainable = False
    model.compile(name, "mse")
    before = {key: value.to_numpy(copy=True) for key, value in model.state().items()}
    model.fit(RNG.normal(size=(8, 1, 6, 6)), RNG.normal(size=8), batch_size=8, verbose=0)
    for key, value in model.state().items():
        changed = (value.to_numpy() != before[key]).all()
        assert changed != key.startswith("layers.2."), key


def test_convolution_agrees_with_a_naive_loop_for_every_stride_padding_and_dilation():
    x, w = RNG.normal(size=(2, 3, 9, 8)), RNG.normal(size=(2, 3, 3, 2))
    for stride, padding, dilation in itertools.product((1, 2, 3), (0, 1, 2), (1, 2, 3)):
        got = cx.conv2d(x, w, stride, padding, dilation).to_numpy()
        np.testing.assert_allclose(
            got, conv2d(x, w, stride, padding, dilation), rtol=1e-9, atol=1e-9
        )
    assert windows(x, (3, 2), 1, 0, 1, 0).shape == (2, 3, 7, 7, 3, 2)


@pytest.mark.parametrize("name", ["mse", "mae", "huber", "cross_entropy", "binary_cross_entropy"])
def test_every_loss_works_on_a_cpu_only_machine(name):
    model = cx.Model([cx.layers.Dense(3, 2, "sigmoid")])
    model.compile("adam", name)
    targets = np.eye(2)[[0, 1, 1, 0]]
    assert np.isfinite(
        model.fit(RNG.normal(size=(4, 3)), targets, epochs=2, verbose=0).history["loss"]
    ).all()


def test_torch_beside_us_changes_nothing():
    if importlib.util.find_spec("torch") is None:
        pytest.skip("torch is not installed")
    import torch

    a = RNG.normal(size=(50, 40)).astype(np.float32)
    ours = (cx.Tensor(a) @ cx.Tensor(a).T).to_numpy()
    np.testing.assert_allclose(
        ours, (torch.from_numpy(a) @ torch.from_numpy(a).T).numpy(), rtol=1e-4, atol=1e-4
    )
    assert torch.from_dlpack(cx.Tensor(a)).shape == (50, 40)
    assert cx.from_dlpack(torch.from_numpy(a)).tolist() == a.tolist()
