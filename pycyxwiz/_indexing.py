"""What NumPy does for tensors: indexing beyond slices, and its own functions called on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pycyxwiz import _core
from pycyxwiz._tree import map_leaves

if TYPE_CHECKING:
    from collections.abc import Callable


def _concrete(index: Any) -> Any:
    """``index`` with its tensors and lists as arrays that NumPy indexes with."""
    if isinstance(index, tuple):
        return tuple(_concrete(item) for item in index)
    if isinstance(index, _core.Tensor):
        return index.to_numpy()
    return index


def call(function: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
    """A function of NumPy's with the tensors among its arguments as arrays."""
    arrays = map_leaves(
        lambda leaf: leaf.to_numpy() if isinstance(leaf, _core.Tensor) else leaf, (args, kwargs)
    )
    return function(*arrays[0], **arrays[1])


def getitem(tensor: _core.Tensor, index: Any) -> _core.Tensor:
    """The elements that NumPy would pick: NumPy works out where they lie, a gather fetches them."""
    positions = np.arange(tensor.size).reshape(tensor.shape)[_concrete(index)]
    return _core.take(tensor.reshape(-1), _core.from_numpy(np.ascontiguousarray(positions)))


def setitem(tensor: _core.Tensor, index: Any, value: Any) -> _core.Tensor:
    """A tensor with the elements that NumPy would assign to replaced."""
    array = tensor.to_numpy(copy=True)
    array[_concrete(index)] = value.to_numpy() if isinstance(value, _core.Tensor) else value
    return _core.from_numpy(array)
