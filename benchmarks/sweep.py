"""How costs grow: time against size from some ten elements to 10⁸, for 1 to all threads.

Called as ``python -m benchmarks.sweep THREADS LIBRARY`` in a process of its own; prints JSON:
``{work: [[elements, seconds], …]}``, each size twice the one before.

A *cliff* is a size at which an element takes more than 1.3 times what it takes at half the size.
Where the data outgrows a cache that is no cliff.
"""

import itertools
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import peers

MOST = 100_000_000
CLIFF = 1.3

Points = Sequence[tuple[int, float]]


@dataclass(frozen=True)
class Work:
    """What is done to ``n`` elements. ``traffic``: bytes that it touches for each.

    ``power``: the time of n elements is in proportion to n to that power.
    """

    run: Callable[[Any, Any, Any], Any]
    traffic: int
    most: int = MOST
    power: float = 1.0


def chain(lib: Any, x: Any, y: Any) -> Any:
    return lib.sqrt(x * x + y * y) * lib.exp(-x) + lib.sin(y)


def square(lib: Any, x: Any) -> Any:
    """As a square matrix, as far as the elements go."""
    side = int(x.shape[0] ** 0.5)
    return lib.reshape(x[: side * side], (side, side))


def row_sums(lib: Any, x: Any, y: Any) -> Any:
    side = int(x.shape[0] ** 0.5)
    return lib.sum(lib.reshape(x[: side * side], (side, side)), axis=1)


WORKS: Mapping[str, Work] = {
    "x + y": Work(lambda lib, x, y: x + y, 12),
    "exp(x)": Work(lambda lib, x, y: lib.exp(x), 8),
    "sqrt(x·x + y·y) · exp(-x) + sin(y)": Work(chain, 12),
    "sum(x)": Work(lambda lib, x, y: lib.sum(x), 4),
    "sum of rows": Work(row_sums, 4),
    "matmul": Work(lambda lib, x, y: square(lib, x) @ square(lib, y), 12, 1 << 24, 1.5),
}


def sizes(work: Work) -> list[int]:
    found = [MOST >> shift for shift in range(24)]
    return sorted(size for size in found if size <= work.most)


@dataclass(frozen=True)
class Cliff:
    """At ``size`` elements each takes ``times`` what it takes at half of them."""

    size: int
    times: float


@dataclass(frozen=True)
class Cache:
    """What the threads have together of one level, in bytes; a shared one may serve others too."""

    size: int
    shared: bool

    def is_outgrown_at(self, traffic: int) -> bool:
        """Caches are outgrown little by little; of a shared one nobody knows how much is ours."""
        return self.size / (8 if self.shared else 2) <= traffic <= self.size * 4


def cliffs(points: Points, work: Work, caches: Sequence[Cache]) -> list[Cliff]:
    """The cliffs along one line."""
    found = []
    for (smaller, before), (size, after) in itertools.pairwise(points):
        times = (after / before) / (size / smaller) ** work.power
        if times > CLIFF and not any(c.is_outgrown_at(size * work.traffic) for c in caches):
            found.append(Cliff(size, times))
    return found


def caches(threads: int) -> list[Cache]:
    """The data caches that so many threads have; none where the system does not say."""
    found = []
    for index in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"):
        kind, size, level = (
            (index / name).read_text().strip() for name in ("type", "size", "level")
        )
        if kind != "Instruction":
            shared = int(level) > 2
            found.append(Cache(int(size.rstrip("K")) * 1024 * (1 if shared else threads), shared))
    return sorted(found, key=lambda cache: cache.size)


def main(threads: int, library: str) -> None:
    peers.limit_cpus(threads)
    import numpy as np

    here = Path(__file__).resolve().parent.parent
    sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != here]

    rng = np.random.default_rng(0)
    arrays = [rng.random(MOST, np.float32) + np.float32(0.5) for _ in range(2)]
    if library == "numpy":
        lib: Any = np
        prepare, wait = (lambda array: array), (lambda result: result)
    else:
        import pycyxwiz as lib

        prepare, wait = lib.from_numpy, lib.eval
    lines = {}
    for name, work in WORKS.items():
        points = []
        for size in sizes(work):
            x, y = (prepare(array[:size]) for array in arrays)
            points.append((size, least(lambda: wait(work.run(lib, x, y)))))  # noqa: B023
        lines[name] = points
    print(json.dumps(lines))


def least(run: Callable[[], Any], budget: float = 0.06) -> float:
    """The seconds of one call: the least mean of several turns, so that disturbances drop out."""
    run()
    start = time.perf_counter()
    run()
    once = max(time.perf_counter() - start, 1e-7)
    calls, turns = max(1, int(budget / 12 / once)), 12 if once < budget else 4
    best = float("inf")
    for _ in range(turns):
        start = time.perf_counter()
        for _ in range(calls):
            run()
        best = min(best, (time.perf_counter() - start) / calls)
    return best


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
