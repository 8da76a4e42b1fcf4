"""Trees: tensors in any nesting of lists, tuples, dicts and None, and layers and models as leaves.

``map_leaves`` calls a function on every leaf; ``signature`` is the hot path of a compiled call: one
pass that collects the leaves and gives a hashable key of everything a trace depends on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pycyxwiz import _core
from pycyxwiz._core import Tensor
from pycyxwiz._state import Stateful

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

_STATIC = (bool, str, bytes, type(None))


class Slot:
    """Stands in a template for the output of that number."""

    __slots__ = ("index",)

    def __init__(self, index: int) -> None:
        self.index = index


def map_leaves(function: Callable[[Any], Any], tree: Any) -> Any:
    """The same tree with ``function(leaf)`` for each leaf; None stays."""
    if isinstance(tree, Tensor):
        return function(tree)
    if isinstance(tree, tuple):
        items = [map_leaves(function, item) for item in tree]
        made: Any = type(tree)
        return made._make(items) if hasattr(made, "_make") else tuple(items)
    if isinstance(tree, list):
        return [map_leaves(function, item) for item in tree]
    if isinstance(tree, dict):
        return {key: map_leaves(function, item) for key, item in tree.items()}
    return None if tree is None else function(tree)


def tensors(tree: Any) -> list[Tensor]:
    """The tensors of a tree in order, those of layers and models included."""
    found: list[Tensor] = []

    def visit(leaf: Any) -> None:
        if isinstance(leaf, Tensor):
            found.append(leaf)
        elif isinstance(leaf, Stateful):
            for member in leaf.members():
                values = member._values
                found.extend(value for value in values.values() if isinstance(value, Tensor))

    map_leaves(visit, tree)
    return found


def fill(template: Any, outputs: list[Tensor]) -> Any:
    """The tree with each ``Slot`` replaced by its output."""
    if type(template) is Slot:
        return outputs[template.index]
    return map_leaves(lambda leaf: outputs[leaf.index] if type(leaf) is Slot else leaf, template)


def is_array(leaf: Any) -> bool:
    """Whether a Tensor can be made of it: NumPy's arrays and numbers, pandas' columns and so on."""
    return hasattr(leaf, "__array__")


def is_static(leaf: Any) -> bool:
    """Whether a trace depends on its value, not just on its kind."""
    return isinstance(leaf, (*_STATIC, Stateful))


def signature(tree: Any, leaves: list[Any]) -> Hashable:
    """The key of a tree: its structure, the leaves' kinds, and the static values.

    Appends the leaves that a Program takes as arguments to ``leaves``, in ``map_leaves``' order.
    Raises ``TypeError`` for what is neither a leaf nor static.
    """
    kind = type(tree)
    if kind is Tensor:
        leaves.append(tree)
        return (tree.shape, tree.dtype, tree.device)
    if kind is float or kind is int:
        leaves.append(tree)
        return (kind,)
    if kind is list or kind is tuple:
        return (kind, *[signature(item, leaves) for item in tree])
    if kind is dict:
        return (dict, *tree, *[signature(item, leaves) for item in tree.values()])
    if isinstance(tree, _STATIC):
        return (kind, tree)
    if isinstance(tree, Stateful):
        return (Stateful, *[member._values.stamp for member in tree.members()])
    if is_array(tree):
        tensor = as_tensor(tree)
        leaves.append(tensor)
        return (kind, tensor.shape, tensor.dtype, tensor.device)
    if isinstance(tree, (list, tuple)):
        return (kind, *[signature(item, leaves) for item in tree])
    if isinstance(tree, dict):
        return (kind, *tree, *[signature(item, leaves) for item in tree.values()])
    raise TypeError(
        f"{tree!r} of type {kind.__name__} is neither a tensor nor a number: name the argument in "
        "static_argnames, if it is hashable, or pass its tensors"
    )


def as_tensor(value: Any) -> Tensor:
    """An array as a Tensor, sharing its memory where that is possible."""
    import numpy as np

    return _core.from_numpy(value) if isinstance(value, np.ndarray) else Tensor(value)
