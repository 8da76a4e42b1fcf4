"""Dropout: noise that keeps a network from leaning on single units."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycyxwiz import _core
from pycyxwiz._config import register
from pycyxwiz.layers._layer import Layer

if TYPE_CHECKING:
    from pycyxwiz._core import Tensor
    from pycyxwiz.layers._layer import PartialShape


@register
class Dropout(Layer):
    """In training, zeroes each element with probability ``rate``, divides the others by 1 - rate.

    Parameters
    ----------
    rate : the probability, 0 ≤ rate < 1.

    In inference it gives its input (Srivastava et al. 2014, JMLR 15). The mask is drawn from the
    global generator, ``cx.random.seed``.

    >>> layer = cx.layers.Dropout(0.5)
    >>> layer(cx.ones([3])).tolist()
    [1.0, 1.0, 1.0]
    >>> set(layer(cx.ones([100]), training=True).tolist()) == {0.0, 2.0}
    True
    """

    def __init__(self, rate: float) -> None:
        if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 <= rate < 1:
            raise ValueError(f"Dropout: rate must be a number in [0, 1), got {rate!r}")
        self.rate = float(rate)

    def forward(self, x: Tensor, *, training: bool = False) -> Tensor:
        if not training or self.rate == 0:
            return x
        keep = 1 - self.rate
        return _core.where(_core.random_bernoulli(keep, x.shape), x * (1 / keep), 0)

    def output_shape(self, shape: PartialShape) -> PartialShape:
        return shape
