"""What this machine can do at most, measured once: the two roofs under which every row's time lies.

Called as ``python -m benchmarks.limits THREADS`` in a process of its own; prints JSON:
``{"operations": a second, "bandwidth": [[bytes, bytes a second], …]}``.

The first is the best rate that NumPy's products reach here (OpenBLAS, some 90 % of what the
processor has); the second the best of adding two arrays and of looking for a maximum, when the data
has that many bytes in all, each CPU at its own part: it falls where they outgrow caches.
"""

import json
import math
import multiprocessing
import sys
import time
from collections.abc import Mapping
from typing import Any

from benchmarks import peers

#: Bytes of the arrays together: from what L2 holds to what no cache does, as the rows have them.
WORKING_SETS = (768 << 10, 4_000_000, 12_000_000, 100_000_000, 1_200_000_000)


def least_time(limits: Mapping[str, Any], operations: float, traffic: float) -> float:
    """The seconds that the machine needs at least for so much work; NaN where nothing is known."""
    if not limits or not (operations or traffic):
        return math.nan
    for size, rate in limits["bandwidth"]:
        bandwidth = rate
        if traffic <= size:
            break
    return max(operations / limits["operations"], traffic / bandwidth)


def highest(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Of two measurements: a busy machine hides what it can do."""
    best = dict(one["bandwidth"])
    for size, rate in other["bandwidth"]:
        best[size] = max(rate, best.get(size, 0))
    return {
        "operations": max(one["operations"], other["operations"]),
        "bandwidth": [list(pair) for pair in sorted(best.items())],
    }


def main(threads: int) -> None:
    peers.limit_cpus(threads)
    import numpy as np

    a, b = (np.random.default_rng(0).random((2048, 2048), np.float32) for _ in range(2))
    out = np.empty_like(a)
    best, end = math.inf, time.perf_counter() + 4
    while time.perf_counter() < end:
        best = min(best, _seconds(lambda: np.matmul(a, b, out=out)))
    bandwidth = [[size, _moved(size, threads)] for size in WORKING_SETS]
    print(json.dumps({"operations": 2 * 2048**3 / best, "bandwidth": bandwidth}))


def _seconds(function: Any) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def _moved(size: int, threads: int) -> float:
    """Bytes a second of all CPUs together, each with its share of ``size``."""
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(threads)
    with context.Pool(threads, initializer=_share, initargs=(barrier,)) as pool:
        rates = pool.map(_rates, [size // threads] * threads, chunksize=1)
    return max(map(sum, zip(*rates, strict=True)))


def _share(barrier: Any) -> None:
    global _barrier
    _barrier = barrier


def _rates(size: int) -> tuple[float, float]:
    """What this process reaches while the others are at it too: adding, and reading."""
    import numpy as np

    x, y, out = np.ones((3, size // 12), np.float32)
    whole = np.ones(size // 4, np.float32)
    return _rate(lambda: np.add(x, y, out=out), size), _rate(whole.max, size)


def _rate(work: Any, size: int, budget: float = 0.4) -> float:
    work()
    _barrier.wait()
    best, end = math.inf, time.perf_counter() + budget
    while time.perf_counter() < end:
        best = min(best, _seconds(work))
    return size / best


if __name__ == "__main__":
    main(int(sys.argv[1]))
