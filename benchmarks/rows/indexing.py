"""Gathering random rows of a training set: what every shuffled batch costs."""

import os
from collections.abc import Callable
from functools import partial
from itertools import cycle
from typing import Any

import numpy as np

from benchmarks.row import Contender, Row, Run, close

ROWS_IN_TABLE = 60_000

#: How a library makes its own of an array, and takes rows of a table.
Library = tuple[Callable[[np.ndarray], Any], Callable[[Any, Any], Any]]


def shuffled(count: int) -> list[np.ndarray]:
    """A table, and the rows of each batch of an epoch: new ones at every call, as in training."""
    rng = np.random.default_rng(0)
    batches = rng.permutation(ROWS_IN_TABLE)[: ROWS_IN_TABLE // count * count]
    return [rng.random((ROWS_IN_TABLE, 784), np.float32), batches.reshape(-1, count)]


def with_cx() -> Library:
    import pycyxwiz as cx

    def take(table: Any, rows: Any) -> Any:
        result = cx.take(table, rows, axis=0)
        cx.eval(result)
        return result

    return cx.from_numpy, take


def with_numpy() -> Library:
    return np.asarray, partial(np.take, axis=0)


def with_torch() -> Library:
    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)))

    def take(table: Any, rows: Any) -> Any:
        with torch.inference_mode():
            return torch.index_select(table, 0, rows)

    return torch.from_numpy, take


def with_jax() -> Library:
    import jax

    compiled = jax.jit(partial(jax.numpy.take, axis=0))
    return jax.device_put, lambda table, rows: compiled(table, rows).block_until_ready()


def batch_by_batch(library: Callable[[], Library]) -> Contender:
    def build(arrays: list[np.ndarray]) -> Run:
        convert, take = library()
        table, batches = convert(arrays[0]), cycle([convert(rows) for rows in arrays[1]])
        return lambda: take(table, next(batches))

    return build


def gather(count: int) -> Row:
    return Row(
        name=f"gather-{count}",
        title=f"gather {count:,} random rows of 60,000 × 784",
        data=partial(shuffled, count),
        contenders={
            "pycyxwiz": batch_by_batch(with_cx),
            "numpy": batch_by_batch(with_numpy),
            "torch": batch_by_batch(with_torch),
            "jax": batch_by_batch(with_jax),
        },
        floors={"numpy": 1.5, "torch": 1.0},
        check=close(),
        traffic=count * (2 * 784 * 4 + 8),
        why="each batch has other rows, and they lie scattered: the processor does not guess where "
        "the next one is",
    )


ROWS = [gather(32), gather(10_000)]
