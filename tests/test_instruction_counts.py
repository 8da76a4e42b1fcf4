"""What recording, running and reading cost in instructions: counts where a clock would be too noisy.

Callgrind counts a script with many repetitions and without any; the difference, divided, is the cost
of one. The bounds are loose, 1.5 times what Python 3.11 took, and hold on any
machine: kernels of the baseline, one thread.
"""

import os
import re
import shutil
import subprocess
import sys

import pytest

SCRIPT = """
import sys
import numpy as np
import pycyxwiz as cx
cx.set_num_threads(1)
a, b = cx.from_numpy(np.arange(4, dtype=np.float32)), cx.from_numpy(np.ones(4, np.float32))
compiled = cx.compile(lambda x, y: x * y + x)
for _ in range(3):  # whatever is made once
    (a + b).to_numpy(), cx.eval(a + b), compiled(a, b)
for _ in range(int(sys.argv[1])):
    {statement}
"""

# Enough for the loop to stand out from what varies between two starts of Python.
REPETITIONS = 10_000


def instructions(statement: str, repetitions: int) -> int:
    done = subprocess.run(
        ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
        + [sys.executable, "-c", SCRIPT.format(statement=statement), str(repetitions)],
        capture_output=True,
        text=True,
        check=True,
        # Valgrind knows no AVX-512; hashes that differ from run to run would move the counts.
        env=os.environ | {"CYXWIZ_ISA": "baseline", "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1"},
    )
    (found,) = re.findall(r"Collected : (\d+)", done.stderr)
    return int(found)


@pytest.fixture(scope="module")
def start() -> int:
    """What the script needs without the loop."""
    return instructions("pass", 0)


@pytest.mark.skipif(
    shutil.which("valgrind") is None, reason="valgrind is not installed (Debian: valgrind)"
)
@pytest.mark.parametrize(
    ("statement", "most"),
    [("a + b", 4500), ("(a + b).to_numpy()", 12000), ("compiled(a, b)", 26000)],
)
def test_a_tiny_operation_costs_few_instructions(statement: str, most: int, start: int) -> None:
    cost = (instructions(statement, REPETITIONS) - start) / REPETITIONS
    assert 0 < cost < most
