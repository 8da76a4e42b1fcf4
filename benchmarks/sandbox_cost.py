"""What the sandbox costs: ``python -m benchmarks.sandbox_cost``, under a minute on a quiet machine.

Start-up: a script that prints a line, plain and in the sandbox in turns; medians of the whole
command's time. Speed: a script that measures itself, with all threads, in turns as well; the best
of its repetitions, then medians over the turns. The last line is one thread's processor time, which
others on the machine disturb least.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

START_TURNS, SPEED_TURNS = 15, 16
START = "print('up')\n"
# Work that keeps all threads busy, with little and with much between the parallel parts.
SPEED = """\
import time
import numpy as np
import pycyxwiz as cx

rng = np.random.default_rng(0)
x = rng.normal(size=(10_000, 784)).astype(np.float32)
y = rng.integers(0, 10, 10_000)
hidden = cx.layers.Dense(784, 128, activation="relu")
model = cx.Model([hidden, cx.layers.Dense(128, 10, activation="softmax")])
model.compile(optimizer="adam", loss="cross_entropy")
a = cx.Tensor(rng.normal(size=(1000, 1000)).astype(np.float32))
b = cx.Tensor(rng.normal(size=1_000_000).astype(np.float32))

def best(work, clock=time.perf_counter):
    work()
    seconds = []
    for _ in range(4):
        start = clock()
        work()
        seconds.append(clock() - start)
    return min(seconds)

def epoch():
    model.fit(x, y, epochs=1, batch_size=32, verbose=0)

def products():
    for _ in range(10):
        (a @ a).to_numpy()

def chains():
    for _ in range(50):
        (cx.sqrt(b * b + 1.0) * cx.exp(-b * b)).to_numpy()

print("epoch:", best(epoch))
print("products:", best(products))
print("chains:", best(chains))
cx.set_num_threads(1)
print("epoch, one thread's processor time:", best(epoch, time.process_time))
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        Path("start.cyx").write_text(START)
        Path("speed.cyx").write_text(SPEED)
        _report_start()
        _report_speed()


def _report_start() -> None:
    seconds: dict[bool, list[float]] = {False: [], True: []}
    for turn in range(START_TURNS + 1):
        for sandbox in (False, True):
            start = time.perf_counter()
            _run("start.cyx", sandbox)
            if turn:  # the first one reads files from the disk
                seconds[sandbox].append(time.perf_counter() - start)
    plain, inside = (statistics.median(seconds[sandbox]) * 1000 for sandbox in (False, True))
    print(
        f"start-up: {plain:.0f} ms plain, {inside:.0f} ms sandboxed: {inside - plain:.0f} ms later"
    )


def _report_speed() -> None:
    seconds: dict[tuple[str, bool], list[float]] = {}
    for _ in range(SPEED_TURNS):
        for sandbox in (False, True):
            for line in _run("speed.cyx", sandbox).splitlines():
                name, _, value = line.rpartition(" ")
                seconds.setdefault((name, sandbox), []).append(float(value))
    for name in dict.fromkeys(name for name, _ in seconds):
        plain, inside = (statistics.median(seconds[name, sandbox]) for sandbox in (False, True))
        change = f"{(inside / plain - 1) * 100:+.1f} %"
        print(f"{name} {plain * 1000:.1f} ms plain, {inside * 1000:.1f} ms sandboxed: {change}")


def _run(script: str, sandbox: bool) -> str:
    command = [sys.executable, "-m", "pycyxwiz.cli", "run", script, "--no-startup"]
    result = subprocess.run(
        [*command, *(["--sandbox"] if sandbox else [])], check=True, capture_output=True, text=True
    )
    return result.stdout


if __name__ == "__main__":
    main()
