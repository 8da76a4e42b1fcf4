"""What users hand to fit, evaluate and predict, as tensors of the CPU: checked, and cast once.

Takes NumPy arrays, pandas frames and columns, tensors and lists. Errors name the argument.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pycyxwiz import _core, devices
from pycyxwiz._core import ShapeError, Tensor

# NumPy's dtypes that tensors don't have, and those that hold their values.
_WIDER = {"float16": "float32", "uint16": "int32", "uint32": "int64", "uint64": "int64"}


def inputs(x: Any, name: str, dtype: Any) -> Tensor:
    """Examples [N, ...]: floating values as ``dtype``; integers stay, and layers cast them."""
    array = _array(x, name)
    if array.dtype.kind == "f":
        array = array.astype(str(dtype), copy=False)
    return _on_host(array)


def classes(y: Any, name: str, output: tuple[int, ...], dtype: Any) -> Tensor:
    """Targets of cross-entropy for outputs [N, ..., classes]: int64 indices, or rows of ``dtype``.

    Raises ``ValueError`` for labels that are not whole numbers in [0, classes).
    """
    array = _labels(y, name)
    rows, known = array.shape[1:], output[-1] if output else 0
    if known < 2:
        raise ShapeError(
            f"cross_entropy needs a model with an output for each of at least 2 classes; this one "
            f"gives {_shape(output)}. For one yes-or-no output use binary_cross_entropy"
        )
    if rows == output:
        return _on_host(array.astype(str(dtype), copy=False))
    if rows not in (output[:-1], (*output[:-1], 1)):
        raise ShapeError(
            f"{name} has shape {_shape(rows)}, the model gives {_shape(output)}: {name} must hold "
            f"a class index for each example, {_shape(output[:-1])}, or a row of {known} "
            "probabilities"
        )
    with np.errstate(invalid="ignore"):  # infinity, which is refused below
        whole = array.astype(np.int64, copy=False)
    if array.dtype.kind == "f" and (whole != array).any():
        raise ValueError(
            f"{name} holds {array[whole != array].flat[0]}: class indices are whole numbers"
        )
    low, high = whole.min(), whole.max()
    if low < 0 or high >= known:
        raise ValueError(
            f"{name} holds class {low if low < 0 else high}, but the model has {known} classes, 0 "
            f"to {known - 1}"
        )
    return _on_host(whole.reshape(len(whole), *output[:-1]))


def values(y: Any, name: str, output: tuple[int, ...], dtype: Any, *, binary: bool) -> Tensor:
    """Targets for outputs [N, ...], of the same shape; an axis of size 1 at the end is made to fit.

    ``binary``: raises ``ValueError`` for values outside [0, 1].
    """
    array = _labels(y, name).astype(str(dtype), copy=False)
    rows = array.shape[1:]
    if rows != output:
        if rows not in ((*output, 1), output[:-1] if output[-1:] == (1,) else None):
            raise ShapeError(
                f"{name} has shape {_shape(rows)}, the model gives {_shape(output)}: they must be "
                "equal"
            )
        array = array.reshape(len(array), *output)
    if binary and (array.min() < 0 or array.max() > 1):
        wrong = array.min() if array.min() < 0 else array.max()
        raise ValueError(f"{name} holds {wrong:g}: yes-or-no targets are 0, 1 or between them")
    return _on_host(array)


def split(
    examples: tuple[Tensor, Tensor], share: float
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """The examples without the last ``share`` of them, and those; no memory is copied."""
    count = len(examples[0])
    if not isinstance(share, (int, float)) or not 0 <= share < 1:
        raise ValueError(f"validation_split must be in [0, 1), got {share!r}")
    kept = count - max(int(count * share), 1)
    if kept < 1:
        raise ValueError(f"validation_split={share} leaves none of {count} examples to train on")
    x, y = (part.to_numpy() for part in examples)
    first = _on_host(x[:kept]), _on_host(y[:kept])
    return first, (_on_host(x[kept:]), _on_host(y[kept:]))


def _on_host(array: np.ndarray[Any, Any]) -> Tensor:
    """The array as a tensor of the CPU, whichever device new tensors go to."""
    with devices.device("cpu"):
        return _core.from_numpy(array)


def _labels(y: Any, name: str) -> np.ndarray[Any, Any]:
    array = _array(y, name)
    if array.dtype.kind == "f" and np.isnan(array).any():
        raise ValueError(
            f"{name} holds {int(np.isnan(array).sum())} NaN: drop those examples or fill them in"
        )
    return array


def _array(data: Any, name: str) -> np.ndarray[Any, Any]:
    """A numeric array with at least one example, without a copy where that is possible."""
    array: np.ndarray[Any, Any]
    if isinstance(data, Tensor):
        array = data.to_numpy()
    elif hasattr(data, "columns"):
        array = _frame(data, name)
    elif data is None or isinstance(data, (str, bytes, dict)):
        raise TypeError(f"{name} must be an array, a tensor, a table or a list, got {data!r}")
    else:
        try:
            array = np.asarray(data)
        except ValueError as error:
            raise ValueError(f"{name} is no array: {error}") from None
    if array.dtype.kind not in "biuf":
        names = "; for class names use np.unique(names, return_inverse=True)[1]"
        raise ValueError(
            f"{name} holds {_first(array)!r} ({array.dtype}): only real numbers can be computed "
            f"with{names if array.dtype.kind in 'OUST' else ''}"
        )
    if array.ndim == 0:
        raise ValueError(f"{name} is one number, {array}: it must hold one entry for each example")
    if array.size == 0:
        raise ValueError(f"{name} is empty: its shape is {list(array.shape)}")
    return array.astype(_WIDER.get(array.dtype.name, array.dtype), copy=False)


def _frame(frame: Any, name: str) -> np.ndarray[Any, Any]:
    """A pandas table; columns of several kinds of numbers become float32."""
    array: np.ndarray[Any, Any] = frame.to_numpy()
    if array.dtype.kind == "O":
        wrong = [
            str(column)
            for column, dtype in frame.dtypes.items()
            if getattr(dtype, "kind", "O") not in "biuf"
        ]
        if wrong:
            raise ValueError(
                f"{name} has columns that are not numbers: {', '.join(wrong)}; drop or encode them"
            )
        array = frame.to_numpy(dtype=np.float32)
    return array


def _first(array: np.ndarray[Any, Any]) -> Any:
    return array.reshape(-1)[:1].tolist()[0] if array.size else None


def _shape(rows: tuple[int, ...]) -> str:
    return f"[{', '.join(['N', *map(str, rows)])}]"
