"""The ArrayFire backend: CUDA, OpenCL and oneAPI devices through ArrayFire's C library.

``library`` finds and calls the library, ``engine`` is what the core talks to, ``program`` runs
Programs. ``layout`` turns row-major shapes of any rank into ArrayFire's, ``array`` holds its
arrays, and ``elementwise``, ``structure`` and ``window`` say what computes each op.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycyxwiz.backends import Engine
from pycyxwiz.backends.arrayfire.library import GPUS, KINDS, find, missing

if TYPE_CHECKING:
    from pycyxwiz.backends.arrayfire.engine import ArrayFireBackend

__all__ = ["ENGINE"]


def _make() -> ArrayFireBackend:
    from pycyxwiz.backends.arrayfire.engine import ArrayFireBackend, load_all

    return ArrayFireBackend(load_all())


ENGINE = Engine(
    name="arrayfire",
    kinds=tuple(KINDS),
    make=_make,
    missing=missing,
    is_likely=lambda: any(find(kind) for kind in GPUS),
)
