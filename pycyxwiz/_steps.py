"""The compiled steps of a model, and the loop that runs them over batches.

The whole data lies on the device; a step gathers its batch, computes, and updates its state in
place. Between steps nothing but the position of the next batch comes from Python.
"""

from __future__ import annotations

from collections import deque
from time import perf_counter
from typing import TYPE_CHECKING, Any

from pycyxwiz import _core
from pycyxwiz._core import Tensor
from pycyxwiz._state import Stateful, read, write
from pycyxwiz._transforms import Compiled, load, store, value_and_grad

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycyxwiz._objective import Objective
    from pycyxwiz.layers import Layer
    from pycyxwiz.optimizers import Optimizer


# How long Ctrl-C and other threads wait for steps that run in one call, in seconds.
_PATIENCE = 0.05


class Totals(Stateful):
    """Sums over examples of the loss and the metrics, kept as tensors until they are asked for."""

    def __init__(self, names: list[str]) -> None:
        for name in names:
            setattr(self, name, _core.zeros((), _core.float64))

    def reset(self) -> None:
        for name in self._values:
            write(self._values, name, _core.zeros((), _core.float64))

    def add(self, means: dict[str, Tensor], count: int) -> None:
        """Adds the means over ``count`` examples."""
        for name, mean in means.items():
            more = _core.astype(mean, _core.float64) * count
            write(self._values, name, read(self._values, name) + more)

    def means(self, count: int) -> dict[str, float]:
        """The means over all examples, of which there were ``count``."""
        _core.evaluate(list(self._values.values()))
        return {name: float(total) / count for name, total in self._values.items()}


class Steps:
    """The compiled functions of one model with their Programs, and the totals that they add to."""

    def __init__(self, names: list[str]) -> None:
        # Two, so that a callback may evaluate in the middle of an epoch.
        self.trained, self.evaluated = Totals(names), Totals(names)
        self.train = Compiled(_train, static_argnames=("objective", "size"), internal=True)
        self.evaluate = Compiled(_evaluate, static_argnames=("objective", "size"), internal=True)


def _train(
    model: Layer,
    optimizer: Optimizer,
    objective: Objective,
    totals: Totals,
    x: Tensor,
    y: Tensor,
    order: Tensor,
    start: int,
    size: int,
) -> None:
    rows = _core.take(order, _core.arange(size) + start)
    batch_x, batch_y = _core.take(x, rows), _core.take(y, rows)

    def loss(model: Layer) -> Any:
        return objective.measure(model, batch_x, batch_y, training=True)

    (_, found), gradients = value_and_grad(loss, has_aux=True)(model)
    optimizer.update(model, gradients)
    totals.add(found, size)


def _evaluate(
    model: Layer, objective: Objective, totals: Totals, x: Tensor, y: Tensor, start: int, size: int
) -> None:
    rows = _core.arange(size) + start
    _, found = objective.measure(model, _core.take(x, rows), _core.take(y, rows), training=False)
    totals.add(found, size)


def run_batches(
    step: Compiled[..., None],
    arguments: tuple[Any, ...],
    count: int,
    size: int,
    *,
    report: Callable[[int], None] | None = None,
    interval: float = 0.0,
) -> None:
    """Runs a step, whose last arguments are ``start`` and ``size``, over ``count`` examples.

    ``report`` is called with the number of examples done after a batch, at most every ``interval``
    seconds; by then the state is where it belongs. It is there too after a ``KeyboardInterrupt``;
    after any other exception it is as it was at the last report, or at the start.
    """
    done = 0
    while done < count:
        length = min(size, count - done)
        end = count - count % size if length == size else count
        leaves: list[Any] = []
        trace = step.trace((*arguments, done, length), {}, leaves)
        program, data, fixed = trace.program, leaves[:-1], load(trace.fixed)
        # Fresh handles: the first step leaves the values that layers hold alone, the others reuse
        # theirs.
        landed = deque([([Tensor(value) for value in load(trace.state)], 0)], maxlen=1)
        due = perf_counter() + interval if report is not None else float("inf")
        try:
            while done < end:
                # In one C call the old state is given away and the new one arrives: an interrupt
                # can't fall between the two.
                given = [*data, done, *fixed, *landed[0][0]]
                runs = -(-(end - done) // length)
                seconds = min(due - perf_counter(), _PATIENCE)
                landed.extend(
                    map(program.repeat, (given,), (len(data),), (length,), (runs,), (seconds,))
                )
                done += length * landed[0][1]
                if perf_counter() >= due:
                    break
        except KeyboardInterrupt:
            store(trace.state, landed[0][0])
            raise
        store(trace.state, landed[0][0])
        if report is not None:
            report(done)
