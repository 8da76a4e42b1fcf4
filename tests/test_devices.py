"""Devices: listing, choosing, and what is said when one is not there."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading

import numpy as np
import pytest

import pycyxwiz as cx


def test_the_cpu_is_the_first_device():
    device = cx.get_devices()[0]
    assert device.kind == "cpu" and device.index == 0 and str(device) == "cpu" and device() == "CPU"
    assert (
        device.name
        and device.memory_gb == pytest.approx(device.memory_bytes / 1e9)
        and device.memory_gb > 0.1
    )
    assert repr(device) == f"<Device cpu: {device.name}>"
    assert (
        device == "cpu"
        and device == cx.zeros(1).device
        and device != "cuda"
        and hash(device) == hash(cx.zeros(1).device)
    )


@pytest.mark.parametrize("name", ["cpu", "cpu:0", cx.get_devices()[0]])
def test_a_device_is_chosen_by_name_or_object(name):
    cx.set_device(name)
    with cx.device(name) as device:
        assert device == cx.get_devices()[0]
        assert cx.Tensor([1]).device() == "CPU"


@pytest.mark.parametrize("name", ["cuda:7", "cuda", "gpu", "cpu:1", "", "CPU:x"])
def test_a_device_that_is_not_there_is_named_with_those_that_are(name):
    for choose in (cx.set_device, lambda name: cx.device(name).__enter__(), cx.zeros(1).to):
        with pytest.raises(cx.DeviceError) as caught:
            choose(name)
        assert f"'{name}'" in str(caught.value) or f'"{name}"' in str(caught.value)
        assert "cpu" in str(caught.value).replace(name, "")
    assert isinstance(caught.value, RuntimeError)
    assert cx.Tensor([1]).device() == "CPU"


def test_the_choice_comes_back_after_an_error_in_the_block():
    with pytest.raises(KeyError), cx.device("cpu"):
        raise KeyError
    assert cx.Tensor([1]).device() == "CPU"


def test_a_block_chooses_for_its_own_thread_only():
    seen = []
    with cx.device("cpu"):
        thread = threading.Thread(target=lambda: seen.append(cx.Tensor([1]).device()))
        thread.start()
        thread.join()
    assert seen == ["CPU"]


@pytest.fixture
def reference():
    """A backend whose devices are pretended, "reference:0" and "reference:1"."""
    import reference_backend
    from pycyxwiz import backends

    if "reference" not in [engine.name for engine in backends.engines()]:
        backends.register(reference_backend.ENGINE)
    return reference_backend.BACKEND


def test_blocks_nest_and_set_device_inside_one_lasts_to_its_end(reference):
    def now():
        return str(cx.zeros(1).device)

    with cx.device("reference:0"):
        with cx.device("reference:1"):
            assert now() == "reference:1"
            cx.set_device("cpu")
            assert now() == "cpu"
        assert now() == "reference:0"
    assert now() == "cpu"


def test_set_device_chooses_for_the_process_and_its_other_threads(reference):
    seen = []
    cx.set_device("reference:1")
    try:
        thread = threading.Thread(target=lambda: seen.append(str(cx.zeros(1).device)))
        thread.start()
        thread.join()
        with cx.device("cpu"):
            seen.append(str(cx.zeros(1).device))
    finally:
        cx.set_device("cpu")
    assert seen == ["reference:1", "cpu"]


def test_names_are_not_case_sensitive_and_auto_is_the_best_there_is():
    assert cx.get_device("CPU") == cx.get_device(" cpu:0 ") == "cpu"
    if not [d for d in cx.get_devices() if d.kind != "cpu"]:
        assert cx.get_device("auto").kind in ("cpu", "cuda", "rocm", "tpu", "opencl", "oneapi")


def test_mixing_devices_names_both_and_the_mend(reference):
    x, y = cx.ones(2), cx.ones(2).to("reference:0")
    with pytest.raises(cx.DeviceError) as caught:
        x + y
    assert str(caught.value) == (
        'add: one tensor is on cpu, another on reference:0; move one with .to("cpu")'
    )
    with pytest.raises(
        cx.DeviceError, match=r'reference:0.*cpu.*move it with \.to\("reference:0"\)'
    ):
        cx.compile(lambda a, b: a * 2)(y, x)


def test_numbers_lists_and_arrays_go_where_the_tensor_is(reference):
    x = cx.Tensor([1.0, 2.0]).to("reference:0")
    results = [x + 1, 2.0 * x, x + [1, 2], cx.add([1.0, 2.0], x), np.ones(2, np.float32) * x]
    results += [
        cx.where(x > 1, x, 0),
        cx.where([True, False], x, 7.0),
        x[[1, 0]],
        cx.clip(x, 0, [1, 1]),
    ]
    results += [
        cx.zeros_like(x),
        cx.pad(x, [(1, 1)]),
        cx.one_hot(x.astype("int64"), 3),
        cx.argmax(x),
    ]
    results += [cx.stack([[0.0, 1.0], x]), x @ [1.0, 1.0], cx.take(x, [0]), cx.mean(x), cx.std(x)]
    assert {str(t.device) for t in results} == {"reference:0"}
    x[0] = 5
    x += np.ones(2, np.float32)
    assert x.device == "reference:0" and x.tolist() == [6, 3]


def test_a_tensor_moves_to_a_device_and_back(reference):
    x = cx.Tensor([[1.0, 2.0]])
    there = (x * 2).to("reference:1")
    assert there.device == "reference:1" and there.to(there.device) is not None
    assert there.to("reference:0").device == "reference:0"
    assert there.to("cpu").tolist() == [[2, 4]] and there.to(x.device).device == "cpu"
    with pytest.raises(cx.DeviceError, match="while its function is traced or differentiated"):
        cx.grad(lambda x: x.to("reference:0").sum())(x)
    with pytest.raises(cx.DeviceError, match="reference:7"):
        x.to("reference:7")


def test_a_layer_moves_with_all_its_tensors(reference):
    model = cx.Model([cx.layers.Dense(2, 3), cx.layers.Dense(3, 2)])
    assert model.to("reference:0") is model
    assert {str(t.device) for t in model.state().values()} == {"reference:0"}
    assert model(cx.ones((4, 2)).to("reference:0")).device == "reference:0"
    model.load_state({name: t.to("cpu") for name, t in model.state().items()})
    assert {str(t.device) for t in model.state().values()} == {"reference:0"}


def fitted(device: str, **options: object) -> tuple[list[float], list[list[float]], object]:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(230, 6)).astype(np.float32), rng.integers(0, 3, 230)
    with cx.device(device):
        cx.random.seed(1)
        model = cx.Model([cx.layers.Dense(6, 8, activation="relu"), cx.layers.Dense(8, 3)])
        model.compile(optimizer="adam", loss="cross_entropy")
    history = model.fit(x, y, epochs=3, batch_size=20, verbose=0, validation_split=0.2, **options)
    evaluated = model.evaluate(x, y, batch_size=20)["loss"]
    losses = [*history.history["loss"], *history.history["val_loss"], evaluated]
    return losses, model.predict(x, batch_size=20).tolist(), model


def test_fit_moves_the_data_once_where_they_fit(reference):
    expected, predicted, _ = fitted("cpu")
    before = reference.copied_in
    losses, there, model = fitted("reference:0")
    assert losses == pytest.approx(expected, rel=1e-5) and np.allclose(there, predicted, atol=1e-5)
    assert {str(t.device) for t in model.state().values()} == {"reference:0"}
    data = 230 * (6 * 4 + 8)
    # Training's and evaluate's examples each once, predict's rows, and small things: weights, seeds.
    assert reference.copied_in - before < 2 * data + 230 * 24 + 8000


def test_fit_streams_data_that_do_not_fit_with_the_same_results(reference, monkeypatch):
    expected, predicted, _ = fitted("cpu")
    gc.collect()
    data = 230 * (6 * 4 + 8)
    monkeypatch.setattr(reference, "memory_bytes", reference.used[0] + 9000)
    before = reference.copied_in
    losses, there, _ = fitted("reference:0")
    assert losses == pytest.approx(expected, rel=1e-5) and np.allclose(there, predicted, atol=1e-5)
    assert reference.copied_in - before > 3 * data  # anew in each epoch


def test_streamed_batches_are_reported_as_those_of_one_epoch(reference, monkeypatch):
    class Count(cx.callbacks.Callback):
        interval = 0.0

        def __init__(self):
            self.seen = []

        def on_batch_end(self, batch, logs):
            self.seen.append(batch)

    counts = [Count(), Count()]
    fitted("cpu", callbacks=[counts[0]])
    gc.collect()
    monkeypatch.setattr(reference, "memory_bytes", reference.used[0] + 9000)
    fitted("reference:0", callbacks=[counts[1]])
    assert counts[0].seen == counts[1].seen == [*range(10)] * 3


def test_moving_to_where_it_is_gives_the_tensor():
    t = cx.ones(3)
    assert t.to("cpu").tolist() == t.to(t.device).tolist() == [1, 1, 1]


def test_memory_is_counted():
    stats = cx.memory.stats()
    assert set(stats) == {"allocated", "cached", "free", "peak"}
    assert all(v >= 0 for v in stats.values())
    t = cx.ones(1_000_000) + 1
    cx.eval(t)
    assert cx.memory.stats()["allocated"] >= stats["allocated"] + 4_000_000
    assert cx.memory.stats()["peak"] >= cx.memory.stats()["allocated"]


def test_info_names_version_devices_threads_isa_and_onednn():
    done = subprocess.run(
        [sys.executable, "-c", "from pycyxwiz.cli import main; main()", "info"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    for part in (
        cx.__version__,
        cx.get_devices()[0].name,
        cx.isa(),
        cx.onednn_version(),
        str(cx.get_num_threads()),
    ):
        assert part in done.stdout
