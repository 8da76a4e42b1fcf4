"""Checks of the arguments that layers are made with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pycyxwiz.layers._layer import Layer


def count(layer: Layer, name: str, value: Any, *, least: int = 1) -> int:
    """A whole number of at least ``least``."""
    try:
        number = value.__index__()
    except AttributeError:
        number = None
    if number is None or isinstance(value, bool) or number < least:
        kind = type(layer).__name__
        raise ValueError(f"{kind}: {name} must be a whole number ≥ {least}, got {value!r}")
    return int(number)


def pair(layer: Layer, name: str, value: Any, *, least: int = 1) -> tuple[int, int]:
    """(vertical, horizontal) of an argument; a single number stands for both."""
    both = tuple(value) if isinstance(value, (list, tuple)) else (value, value)
    if len(both) != 2:
        kind = type(layer).__name__
        raise ValueError(
            f"{kind}: {name} must be a number or a pair (vertical, horizontal), got {value!r}"
        )
    return count(layer, name, both[0], least=least), count(layer, name, both[1], least=least)
