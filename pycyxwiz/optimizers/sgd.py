"""SGD: stochastic gradient descent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pycyxwiz._config import register
from pycyxwiz.optimizers._optimizer import Optimizer

if TYPE_CHECKING:
    from pycyxwiz._core import Tensor
    from pycyxwiz.optimizers._optimizer import Rate


@register
class SGD(Optimizer):
    """A step against the gradient, with momentum if wanted.

    Parameters
    ----------
    learning_rate, weight_decay, clip_norm, lr : see ``Optimizer``.
    momentum : in [0, 1); how much of the last step's velocity stays: v ← momentum · v + gradient
        and parameter ← parameter - rate · v.
    nesterov : look ahead along the velocity (Sutskever et al. 2013, ICML).

    >>> cx.optimizers.SGD(learning_rate=0.1, momentum=0.9, nesterov=True)
    SGD(learning_rate=0.1, momentum=0.9, nesterov=True)
    """

    def __init__(
        self,
        learning_rate: Rate = 0.01,
        *,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        clip_norm: float | None = None,
        lr: Rate | None = None,
    ) -> None:
        super().__init__(learning_rate, weight_decay=weight_decay, clip_norm=clip_norm, lr=lr)
        self.momentum = self._number("momentum", momentum, least=0, below=1)
        if nesterov and not momentum:
            raise ValueError("SGD: nesterov needs a momentum > 0")
        self.nesterov = bool(nesterov)
        self.slots = ("velocity",) if momentum else ()

    def rule(
        self,
        parameter: Tensor,
        gradient: Tensor,
        state: tuple[Tensor, ...],
        scalars: tuple[Any, ...],
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        (rate,) = scalars
        if not state:
            return parameter - rate * gradient, ()
        velocity = self.momentum * state[0] + gradient
        step = gradient + self.momentum * velocity if self.nesterov else velocity
        return parameter - rate * step, (velocity,)
