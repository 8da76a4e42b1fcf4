"""Dense: every output is a weighted sum of every input."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycyxwiz import _core
from pycyxwiz._config import register
from pycyxwiz.layers import _initializers
from pycyxwiz.layers._checks import count
from pycyxwiz.layers._layer import InputShapeError
from pycyxwiz.layers.activations import Activated

if TYPE_CHECKING:
    from pycyxwiz._core import Tensor
    from pycyxwiz.layers._layer import PartialShape
    from pycyxwiz.layers.activations import Activation


@register
class Dense(Activated):
    """``activation(x @ weight + bias)`` over the last axis.

    Parameters
    ----------
    in_features, out_features : sizes of the input's and the output's last axis.
    activation : a name (linear, log_softmax, relu, sigmoid, softmax, softplus, tanh), a function,
        or None for none.
    bias : whether a bias is added.
    init : how ``weight`` is drawn: "glorot_uniform" (Glorot and Bengio 2010), "glorot_normal",
        "he_uniform", "he_normal" (He et al. 2015). The bias starts at 0.

    Takes [..., in_features] and gives [..., out_features]. The parameters are ``weight``
    [in_features, out_features] and ``bias`` [out_features], float32; an input of another dtype is
    cast to it.

    >>> layer = cx.layers.Dense(784, 128, activation="relu")
    >>> layer(cx.zeros([32, 784])).shape()
    [32, 128]
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        activation: Activation = None,
        *,
        bias: bool = True,
        init: str = "glorot_uniform",
    ) -> None:
        self.in_features = count(self, "in_features", in_features)
        self.out_features = count(self, "out_features", out_features)
        self.activation = activation
        shape = (self.in_features, self.out_features)
        self.weight = _initializers.draw(init, shape, *shape)
        self.bias = _core.zeros([self.out_features]) if bias else None

    def forward_logits(self, x: Tensor) -> Tensor:
        if x.ndim == 0 or x.shape[-1] != self.in_features:
            raise InputShapeError(self, tuple(x.shape), f"[..., {self.in_features}]")
        weight, bias = self.weight, self.bias
        y = _core.matmul(_core.astype(x, weight.dtype), weight)
        return y if bias is None else y + bias

    def output_shape(self, shape: PartialShape) -> PartialShape:
        known = shape and shape[-1]
        if known == () or (isinstance(known, int) and known != self.in_features):
            raise InputShapeError(self, shape, f"[..., {self.in_features}]")
        kept = shape if known is ... else shape[:-1]
        return (*kept, self.out_features)
