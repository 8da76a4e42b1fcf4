"""Indexing beyond slices: integer arrays, lists and masks, as NumPy understands them."""

from __future__ import annotations

from typing import Any

import numpy as np

from pycyxwiz import _core


def _concrete(index: Any) -> Any:
    """``index`` with its tensors and lists as arrays that NumPy indexes with."""
    if isinstance(index, tuple):
        return tuple(_concrete(item) for item in index)
    if isinstance(index, _core.Tensor):
        return index.to_numpy()
    return index


def getitem(tensor: _core.Tensor, index: Any) -> _core.Tensor:
    """The elements that NumPy would pick: NumPy works out where they lie, a gather fetches them."""
    positions = np.arange(tensor.size).reshape(tensor.shape)[_concrete(index)]
    return _core.take(tensor.reshape(-1), _core.from_numpy(np.ascontiguousarray(positions)))


def setitem(tensor: _core.Tensor, index: Any, value: Any) -> _core.Tensor:
    """A tensor with the elements that NumPy would assign to replaced."""
    array = tensor.to_numpy(copy=True)
    array[_concrete(index)] = value.to_numpy() if isinstance(value, _core.Tensor) else value
    return _core.from_numpy(array)
