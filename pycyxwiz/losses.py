"""Losses: how far predictions are from targets, as one number to minimise.

Each is a function of predictions and targets that gives the mean as a 0-d tensor, so that a batch
repeated twice has the same loss and the same gradients. Shapes are never broadcast: a (N,) against
a (N, 1) is an error. ``model.compile(loss=...)`` takes the function, or its name as a string.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pycyxwiz import _core
from pycyxwiz._config import listed
from pycyxwiz._core import DTypeError, ShapeError, Tensor
from pycyxwiz._state import is_floating
from pycyxwiz._tree import as_tensor, is_array

if TYPE_CHECKING:
    from collections.abc import Callable

    Loss = Callable[[Tensor, Tensor], Tensor]

__all__ = [
    "binary_cross_entropy",
    "cross_entropy",
    "huber",
    "mae",
    "mean_absolute_error",
    "mean_squared_error",
    "mse",
]

# Probabilities are kept this far from 0 and 1, where their logarithm would be infinite.
_EPSILON = 1e-7


def mean_squared_error(predictions: Tensor, targets: Tensor) -> Tensor:
    """The mean of (predictions - targets)².

    Parameters
    ----------
    predictions, targets : tensors of one shape; predictions are floating.

    Returns a 0-d tensor of the predictions' dtype. Raises ``ShapeError`` when the shapes differ.

    >>> cx.losses.mse(cx.Tensor([1.0, 2.0]), cx.Tensor([1.0, 4.0])).item()
    2.0
    """
    predictions, targets = same_shape("mean_squared_error", predictions, targets)
    return _core.mean(_core.square(predictions - targets))


def mean_absolute_error(predictions: Tensor, targets: Tensor) -> Tensor:
    """The mean of |predictions - targets|.

    Parameters
    ----------
    predictions, targets : tensors of one shape; predictions are floating.

    Returns a 0-d tensor of the predictions' dtype. Raises ``ShapeError`` when the shapes differ.

    >>> cx.losses.mae(cx.Tensor([1.0, 2.0]), cx.Tensor([1.0, 4.0])).item()
    1.0
    """
    predictions, targets = same_shape("mean_absolute_error", predictions, targets)
    return _core.mean(_core.absolute(predictions - targets))


mse = mean_squared_error
mae = mean_absolute_error


def huber(predictions: Tensor, targets: Tensor, *, delta: float = 1.0) -> Tensor:
    """Quadratic near zero, linear beyond ``delta`` (Huber 1964, doi:10.1214/aoms/1177703732).

    Parameters
    ----------
    predictions, targets : tensors of one shape; predictions are floating.
    delta : where the two pieces meet, in the targets' unit; > 0.

    Returns a 0-d tensor: the mean over all elements.

    Raises ``ShapeError`` when the shapes differ, ``ValueError`` when ``delta`` ≤ 0.

    >>> cx.losses.huber(cx.Tensor([0.0, 3.0]), cx.Tensor([0.0, 0.0])).item()
    1.25
    """
    if isinstance(delta, (int, float)) and not delta > 0:
        raise ValueError(f"huber: delta must be > 0, got {delta}")
    predictions, targets = same_shape("huber", predictions, targets)
    distance = _core.absolute(predictions - targets)
    near = _core.minimum(distance, delta)
    return _core.mean(near * (distance - 0.5 * near))


def cross_entropy(predictions: Tensor, targets: Tensor, *, from_logits: bool = False) -> Tensor:
    """The mean of -log(probability given to the target class).

    Parameters
    ----------
    predictions : floating [..., classes]; probabilities along the last axis, or with
        ``from_logits`` what a softmax would make probabilities of.
    targets : class indices [...] or [..., 1], or the probabilities of all classes, one-hot for
        instance, of the predictions' shape.

    Returns a 0-d tensor of the predictions' dtype. Computing from logits is exact where a
    probability rounds to 0; ``Model`` does so by itself when it ends in a softmax. An index outside
    [0, classes) gives NaN.

    Raises ``ShapeError`` when the shapes don't fit, ``DTypeError`` when indices are not integers.

    >>> cx.losses.cross_entropy(cx.Tensor([[0.25, 0.75]]), cx.Tensor([0])).item()  # -log(0.25)
    1.386294...
    >>> cx.losses.cross_entropy(cx.Tensor([[0.25, 0.75]]), cx.Tensor([[1.0, 0.0]])).item()
    1.386294...
    """
    predictions, targets = floating("cross_entropy", predictions), to_tensor(targets)
    shape, classes = tuple(predictions.shape), predictions.shape[-1] if predictions.ndim else 0
    if classes < 2:
        raise ShapeError(
            f"cross_entropy: predictions {list(shape)} need a last axis of at least 2 classes; for "
            "one probability each use binary_cross_entropy"
        )
    if from_logits:
        logs = _core.log_softmax(predictions)
    else:
        logs = _core.log(_core.clip(predictions, _EPSILON, None))
    if tuple(targets.shape) == shape:
        weights = _core.astype(targets, logs.dtype)
        # 0 · log(0) counts 0.
        terms = _core.where(_core.equal(weights, 0), 0, weights * logs)
        return _core.negative(_core.mean(_core.sum(terms, axis=-1)))
    if tuple(targets.shape) not in (shape[:-1], (*shape[:-1], 1)):
        raise ShapeError(
            f"cross_entropy: targets {list(targets.shape)} don't fit predictions {list(shape)}: "
            f"they are class indices {list(shape[:-1])}, or one row of {classes} probabilities each"
        )
    if is_floating(targets):
        raise DTypeError(
            f"cross_entropy: class indices are integers, not {targets.dtype}; convert them with "
            "astype(cx.int64)"
        )
    targets = _core.astype(_core.reshape(targets, shape[:-1]), _core.int64)
    own = _core.equal(_core.expand_dims(targets, -1), _core.arange(classes))
    picked = _core.sum(_core.where(own, logs, 0), axis=-1)
    known = _core.logical_and(targets >= 0, targets < classes)
    return _core.negative(_core.mean(_core.where(known, picked, float("nan"))))


def binary_cross_entropy(
    predictions: Tensor, targets: Tensor, *, from_logits: bool = False
) -> Tensor:
    """The mean of -log(probability given to the truth), for yes-or-no targets.

    Parameters
    ----------
    predictions : floating; the probability of yes, or with ``from_logits`` what a sigmoid would
        make one of.
    targets : of the same shape; 1 for yes, 0 for no, or a probability.

    Returns a 0-d tensor of the predictions' dtype. ``Model`` computes it from logits by itself when
    it ends in a sigmoid. Raises ``ShapeError`` when the shapes differ.

    >>> cx.losses.binary_cross_entropy(cx.Tensor([0.25]), cx.Tensor([0.0])).item()  # -log(0.75)
    0.287682...
    """
    predictions, targets = same_shape("binary_cross_entropy", predictions, targets)
    if from_logits:
        # -log(sigmoid(x)) is softplus(-x), and -log(1 - sigmoid(x)) is softplus(x).
        yes, no = _core.softplus(-predictions), _core.softplus(predictions)
        return _core.mean(targets * yes + (1 - targets) * no)
    predictions = _core.clip(predictions, _EPSILON, 1 - _EPSILON)
    yes, no = _core.log(predictions), _core.log1p(-predictions)
    return _core.negative(_core.mean(targets * yes + (1 - targets) * no))


BY_NAME: dict[str, Callable[..., Tensor]] = {
    "binary_cross_entropy": binary_cross_entropy,
    "cross_entropy": cross_entropy,
    "huber": huber,
    "mae": mean_absolute_error,
    "mean_absolute_error": mean_absolute_error,
    "mean_squared_error": mean_squared_error,
    "mse": mean_squared_error,
}


def loss_function(loss: str | Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The loss of a name, or the function itself. Raises ``ValueError`` for an unknown name."""
    if callable(loss):
        return loss
    function = BY_NAME.get(loss) if isinstance(loss, str) else None
    if function is None:
        raise ValueError(f"unknown loss {loss!r}; known are {listed(BY_NAME)}, or pass a function")
    return function


# --- checks, which metrics use too ---------------------------------------------------------------


def to_tensor(value: Any) -> Tensor:
    if isinstance(value, Tensor):
        return value
    return as_tensor(value) if is_array(value) else Tensor(value)


def floating(name: str, predictions: Any) -> Tensor:
    tensor = to_tensor(predictions)
    if not is_floating(tensor):
        raise DTypeError(f"{name}: predictions are {tensor.dtype}, they must be floating")
    return tensor


def same_shape(name: str, predictions: Any, targets: Any) -> tuple[Tensor, Tensor]:
    """Both as tensors of one shape and of the predictions' dtype."""
    predictions, targets = floating(name, predictions), to_tensor(targets)
    if predictions.shape != targets.shape:
        mend = ""
        if predictions.size == targets.size:
            mend = f"; reshape one, as in targets.reshape({list(predictions.shape)})"
        raise ShapeError(
            f"{name}: predictions {list(predictions.shape)} and targets {list(targets.shape)} must "
            f"have one shape, and are not broadcast{mend}"
        )
    return predictions, _core.astype(targets, predictions.dtype)
