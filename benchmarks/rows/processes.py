"""Whole processes: the price of an import, a first step, an epoch's memory, an installation.

Each contender is a script, run in a new process that sees no modules of this checkout.
"""

import importlib.metadata
import re
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.row import Contender, Row, Run


def run_script(text: str) -> str:
    """What the script printed last."""
    done = subprocess.run(
        [sys.executable, "-c", text],
        capture_output=True,
        text=True,
        check=False,
        cwd=tempfile.gettempdir(),
    )
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip() or f"exit code {done.returncode}")
    return done.stdout.strip().rpartition("\n")[2]


def script(text: str) -> Contender:
    """A script whose whole process is timed, from its start to its end."""

    def run() -> float:
        start = time.perf_counter()
        run_script(text)
        return time.perf_counter() - start

    return lambda _: run


def script_that_prints(text: str) -> Contender:
    """A script that prints its figure."""
    return lambda _: lambda: float(run_script(text))


IMPORT = """
import time
start = time.perf_counter()
import {module}
print(time.perf_counter() - start)
"""

# One epoch of eight steps of 32 rows, from nothing.
START_DATA = """
import numpy as np
rng = np.random.default_rng(0)
x = rng.random((256, 784), np.float32)
y = rng.integers(0, 10, 256)
"""

START = {
    "numpy:import-only": "import numpy",
    "pycyxwiz": START_DATA
    + """
import pycyxwiz as cx
model = cx.Model([
    cx.layers.Dense(784, 128, activation="relu"),
    cx.layers.Dense(128, 10, activation="softmax"),
])
model.compile(optimizer="adam", loss="cross_entropy")
model.fit(x, y, epochs=1, batch_size=32, verbose=0)
""",
    "torch": START_DATA
    + """
import torch
from torch import nn
x, y = torch.from_numpy(x), torch.from_numpy(y)
model = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
loss_of = nn.CrossEntropyLoss()
optimizer = torch.optim.Adam(model.parameters(), fused=True)
for rows in torch.randperm(256).split(32):
    loss = loss_of(model(x[rows]), y[rows])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
""",
    "keras": START_DATA
    + """
import keras
model = keras.Sequential([
    keras.Input((784,)),
    keras.layers.Dense(128, activation="relu"),
    keras.layers.Dense(10),
])
model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
model.fit(x, y, epochs=1, batch_size=32, verbose=0)
""",
    "sklearn": START_DATA
    + """
from sklearn.neural_network import MLPClassifier
MLPClassifier((128,), batch_size=32, max_iter=1).fit(x, y)
""",
}

# The peak of resident memory, reset when the data is there, less what was resident then (Linux).
MEMORY = """
import sys
sys.path.insert(0, {root!r})
from benchmarks.rows import networks
sys.path.remove({root!r})  # the package is imported from where it is installed

def resident(which):
    for line in open("/proc/self/status"):
        if line.startswith(which):
            return int(line.split()[1]) / 1024

data = networks.task()
open("/proc/self/clear_refs", "w").write("5")
before = resident("VmRSS")
networks.{train}()
print(resident("VmHWM") - before)
"""


def memory(train: str) -> Contender:
    """Megabytes that importing the library and training for an epoch add at the peak."""
    root = str(Path(__file__).resolve().parents[2])
    return script_that_prints(MEMORY.format(root=root, train=train))


# What each peer asks to have installed for the epoch; sizes include everything they depend on.
DISTRIBUTIONS = {
    "pycyxwiz": ["pycyxwiz"],
    "numpy": ["numpy"],
    "torch": ["torch"],
    "keras": ["keras", "jax"],
    "sklearn": ["scikit-learn"],
}


def closure(names: list[str]) -> set[str]:
    """These distributions and all they need, extras left out, as far as they are installed."""
    found: set[str] = set()
    pending = list(names)
    while pending:
        name = re.sub(r"[-_.]+", "-", pending.pop()).lower()
        if name in found:
            continue
        try:
            requires = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue  # for another platform
        found.add(name)
        pending += [re.split(r"[^\w.-]", line)[0] for line in requires if "extra ==" not in line]
    return found


def installed_size(names: list[str], _: Any) -> Run:
    """Megabytes on disk of these distributions and their dependencies."""

    def run() -> float:
        total = 0
        for name in closure(names):
            for file in importlib.metadata.files(name) or []:
                path = Path(str(file.locate()))
                if path.is_file():
                    total += path.stat().st_size
        return total / 2**20

    return run


ROWS = [
    Row(
        name="import",
        title="import",
        contenders={
            name: script_that_prints(IMPORT.format(module=module))
            for name, module in {
                "pycyxwiz": "pycyxwiz",
                "numpy": "numpy",
                "torch": "torch",
                "jax": "jax",
                "keras": "keras",
                "sklearn": "sklearn.neural_network",
            }.items()
        },
        floors={"numpy": 1 / 1.6},
        own_clock=True,
    ),
    Row(
        name="cold-start",
        title="import, build, train 8 steps: the whole process",
        contenders={name: script(text) for name, text in START.items()},
        floors={"torch": 8.0, "keras": 12.0, "sklearn": 4.0},
        own_clock=True,
        rounds=7,
    ),
    Row(
        name="memory",
        title="memory that the MLP epoch adds to its data",
        contenders={
            "pycyxwiz": memory("mlp_cx(32, data)"),
            "numpy": memory("mlp_numpy(32, data)"),
            "torch": memory("mlp_torch(32, data)"),
            "keras": memory("mlp_keras(32, data)"),
            "sklearn": memory("mlp_sklearn(32, data)"),
        },
        limit=60.0,
        unit="MB",
        rounds=3,
    ),
    Row(
        name="install-size",
        title="size of an installation with its dependencies",
        contenders={name: partial(installed_size, names) for name, names in DISTRIBUTIONS.items()},
        limit=300.0,
        unit="MB",
        rounds=1,
    ),
]
