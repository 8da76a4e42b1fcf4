"""The self-test that users run on their own hardware."""

from __future__ import annotations

import subprocess
import sys

import pytest

import pycyxwiz as cx
import reference_backend
from pycyxwiz import _core, backends, selftest

if "reference" not in [engine.name for engine in backends.engines()]:
    backends.register(reference_backend.ENGINE)


def test_every_op_of_the_core_has_a_case():
    found = selftest.cases()
    assert list(found) == _core.op_names() and all(found.values())


def test_a_device_that_is_right_has_no_differences():
    device = cx.get_device("reference:0")
    assert list(map(str, selftest.differences(device, selftest.cases()))) == []
    assert selftest.gradients(device) < 1e-6


@pytest.mark.parametrize(
    ("what", "message"),
    [
        (lambda value, arrays: arrays[0] * 1.001, "element 0 is"),
        (lambda value, arrays: arrays[0].astype("float16"), "bytes for a tensor of"),
        (lambda value, arrays: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_a_device_that_is_wrong_is_told_of(monkeypatch, what, message):
    plain = reference_backend.compute_on_cpu

    def wrong(value, arrays):
        return what(value, arrays) if value.op == "tanh" else plain(value, arrays)

    monkeypatch.setattr(reference_backend, "compute_on_cpu", wrong)
    with cx.device("reference:1"):
        found = {"sin": selftest.cases()["sin"], "tanh": selftest.cases()["tanh"][:1]}
        told = list(selftest.differences(cx.get_device("reference:1"), found))
    assert [each.case.op for each in told] == ["tanh"] and message in str(told[0])
    assert str(told[0]).startswith("tanh(float32[7]) []: ")


def test_the_command_says_what_agrees_and_how_fast_it_is():
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from pycyxwiz.cli import main; sys.exit(main())",
            "selftest",
            "--device",
            "cpu",
        ],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    count = len(_core.op_names())
    assert f"{count} of {count} operations agree with the CPU" in done.stdout
    assert "8 training steps of a small CNN" in done.stdout
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from pycyxwiz.cli import main; sys.exit(main())",
            "selftest",
            "--device",
            "cuda:7",
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2 and "there is no device 'cuda:7'" in done.stderr
