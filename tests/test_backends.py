"""The backend protocol, proved by a backend that is NumPy's arrays and the CPU's ops."""

from __future__ import annotations

import gc
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest

import pycyxwiz as cx
import reference_backend
from pycyxwiz import backends

if "reference" not in [engine.name for engine in backends.engines()]:
    backends.register(reference_backend.ENGINE)
BACKEND = reference_backend.BACKEND


@pytest.fixture
def there():
    with cx.device("reference:0") as device:
        yield device


def test_a_device_of_a_registered_backend_is_found_and_named(there):
    assert str(there) == "reference:0" and there() == "REFERENCE" and there.backend == "reference"
    assert there.memory_bytes == BACKEND.memory_bytes
    assert [str(d) for d in cx.get_devices() if d.backend == "reference"] == [
        "reference:0",
        "reference:1",
    ]
    assert cx.Tensor([1.0]).device == there == "reference:0"


def test_a_backend_is_made_once(there):
    assert backends.load(reference_backend.ENGINE) is backends.load(reference_backend.ENGINE)
    assert len([d for d in cx.get_devices() if d.backend == "reference"]) == 2


def test_values_go_there_are_computed_there_and_come_back(there):
    x = cx.Tensor([[1.0, 2.0], [3.0, 4.0]])
    y = cx.exp(x) @ x.T + 1
    assert y.device == there
    expected = np.exp([[1.0, 2.0], [3.0, 4.0]]) @ np.array([[1.0, 3.0], [2.0, 4.0]]) + 1
    np.testing.assert_allclose(y.to_numpy(), expected, rtol=1e-6)
    assert y.sum().item() == pytest.approx(expected.sum(), rel=1e-6)
    assert "REFERENCE" in str(y) and y.tolist() == y.to("cpu").tolist()


@pytest.mark.parametrize(
    "dtype", ["bool", "uint8", "int8", "int16", "int32", "int64", "float32", "float64"]
)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 1, 3)])
def test_every_dtype_and_shape_goes_there_and_back(there, dtype, shape):
    a = (np.arange(int(np.prod(shape))) % 2).astype(dtype).reshape(shape)
    t = cx.Tensor(a)
    back = t.to_numpy()
    assert t.device == there and back.dtype == a.dtype and back.shape == a.shape
    assert np.array_equal(back, a)


def test_a_structure_is_compiled_once_and_numbers_are_arguments(there):
    x = cx.Tensor([1.0, 2.0, 3.0])
    cx.eval(x * 0.5 - 7)
    compiled, runs = BACKEND.compiled, BACKEND.runs
    for i in range(5):
        assert (x * (0.1 * i) - i).tolist() == pytest.approx([0.1 * i * v - i for v in (1, 2, 3)])
    assert BACKEND.compiled == compiled and BACKEND.runs == runs + 5


def test_a_result_that_is_an_argument_is_not_copied(there):
    x = cx.Tensor([1.0, 2.0])
    same = cx.compile(lambda x: (x, x * 2))
    runs = BACKEND.runs
    a, b = same(x)
    assert a.tolist() == [1, 2] and b.tolist() == [2, 4] and BACKEND.runs == runs + 1


def test_donated_state_is_given_only_when_nobody_else_holds_it(there):
    step = cx.compile(lambda x: x + 1, donate_argnums=0)
    x = cx.Tensor([1.0])
    cx.eval(x)
    step(x)
    before = BACKEND.donated
    x = step(cx.Tensor([1.0]) * 2)
    assert BACKEND.donated == before + 1
    y = cx.compile(lambda x: x)(x)
    before = BACKEND.donated
    assert step(x).tolist() == [4.0] and y.tolist() == [3.0]
    assert BACKEND.donated == before


def test_gradients_are_computed_where_the_function_was(there):
    w = cx.Tensor([1.0, -2.0])
    with cx.device("cpu"):
        g = cx.grad(lambda w: (cx.relu(w) * w[0] + w[::-1]).sum())(w)
    assert g.device == there and g.tolist() == [3.0, 1.0]


def test_compiled_functions_follow_their_arguments(there):
    f = cx.compile(lambda x, k: cx.sum(x * k + cx.ones(2)))
    for device in ("cpu", "reference:0", "reference:1"):
        x = cx.Tensor([1.0, 2.0]).to(device)
        assert f(x, 2.0).device == device and f(x, 2.0).item() == 8


def test_random_numbers_are_the_same_everywhere(there):
    def draw():
        cx.random.seed(3)
        return [t.tolist() for t in (cx.random.normal([5]), cx.random.permutation(7))]

    here = draw()
    with cx.device("cpu"):
        assert draw() == here
    drawn = cx.compile(lambda x: x + cx.random.uniform([3]))
    assert drawn(cx.zeros(3)).tolist() != drawn(cx.zeros(3)).tolist()


def test_arrays_are_dropped_with_their_tensors(there):
    gc.collect()
    before, counted = list(BACKEND.used), cx.memory.stats(there)["allocated"]
    x = cx.Tensor(np.zeros(1000, np.float32))
    y = x + 1
    cx.eval(y)
    assert BACKEND.used[0] == before[0] + 8000
    assert cx.memory.stats(there)["allocated"] == counted + 8000
    assert cx.memory.stats(there)["peak"] >= counted + 8000
    del x, y
    assert BACKEND.used == before and cx.memory.stats(there)["allocated"] == counted


def test_memory_that_is_not_there_is_an_error_after_which_all_goes_on(there, monkeypatch):
    monkeypatch.setattr(BACKEND, "memory_bytes", BACKEND.used[0] + 10_000)
    x = cx.Tensor(np.ones(2000, np.float32))
    with pytest.raises(cx.OutOfMemoryError, match=r"8000 bytes asked for, \d+ free"):
        cx.Tensor(np.zeros(2000, np.float32))
    y = x + 1
    with pytest.raises(cx.OutOfMemoryError, match="8000 bytes"):
        cx.eval(y)
    assert issubclass(cx.OutOfMemoryError, MemoryError)
    assert (x[:3] * 2).tolist() == [2, 2, 2]
    monkeypatch.setattr(BACKEND, "memory_bytes", 1 << 30)
    assert y.sum().item() == 4000


def test_an_error_in_a_backend_is_the_scripts_and_leaves_the_graph_whole(there, monkeypatch):
    y = cx.Tensor([4.0]) * cx.Tensor([5.0, 6.0])

    def fail(self, arguments, donated):
        raise KeyError("the engine is ill")

    with monkeypatch.context() as patch:
        patch.setattr(reference_backend.ReferenceExecutable, "run", fail)
        with pytest.raises(KeyError, match="ill"):
            y.tolist()
    assert y.tolist() == [20, 24]


def test_a_backend_may_run_python_that_evaluates(there, monkeypatch):
    """Garbage collection may run anything inside a call."""
    plain = reference_backend.ReferenceExecutable.run
    f = cx.compile(lambda x: x * 3)
    f(cx.Tensor([1.0]))
    inner = []

    def run(self, arguments, donated):
        if not inner:
            inner.append(0)
            inner.append((cx.Tensor([1.0]) * 2 + 1).tolist())
            inner.append(f(cx.Tensor([2.0])).tolist())
        return plain(self, arguments, donated)

    monkeypatch.setattr(reference_backend.ReferenceExecutable, "run", run)
    assert f(cx.Tensor([5.0])).tolist() == [15] and inner[1:] == [[3], [6]]
    inner.clear()
    assert (cx.Tensor([1.0]) - 4).tolist() == [-3] and inner[1:] == [[3], [6]]


def test_threads_compute_there_at_once(there):
    wrong = []

    def work(k):
        with cx.device(there):
            for i in range(50):
                x = cx.Tensor([float(i)] * 4)
                if (x * k + i).tolist() != [float(i * k + i)] * 4:
                    wrong.append((k, i))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert not wrong


SCRIPT = """
import os, sys
sys.path.insert(0, {tests!r})
import reference_backend
import pycyxwiz as cx
from pycyxwiz import backends
backends.register(reference_backend.ENGINE)
"""


def script(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    import os
    from pathlib import Path

    head = SCRIPT.format(tests=str(Path(__file__).parent))
    return subprocess.run(
        [sys.executable, "-c", head + textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | environment,
    )


def test_a_forked_child_is_told_that_devices_stay_with_the_parent():
    done = script("""
        t = cx.Tensor([1.0]).to("reference:0")
        pid = os.fork()
        if pid == 0:
            try:
                (t + 1).tolist()
            except cx.DeviceError as error:
                print(error, flush=True)
                print((cx.Tensor([1.0]) + 1).tolist(), flush=True)
            os._exit(0)
        os.waitpid(pid, 0)
        print((t + 1).tolist())
    """)
    assert done.returncode == 0, done.stderr
    assert "reference:0 was opened before this process was forked" in done.stdout
    assert done.stdout.count("[2.0]") == 2


def test_a_process_ends_with_tensors_on_a_device():
    done = script("""
        import threading
        cx.set_device("reference:0")
        kept = cx.Tensor([1.0]) + 1
        compiled = cx.compile(lambda x: x + 1)
        def work():
            while True:
                compiled(cx.ones(10)).tolist()
        threading.Thread(target=work, daemon=True).start()
        print(compiled(kept).tolist())
    """)
    assert done.returncode == 0 and done.stdout == "[3.0]\n", done.stderr


def test_an_installed_package_offers_a_backend_by_an_entry_point(tmp_path):
    (tmp_path / "theirs.py").write_text(
        "import reference_backend\n"
        "def make():\n"
        "    backend = reference_backend.ReferenceBackend()\n"
        "    backend.name = 'theirs'\n"
        "    return backend\n"
    )
    info = tmp_path / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[pycyxwiz.backends]\nreference = theirs:make\n")
    done = script(
        f"""
        sys.path.insert(0, {str(tmp_path)!r})
        assert [str(d) for d in cx.get_devices()] == ["cpu"] and "theirs" not in sys.modules
        cx.set_device("reference:1")
        print(cx.Tensor([1.0]).device, cx.Tensor([1.0]).device.backend)
        with cx.device("reference:1", backend="reference") as other:
            print(other.backend, cx.Tensor([1.0]).device.backend)
        """
    )
    assert done.stdout == "reference:1 theirs\nreference reference\n", done.stderr


def test_the_environment_chooses_the_device(tmp_path):
    done = script("print(cx.Tensor([1.0]).device)", CYXWIZ_DEVICE="cpu")
    assert done.stdout == "cpu\n", done.stderr
    done = script("", CYXWIZ_DEVICE="cuda:7")
    assert done.returncode == 1
    assert "DeviceError: CYXWIZ_DEVICE: there is no device 'cuda:7'" in done.stderr
