"""What a model is trained for: its loss and metrics, and how they read its output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pycyxwiz import _data, losses, metrics
from pycyxwiz._core import ShapeError
from pycyxwiz.layers.activations import FUNCTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pycyxwiz._core import Tensor
    from pycyxwiz.layers import Layer

    Function = Callable[..., Tensor]

# The activation that makes probabilities for each loss that can be computed without it.
_FINAL = {losses.cross_entropy: "softmax", losses.binary_cross_entropy: "sigmoid"}


class Objective:
    """A loss and metrics, as given to ``Model.compile``.

    Where the model ends in the activation that its loss expects probabilities of, or in none, the
    loss is computed from the logits; metrics always see probabilities.
    """

    def __init__(
        self, loss: str | Function, reported: str | Function | Iterable[str | Function] | None
    ) -> None:
        self.loss = losses.loss_function(loss)
        base: Any = getattr(self.loss, "func", self.loss)  # of a functools.partial
        self._final = _FINAL.get(base)
        self._classes = base is losses.cross_entropy
        self._binary = base is losses.binary_cross_entropy
        if reported is None:
            reported = ()
        elif isinstance(reported, str) or callable(reported):
            reported = (reported,)
        self.metrics: dict[str, Function] = {}
        for metric in reported:
            name, function = metrics.metric_function(metric)
            if name in self.metrics or name == "loss":
                raise ValueError(f"two of the loss and metrics are called {name!r}")
            self.metrics[name] = function

    @property
    def names(self) -> list[str]:
        return ["loss", *self.metrics]

    def measure(
        self, model: Layer, x: Tensor, y: Tensor, *, training: bool
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, and the loss and every metric by name."""
        if self._final is not None and model.final_activation in (self._final, "linear"):
            logits = model.logits(x, training=training)
            predictions = FUNCTIONS[self._final](logits)
            loss = self.loss(logits, y, from_logits=True)
        else:
            predictions = model(x, training=training)
            loss = self.loss(predictions, y)
        if getattr(loss, "ndim", None) != 0:
            raise ShapeError(
                f"the loss {getattr(self.loss, '__name__', self.loss)} must return a 0-d tensor: "
                f"the mean over the batch; got {loss!r}"
            )
        found = {"loss": loss}
        for name, metric in self.metrics.items():
            if metric is metrics.accuracy and self._binary:
                metric = metrics.binary_accuracy
            found[name] = metric(predictions, y)
        return loss, found

    def targets(self, y: Any, name: str, output: tuple[int, ...], dtype: Any) -> Tensor:
        """The targets as this loss wants them, for a model that gives [N, *output]."""
        if self._classes:
            return _data.classes(y, name, output, dtype)
        return _data.values(y, name, output, dtype, binary=self._binary)
