"""Learning rates that follow the count of steps; give one as an optimizer's ``learning_rate``.

A schedule is called with the step, a number or a 0-d tensor that counts batches from 0, and gives
the rate. It is computed inside the compiled training step. Any function of the step serves as well;
those here can be saved with a model.
"""

from __future__ import annotations

from math import isfinite, pi
from typing import TYPE_CHECKING, Any

from pycyxwiz import _core
from pycyxwiz._config import Configured, register

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycyxwiz._core import Tensor

__all__ = ["Constant", "Cosine", "Exponential", "Schedule", "Step", "WarmUp"]


class Schedule(Configured):
    """The base of schedules: a function of the step with arguments that can be saved."""

    def __call__(self, step: Any) -> Tensor | float:
        """The rate at ``step``."""
        raise NotImplementedError


@register
class Constant(Schedule):
    """The same rate at every step.

    >>> cx.optimizers.schedules.Constant(0.1)(1000)
    0.1
    """

    def __init__(self, learning_rate: float) -> None:
        self.learning_rate = _checked("Constant: learning_rate", learning_rate)

    def __call__(self, step: Any) -> Tensor | float:
        return self.learning_rate


@register
class Step(Schedule):
    """Multiplied by ``factor`` after every ``every`` steps.

    >>> schedule = cx.optimizers.schedules.Step(0.5, every=100, factor=0.5)
    >>> [schedule(step).item() for step in (99, 100, 200)]
    [0.5, 0.25, 0.125]
    """

    def __init__(self, learning_rate: float, every: int, factor: float = 0.1) -> None:
        self.learning_rate = _checked("Step: learning_rate", learning_rate)
        self.every = _checked("Step: every", every, least=1)
        self.factor = _checked("Step: factor", factor)

    def __call__(self, step: Any) -> Tensor | float:
        times = _core.floor(_core.divide(step, self.every))
        return self.learning_rate * _core.power(self.factor, times)


@register
class Exponential(Schedule):
    """Multiplied by ``factor`` over every ``every`` steps, smoothly.

    >>> cx.optimizers.schedules.Exponential(0.5, every=100, factor=0.25)(50).item()
    0.25
    """

    def __init__(self, learning_rate: float, every: int, factor: float = 0.5) -> None:
        self.learning_rate = _checked("Exponential: learning_rate", learning_rate)
        self.every = _checked("Exponential: every", every, least=1)
        self.factor = _checked("Exponential: factor", factor)

    def __call__(self, step: Any) -> Tensor | float:
        return self.learning_rate * _core.power(self.factor, _core.divide(step, self.every))


@register
class Cosine(Schedule):
    """From ``learning_rate`` to ``final`` in ``steps`` steps along half a cosine; then ``final``.

    Loshchilov and Hutter 2017 (ICLR), without restarts.

    >>> schedule = cx.optimizers.schedules.Cosine(0.5, steps=100)
    >>> [round(schedule(step).item(), 6) for step in (0, 50, 100, 1000)]
    [0.5, 0.25, 0.0, 0.0]
    """

    def __init__(self, learning_rate: float, steps: int, final: float = 0.0) -> None:
        self.learning_rate = _checked("Cosine: learning_rate", learning_rate)
        self.steps = _checked("Cosine: steps", steps, least=1)
        self.final = _checked("Cosine: final", final)

    def __call__(self, step: Any) -> Tensor | float:
        progress = _core.minimum(_core.divide(step, self.steps), 1)
        share = 0.5 + 0.5 * _core.cos(progress * pi)
        return self.final + (self.learning_rate - self.final) * share


@register
class WarmUp(Schedule):
    """Climbs to ``schedule``'s first rate in ``steps`` equal stages, then follows it.

    Parameters
    ----------
    schedule : a rate, another schedule, or a function of the step.
    steps : how many steps are below the first rate.

    >>> schedule = cx.optimizers.schedules.WarmUp(0.5, steps=3)
    >>> [schedule(step).item() for step in (0, 1, 3, 10)]
    [0.125, 0.25, 0.5, 0.5]
    """

    def __init__(self, schedule: float | Callable[[Any], Any], steps: int) -> None:
        self.schedule = schedule if callable(schedule) else _checked("WarmUp: schedule", schedule)
        self.steps = _checked("WarmUp: steps", steps, least=1)

    def __call__(self, step: Any) -> Tensor | float:
        after = _core.maximum(_core.subtract(step, self.steps), 0)
        rate = self.schedule(after) if callable(self.schedule) else self.schedule
        return rate * _core.minimum(_core.divide(_core.add(step, 1), self.steps + 1), 1)


def _checked(name: str, value: Any, *, least: float = 0) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number, got {value!r}")
    if not (isfinite(value) and value >= least):
        raise ValueError(f"{name} must be a finite number ≥ {least}, got {value!r}")
    return value
