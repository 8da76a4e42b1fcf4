"""Gathering random rows of a training set: what every shuffled batch costs."""

from functools import partial
from typing import Any

import numpy as np

from benchmarks.peers import on_cx, on_jax, on_numpy, on_torch
from benchmarks.row import Row, close


def table_and_rows(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.random((60_000, 784), np.float32), rng.integers(0, 60_000, count)]


def take(lib: Any, table: Any, rows: Any) -> Any:
    return lib.take(table, rows, axis=0)


def gather(count: int) -> Row:
    return Row(
        name=f"gather-{count}",
        title=f"gather {count:,} random rows of 60,000 × 784",
        data=partial(table_and_rows, count),
        contenders={
            "pycyxwiz": on_cx(take),
            "numpy": on_numpy(take),
            "torch": on_torch(lambda torch, table, rows: torch.index_select(table, 0, rows)),
            "jax": on_jax(take),
        },
        floors={"numpy": 1.5, "torch": 1.0},
        check=close(),
        traffic=count * (2 * 784 * 4 + 8),
        why="the rows lie scattered: the processor does not guess where the next one is",
    )


ROWS = [gather(32), gather(10_000)]
