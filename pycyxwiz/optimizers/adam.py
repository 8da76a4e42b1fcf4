"""Adam and AdamW: steps of a size of their own for each weight."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pycyxwiz import _core
from pycyxwiz._config import register
from pycyxwiz.optimizers._optimizer import Optimizer

if TYPE_CHECKING:
    from pycyxwiz._core import Tensor
    from pycyxwiz.optimizers._optimizer import Rate, Scalar


@register
class Adam(Optimizer):
    """Running means of the gradient and of its square set each weight's step (Kingma and Ba 2015).

    Parameters
    ----------
    learning_rate, weight_decay, clip_norm, lr : see ``Optimizer``.
    beta1, beta2 : in [0, 1); how slowly the mean and the mean square forget.
    epsilon : ≥ 0; keeps the step finite where gradients vanish.

    >>> cx.optimizers.Adam(lr=0.002)
    Adam(learning_rate=0.002)
    """

    slots = ("mean", "square")

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        *,
        weight_decay: float = 0.0,
        clip_norm: float | None = None,
        lr: Rate | None = None,
    ) -> None:
        super().__init__(learning_rate, weight_decay=weight_decay, clip_norm=clip_norm, lr=lr)
        self.beta1 = self._number("beta1", beta1, least=0, below=1)
        self.beta2 = self._number("beta2", beta2, least=0, below=1)
        self.epsilon = self._number("epsilon", epsilon, least=0)

    def scalars(self, rate: Scalar, step: Tensor) -> tuple[Scalar, ...]:
        # rate · m̂ / (√v̂ + ε) with the corrections m̂ = m / (1 - β₁ᵗ) and v̂ = v / (1 - β₂ᵗ) moved
        # out of the elements: they are the rate's and ε's affair.
        correction = _core.sqrt(1 - _core.power(self.beta2, step))
        return rate * correction / (1 - _core.power(self.beta1, step)), self.epsilon * correction

    def rule(
        self,
        parameter: Tensor,
        gradient: Tensor,
        state: tuple[Tensor, ...],
        scalars: tuple[Any, ...],
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        rate, epsilon = scalars
        mean = self.beta1 * state[0] + (1 - self.beta1) * gradient
        square = self.beta2 * state[1] + (1 - self.beta2) * _core.square(gradient)
        return parameter - rate * mean / (_core.sqrt(square) + epsilon), (mean, square)


@register
class AdamW(Adam):
    """Adam with weight decay that acts on the weights themselves (Loshchilov and Hutter 2019).

    Parameters are those of ``Adam``; before each step a weight shrinks by rate · ``weight_decay``
    of itself.

    >>> cx.optimizers.AdamW(weight_decay=0.05)
    AdamW(weight_decay=0.05)
    """

    decoupled = True

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        *,
        weight_decay: float = 0.01,
        clip_norm: float | None = None,
        lr: Rate | None = None,
    ) -> None:
        super().__init__(
            learning_rate,
            beta1,
            beta2,
            epsilon,
            weight_decay=weight_decay,
            clip_norm=clip_norm,
            lr=lr,
        )
