"""Metrics: what to report beside the loss.

Each is a function of predictions and targets that gives a mean over the examples as a 0-d tensor.
``model.compile(metrics=[...])`` takes functions of your own too, or names: those here and those of
losses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycyxwiz import _core, losses
from pycyxwiz._config import listed
from pycyxwiz._core import ShapeError, Tensor
from pycyxwiz.losses import floating, mae, mean_absolute_error, mean_squared_error, mse, to_tensor

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "accuracy",
    "binary_accuracy",
    "categorical_accuracy",
    "mae",
    "mean_absolute_error",
    "mean_squared_error",
    "mse",
]


def accuracy(predictions: Tensor, targets: Tensor) -> Tensor:
    """The share of right answers: ``binary_accuracy`` for one number per answer, else categorical.

    Parameters
    ----------
    predictions : floating; [..., classes] with at least 2 classes, or one probability for each
        target.
    targets : class indices or one-hot rows for classes; 0 or 1 for probabilities.

    Predictions [N, classes] with targets of the same shape are taken as one-hot rows; for several
    yes-or-no answers per row use ``binary_accuracy``, as ``Model`` does with
    ``binary_cross_entropy``.

    >>> cx.metrics.accuracy(cx.Tensor([[0.9, 0.1], [0.2, 0.8]]), cx.Tensor([0, 0])).item()
    0.5
    >>> cx.metrics.accuracy(cx.Tensor([0.9, 0.2]), cx.Tensor([1, 0])).item()
    1.0
    """
    predictions, targets = floating("accuracy", predictions), to_tensor(targets)
    single = predictions.ndim < 2 or predictions.shape[-1] == 1
    if single and predictions.shape == targets.shape:
        return binary_accuracy(predictions, targets)
    return categorical_accuracy(predictions, targets)


def binary_accuracy(predictions: Tensor, targets: Tensor, *, threshold: float = 0.5) -> Tensor:
    """The share of elements where ``predictions > threshold`` is what ``targets > 0.5`` is.

    Parameters
    ----------
    predictions, targets : tensors of one shape; predictions are floating.

    Raises ``ShapeError`` when the shapes differ.

    >>> cx.metrics.binary_accuracy(cx.Tensor([0.9, 0.2]), cx.Tensor([1, 1])).item()
    0.5
    """
    predictions, targets = losses.same_shape("binary_accuracy", predictions, targets)
    right = _core.equal(predictions > threshold, targets > 0.5)
    return _core.mean(_core.astype(right, predictions.dtype))


def categorical_accuracy(predictions: Tensor, targets: Tensor) -> Tensor:
    """The share of rows whose largest prediction is at the target class.

    Parameters
    ----------
    predictions : floating [..., classes].
    targets : class indices [...] or [..., 1], or rows of probabilities, of which the largest
        counts.

    Raises ``ShapeError`` when the shapes don't fit.

    >>> cx.metrics.categorical_accuracy(cx.Tensor([[0.1, 0.9]]), cx.Tensor([[0.0, 1.0]])).item()
    1.0
    """
    predictions, targets = floating("categorical_accuracy", predictions), to_tensor(targets)
    shape = tuple(predictions.shape)
    if tuple(targets.shape) == shape:
        targets = _core.argmax(targets, axis=-1)
    elif tuple(targets.shape) == (*shape[:-1], 1):
        targets = _core.squeeze(targets, -1)
    elif tuple(targets.shape) != shape[:-1]:
        raise ShapeError(
            f"categorical_accuracy: targets {list(targets.shape)} don't fit predictions "
            f"{list(shape)}"
        )
    right = _core.equal(_core.argmax(predictions, axis=-1), targets)
    return _core.mean(_core.astype(right, predictions.dtype))


BY_NAME: dict[str, Callable[..., Tensor]] = {
    **losses.BY_NAME,
    "accuracy": accuracy,
    "binary_accuracy": binary_accuracy,
    "categorical_accuracy": categorical_accuracy,
}


def metric_function(metric: str | Callable[..., Tensor]) -> tuple[str, Callable[..., Tensor]]:
    """A metric's name and function. Raises ``ValueError`` for an unknown name."""
    if callable(metric):
        return getattr(metric, "__name__", type(metric).__name__), metric
    function = BY_NAME.get(metric) if isinstance(metric, str) else None
    if function is None:
        raise ValueError(
            f"unknown metric {metric!r}; known are {listed(BY_NAME)}, or pass a function"
        )
    return metric, function
