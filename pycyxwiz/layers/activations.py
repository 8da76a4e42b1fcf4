"""Activations: as layers of their own, and by name as the ``activation`` of other layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pycyxwiz import _core
from pycyxwiz._config import listed, register
from pycyxwiz.layers._layer import Layer

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycyxwiz._core import Tensor
    from pycyxwiz.layers._layer import PartialShape

    Activation = str | Callable[[Tensor], Tensor] | None


def linear(x: Tensor) -> Tensor:
    return x


FUNCTIONS: dict[str, Callable[[Any], Tensor]] = {
    "linear": linear,
    "log_softmax": _core.log_softmax,
    "relu": _core.relu,
    "sigmoid": _core.sigmoid,
    "softmax": _core.softmax,
    "softplus": _core.softplus,
    "tanh": _core.tanh,
}


def activation_function(activation: Activation) -> Callable[[Tensor], Tensor]:
    """The function of a name, or the function itself; None is ``linear``.

    Raises ``ValueError`` for an unknown name, listing the known ones.
    """
    if activation is None:
        return linear
    if isinstance(activation, str):
        function = FUNCTIONS.get(activation)
        if function is None:
            raise ValueError(f"unknown activation {activation!r}; known are {listed(FUNCTIONS)}")
        return function
    if callable(activation):
        return activation
    raise TypeError(f"an activation is a name, a function or None, got {activation!r}")


class Activated(Layer):
    """A layer whose ``forward`` is its ``forward_logits``, then its ``activation``."""

    activation: Activation = None

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "activation":
            activation_function(value)  # raises for an unknown name
        super().__setattr__(name, value)

    @property
    def final_activation(self) -> str | None:
        """``"linear"`` where there is none, None for a function that has no name here."""
        if self.activation is None:
            return "linear"
        return self.activation if isinstance(self.activation, str) else None

    def forward(self, x: Tensor) -> Tensor:
        return activation_function(self.activation)(self.forward_logits(x))

    def forward_logits(self, x: Tensor) -> Tensor:
        raise NotImplementedError


class _Elementwise(Activated):
    def forward_logits(self, x: Tensor) -> Tensor:
        return x

    def output_shape(self, shape: PartialShape) -> PartialShape:
        return shape


@register
class ReLU(_Elementwise):
    """max(x, 0) for each element.

    >>> cx.layers.ReLU()(cx.Tensor([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """

    activation = "relu"


@register
class Sigmoid(_Elementwise):
    """1 / (1 + exp(-x)) for each element.

    >>> cx.layers.Sigmoid()(cx.Tensor([0.0])).tolist()
    [0.5]
    """

    activation = "sigmoid"


@register
class Tanh(_Elementwise):
    """The hyperbolic tangent of each element.

    >>> cx.layers.Tanh()(cx.Tensor([0.0])).tolist()
    [0.0]
    """

    activation = "tanh"


@register
class Softmax(_Elementwise):
    """exp(x) / sum(exp(x)) along an axis: positive numbers that sum to 1.

    >>> cx.layers.Softmax()(cx.Tensor([[1.0, 1.0]])).tolist()
    [[0.5, 0.5]]
    """

    def __init__(self, axis: int = -1) -> None:
        self.axis = axis

    @property
    def final_activation(self) -> str | None:
        return "softmax" if self.axis == -1 else None

    def forward(self, x: Tensor) -> Tensor:
        return _core.softmax(x, self.axis)
