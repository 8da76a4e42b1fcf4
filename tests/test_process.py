"""The process around it: threads, forks, import cost, and another OpenMP runtime beside ours."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import pycyxwiz as cx


def run(code: str, timeout: float = 60, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, f"exit {done.returncode}: {done.stderr[-2000:]}"
    return done.stdout.strip()


def test_import_starts_no_thread():
    # NumPy's own BLAS starts some, unless it is told not to.
    count = "import os, pycyxwiz; print(len(os.listdir('/proc/self/task')))"
    assert run(count, OPENBLAS_NUM_THREADS="1") == "1"


def test_import_brings_in_nothing_heavy():
    loaded = run("import pycyxwiz, sys; print(*sorted(sys.modules))").split()
    heavy = {
        "pandas",
        "tqdm",
        "safetensors",
        "torch",
        "jax",
        "matplotlib",
        "sklearn",
        "inspect",
        "dataclasses",
        "asyncio",
    }
    with_numpy = run("import numpy, sys; print(*sorted(sys.modules))").split()
    assert (heavy & set(loaded)) - set(with_numpy) == set()


def test_import_costs_about_what_numpys_does():
    def seconds(module: str) -> float:
        best = float("inf")
        for _ in range(5):
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", f"import {module}"], check=True)
            best = min(best, time.perf_counter() - start)
        return best

    # The aim is 1.6, and benchmarks/ measures it; this catches what is plainly wrong.
    assert seconds("pycyxwiz") < 2.5 * seconds("numpy")


FORK = """
import os, signal, sys
import numpy as np
import pycyxwiz as cx
cx.set_num_threads(2)
a = cx.ones((600, 600))
assert (a @ a).sum().item() == 600.0 ** 3
big = cx.ones((2_000_000,)) * 2 + 1
cx.eval(big)
pid = os.fork()
if pid == 0:
    signal.alarm(20)
    ok = (a @ a)[0, 0].item() == 600 and (big + 1).sum().item() == 8_000_000
    ok = ok and cx.softmax(cx.random.normal([300, 300])).shape == (300, 300)
    model = cx.Model([cx.layers.Dense(4, 2, "softmax")])
    model.compile("adam", "cross_entropy")
    model.fit(np.ones((8, 4)), np.zeros(8, int), verbose=0)
    os._exit(0 if ok and cx.get_num_threads() == 1 else 3)
_, status = os.waitpid(pid, 0)
assert status == 0, status
assert (a @ a).sum().item() == 600.0 ** 3 and cx.get_num_threads() == 2
print("done")
"""


def test_a_child_forked_after_a_product_computes_and_does_not_hang():
    assert run(FORK) == "done"


def test_multiprocessing_works_with_fork_and_spawn():
    code = """
import multiprocessing, sys
import pycyxwiz as cx

def work(n):
    return (cx.ones((200, 200)) @ cx.ones((200, 200)) * n).sum().item()

if __name__ == "__main__":
    cx.eval(cx.ones((500, 500)) @ cx.ones((500, 500)))
    with multiprocessing.get_context("fork").Pool(2) as pool:
        print(pool.map(work, [1, 2]))
"""
    assert run(code) == str([8_000_000.0, 16_000_000.0])


def test_a_process_that_ends_with_live_tensors_ends_cleanly():
    code = """
import numpy as np, pycyxwiz as cx
shared = cx.from_numpy(np.arange(1000.0))
view = (shared * 2).to_numpy()
pending = shared + 1
class Keeper:
    pass
keeper = Keeper(); keeper.self = keeper; keeper.tensor = cx.from_numpy(np.ones(5))
compiled = cx.compile(lambda x: x + shared[0])
compiled(cx.ones(1))
model = cx.Model([cx.layers.Dense(2, 1)])
model.compile("adam", "mse")
model.fit([[1.0, 2.0]], [1.0], verbose=0)
print(view[1])
"""
    for _ in range(3):
        assert run(code) == "2.0"


def test_exit_inside_a_thread_or_with_work_pending_is_clean():
    code = """
import threading, pycyxwiz as cx
def work():
    for _ in range(200):
        cx.eval(cx.ones((100, 100)) @ cx.ones((100, 100)))
threading.Thread(target=work, daemon=True).start()
cx.eval(cx.ones(1000) + 1)
print("end")
"""
    assert run(code) == "end"


def test_python_threads_compute_at_the_same_time_and_are_right():
    rng = np.random.default_rng(0)
    a = rng.normal(size=(120, 90)).astype(np.float32)
    t = cx.Tensor(a)
    compiled = cx.compile(lambda x, s: cx.softmax(x * s).sum(axis=0))
    expected = (a @ a.T).sum()
    wrong: list[object] = []

    def work(number: int) -> None:
        try:
            for i in range(60):
                if abs((t @ t.T).sum().item() - expected) > 1e-2 * abs(expected) + 1:
                    wrong.append("product")
                if compiled(t, 1.0 + number).sum().item() != pytest.approx(120, rel=1e-4):
                    wrong.append("compiled")
                if (cx.full((300,), float(i)) + number).sum().item() != 300 * (i + number):
                    wrong.append("sum")
                g = cx.grad(lambda x: cx.sum(x * x))(cx.full((5,), float(number)))
                if g.tolist() != [2.0 * number] * 5:
                    wrong.append("grad")
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert not any(thread.is_alive() for thread in threads)
    assert wrong == []


FIRST_USE = """
import sys, threading
sys.setswitchinterval(1e-6)
import pycyxwiz as cx
barrier, seen = threading.Barrier(8), []

def work(n):
    barrier.wait()
    seen.append((cx.ones(n).shape, (cx.ones(n) * 2).tolist(), str(cx.ones(1).dtype)))

threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(1, 9)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join(timeout=10)
print(len(seen))
"""


def test_the_first_use_by_several_threads_together_does_not_hang():
    for _ in range(4):
        assert run(FIRST_USE, timeout=30) == "8"


def test_threads_may_read_one_pending_tensor_together():
    for _ in range(20):
        pending = cx.ones(5000) * 2 + 1
        for _ in range(5):
            pending = cx.sqrt(pending * pending)
        seen: list[float] = []
        threads = [
            threading.Thread(target=lambda p=pending, s=seen: s.append(p.sum().item()))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=30)
        assert seen == [15_000.0] * 4


def test_other_python_threads_run_while_a_product_is_computed():
    ticks, stop = [0], threading.Event()

    def tick() -> None:
        while not stop.is_set():
            ticks[0] += 1
            time.sleep(0.0005)

    thread = threading.Thread(target=tick)
    a = cx.ones((1500, 1500)) * 1
    cx.eval(a)
    thread.start()
    for _ in range(5):
        cx.eval(a @ a)
    stop.set()
    thread.join()
    assert ticks[0] > 5


def test_the_number_of_threads_follows_omp_num_threads_and_affinity():
    ask = "import pycyxwiz as cx; print(cx.get_num_threads())"
    assert run(ask, OMP_NUM_THREADS="1") == "1"
    assert run(ask, OMP_NUM_THREADS="3") == "3"
    assert run(ask, OMP_NUM_THREADS="nonsense").isdigit()
    one = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); " + ask
    environment = {"OMP_NUM_THREADS": ""}
    assert run(one, **environment) == "1"


@pytest.mark.parametrize("order", ["torch, pycyxwiz", "pycyxwiz, torch"])
def test_two_openmp_runtimes_in_one_process_compute_and_exit(order):
    if importlib.util.find_spec("torch") is None:
        pytest.skip("torch is not installed")
    code = f"""
import {order}
import pycyxwiz as cx
a = torch.ones(500, 500)
for _ in range(3):
    assert (a @ a).sum().item() == 500.0 ** 3
    assert (cx.ones((500, 500)) @ cx.ones((500, 500))).sum().item() == 500.0 ** 3
    assert (cx.ones(1_000_000) + 1).sum().item() == 2_000_000
print("done")
"""
    assert run(code, timeout=120) == "done"


def test_the_core_needs_no_environment_variables():
    code = "import pycyxwiz as cx; print((cx.ones((20, 20)) @ cx.ones((20, 20))).sum().item())"
    kept = {k: v for k, v in os.environ.items() if k in ("PATH", "PYTHONPATH", "HOME")}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=kept
    )
    assert done.stdout.strip() == "8000.0", done.stderr
