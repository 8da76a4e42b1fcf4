"""Devices: listing, choosing, and what is said when one is not there."""

from __future__ import annotations

import subprocess
import sys
import threading

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
