"""The XLA backend, beyond what test_conformance.py asks of every device."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import pycyxwiz as cx

jax = pytest.importorskip("jax", reason="jax is not installed")


@pytest.fixture
def there():
    with cx.device("xla:cpu") as device:
        yield device


@pytest.fixture
def backend(there):
    from pycyxwiz import backends

    return next(each for each in backends.loaded() if each.name == "xla")


def script(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=180,
        env=os.environ | environment,
    )


def test_jax_is_not_imported_before_a_device_of_its_is_asked_for():
    done = script("""
        import sys
        import pycyxwiz as cx
        cx.set_device("cpu"), cx.get_devices(), cx.memory.stats()
        model = cx.Model([cx.layers.Dense(2, 2)])
        model.compile(optimizer="adam", loss="mse")
        model.fit([[1.0, 2.0]], [[1.0, 2.0]], verbose=0)
        try:
            cx.set_device("cuda:7")
        except cx.DeviceError as error:
            print(error)
        print("jax" in sys.modules or "jaxlib" in sys.modules)
        cx.set_device("xla:cpu")
        print("jax" in sys.modules, [str(d) for d in cx.get_devices()])
    """)
    assert done.returncode == 0, done.stderr
    error, before, after = done.stdout.splitlines()
    assert "there is no device 'cuda:7': those in reach are cpu" in error
    assert "pip install 'pycyxwiz[cuda]'" in error and before == "False"
    assert after == "True ['cpu', 'xla:cpu']"


def test_a_list_of_devices_that_probes_has_those_of_every_engine():
    done = script("""
        import pycyxwiz as cx
        print([str(d) for d in cx.get_devices()], [str(d) for d in cx.get_devices(probe=True)][:2])
    """)
    assert done.stdout == "['cpu'] ['cpu', 'xla:cpu']\n", done.stderr


def test_the_engines_own_name_is_its_best_device(there):
    assert cx.get_device("xla").backend == "xla"
    assert cx.get_device("xla:cpu", backend="xla") == there
    with pytest.raises(cx.DeviceError, match="through 'arrayfire'"):
        cx.get_device("xla:cpu", backend="arrayfire")


def test_without_jax_the_error_says_how_to_get_it(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util\n"
        "plain = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *rest: "
        "None if name.startswith('jax') else plain(name, *rest)\n"
    )
    done = script(
        """
        import pycyxwiz as cx
        cx.set_device("xla:cpu")
        """,
        PYTHONPATH=str(tmp_path),
    )
    assert "xla: JAX is not installed: pip install 'pycyxwiz[xla]'" in done.stderr


def test_scripts_that_use_jax_themselves_keep_their_32_bits(there):
    import jax.numpy as jnp

    x = cx.Tensor(np.arange(3))
    cx.eval(x + 1)
    assert jnp.arange(3).dtype == np.int32 and (x + 1).to_numpy().dtype == np.int64
    assert not jax.config.jax_enable_x64


def test_memory_of_the_cpu_is_used_in_place_and_never_written(there):
    with cx.device("cpu"):
        host = cx.random.normal([64, 1024])
        kept = host.to_numpy(copy=True)
    x = host.to(there)
    step = cx.compile(lambda x: x * 0 - 1, donate_argnums=0)
    cx.eval(step(x))
    np.testing.assert_array_equal(host.to_numpy(), kept)


def test_an_array_that_was_read_is_not_written_over_by_donation(there):
    step = cx.compile(lambda x: x + 1, donate_argnums=0)
    x = step(cx.zeros((64, 64)))
    view = x.to_numpy()
    y = step(x)
    assert (view == 1).all() and (y.to_numpy() == 2).all()


def test_a_view_of_an_argument_outlives_the_argument(there):
    look = cx.compile(lambda x: (cx.stop_gradient(x), x * 2))
    step = cx.compile(lambda x: x + 1, donate_argnums=0)
    x = step(cx.zeros((64, 64)))
    view, double = look(x)
    again = step(x)
    once_more = step(view)
    assert (again == 2).all() and (once_more == 2).all() and (double == 2).all()


def test_changing_an_array_after_it_was_handed_over_changes_nothing(there):
    a = np.ones((64, 1024), np.float32)
    x = cx.from_numpy(a)
    a[:] = 5
    assert (x + 0).sum().item() == a.size


def test_state_that_is_given_away_is_updated_in_place(there):
    step = cx.compile(lambda x: x * 2, donate_argnums=0)
    x = step(step(cx.zeros((512, 512)) + 1))
    cx.eval(x)
    gc.collect()
    live = len([a for a in jax.live_arrays() if a.shape == (512, 512)])
    for _ in range(5):
        x = step(x)
    assert len([a for a in jax.live_arrays() if a.shape == (512, 512)]) == live


def test_a_device_without_memory_raises_our_error_with_sizes_and_goes_on(backend, monkeypatch):
    x = cx.ones(4) + 1

    def full(self, *values):
        raise jax.errors.JaxRuntimeError(
            "RESOURCE_EXHAUSTED: Out of memory allocating 17179869184 bytes."
        )

    with monkeypatch.context() as patch:
        patch.setattr(jax.stages.Compiled, "__call__", full)
        with pytest.raises(cx.OutOfMemoryError) as caught:
            x.tolist()
    message = str(caught.value)
    assert message.startswith("xla:cpu: ") and "17179869184 bytes" in message
    assert "bytes are free" in message and x.tolist() == [2, 2, 2, 2]


def test_products_round_their_operands_only_where_that_is_allowed(backend):
    """On a CPU they never do: the precision is seen in what XLA is asked for."""
    from pycyxwiz.backends import _xla_ops
    from pycyxwiz.backends.protocol import Program, Value

    def asked(rounded: int) -> str:
        inputs = [Value("input", "float32", (4, 4), (), ()) for _ in range(2)]
        product = Value("matmul", "float32", (4, 4), (0, 1), (0, rounded))
        program = Program((*inputs, product), (0, 1), (False, False), (2,))
        lowered = _xla_ops.Lowering(program)
        return str(jax.jit(lowered).lower(*lowered.arguments()).as_text())

    assert "HIGHEST" in asked(0) and "HIGHEST" not in asked(1)


def test_a_process_with_jax_in_it_computes_on_the_cpu_and_ends():
    done = script("""
        import threading
        import pycyxwiz as cx
        x = cx.random.normal([300, 300])
        print(x.shape == (x @ x).shape)
        cx.set_device("xla:cpu")
        y = cx.random.normal([300, 300])
        print((y @ y).sum().item() == (y @ y).sum().item())
        kept = cx.compile(lambda x: x @ x)
        def work():
            with cx.device("xla:cpu"):
                while True:
                    kept(y).sum().item()
        threading.Thread(target=work, daemon=True).start()
        print(kept(y).shape, (x @ x).shape)
    """)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "True\nTrue\n(300, 300) (300, 300)\n"


def test_after_a_fork_the_child_computes_on_the_cpu_and_is_told_of_the_device():
    done = script("""
        import os
        import warnings
        import pycyxwiz as cx
        warnings.filterwarnings("ignore", message="os.fork")
        x = cx.Tensor([1.0, 2.0]).to("xla:cpu")
        cx.eval(x + 1)
        pid = os.fork()
        if pid == 0:
            try:
                (x + 1).tolist()
            except cx.DeviceError as error:
                print(error, flush=True)
            print(((cx.ones((200, 200)) @ cx.ones((200, 200))) + 0).sum().item(), flush=True)
            os._exit(0)
        os.waitpid(pid, 0)
        print((x + 1).tolist())
    """)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("xla:cpu was opened before this process was forked")
    assert lines[1:] == ["8000000.0", "[2.0, 3.0]"]
