"""RMSprop: gradients divided by their running size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pycyxwiz import _core
from pycyxwiz._config import register
from pycyxwiz.optimizers._optimizer import Optimizer

if TYPE_CHECKING:
    from pycyxwiz._core import Tensor
    from pycyxwiz.optimizers._optimizer import Rate


@register
class RMSprop(Optimizer):
    """Divides each gradient by the root of its running mean square (Tieleman and Hinton 2012).

    Parameters
    ----------
    learning_rate, weight_decay, clip_norm, lr : see ``Optimizer``.
    rho : in [0, 1); how slowly the mean square forgets.
    momentum : in [0, 1); how much of the last step's velocity stays.
    epsilon : ≥ 0; keeps the step finite where gradients vanish.

    >>> cx.optimizers.RMSprop(lr=0.01)
    RMSprop(learning_rate=0.01)
    """

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        rho: float = 0.9,
        *,
        momentum: float = 0.0,
        epsilon: float = 1e-8,
        weight_decay: float = 0.0,
        clip_norm: float | None = None,
        lr: Rate | None = None,
    ) -> None:
        super().__init__(learning_rate, weight_decay=weight_decay, clip_norm=clip_norm, lr=lr)
        self.rho = self._number("rho", rho, least=0, below=1)
        self.momentum = self._number("momentum", momentum, least=0, below=1)
        self.epsilon = self._number("epsilon", epsilon, least=0)
        self.slots = ("square", "velocity") if momentum else ("square",)

    def rule(
        self,
        parameter: Tensor,
        gradient: Tensor,
        state: tuple[Tensor, ...],
        scalars: tuple[Any, ...],
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        (rate,) = scalars
        square = self.rho * state[0] + (1 - self.rho) * _core.square(gradient)
        step = gradient / (_core.sqrt(square) + self.epsilon)
        if len(state) == 1:
            return parameter - rate * step, (square,)
        velocity = self.momentum * state[1] + step
        return parameter - rate * velocity, (square, velocity)
