"""How layers draw their first weights, by name.

``glorot_uniform``, ``glorot_normal``: Glorot and Bengio 2010, "Understanding the difficulty of
training deep feedforward neural networks" (AISTATS): variance 2 / (fan_in + fan_out). The default.
``he_uniform``, ``he_normal``: He et al. 2015 (doi:10.1109/ICCV.2015.123): variance 2 / fan_in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycyxwiz import _core
from pycyxwiz._config import listed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycyxwiz._core import Tensor

_VARIANCE = {
    "glorot": lambda fan_in, fan_out: 2 / (fan_in + fan_out),
    "he": lambda fan_in, fan_out: 2 / fan_in,
}
NAMES = [f"{scheme}_{draw}" for scheme in _VARIANCE for draw in ("uniform", "normal")]


def check_name(name: str) -> str:
    if name not in NAMES:
        raise ValueError(f"unknown initializer {name!r}; known are {listed(NAMES)}")
    return name


def draw(name: str, shape: Sequence[int], fan_in: int, fan_out: int) -> Tensor:
    """First weights, for units that sum ``fan_in`` inputs and feed ``fan_out`` others."""
    scheme, distribution = check_name(name).split("_")
    std = _VARIANCE[scheme](fan_in, fan_out) ** 0.5
    if distribution == "normal":
        return _core.random_normal(shape, 0.0, std)
    bound = 3**0.5 * std
    return _core.random_uniform(shape, -bound, bound)
