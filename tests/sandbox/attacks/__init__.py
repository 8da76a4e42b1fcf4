"""The attacks: each a function that tries to break out and returns evidence when it did.

One module a family. Without the sandbox every one of them must work. They are bounded, and run only
in the throw-away namespaces of ``arena.py``, by ``storm.py``.
"""

from . import boundary, interpreter, network, program, read, write
from .core import ATTACKS, FAMILIES, arena

__all__ = [
    "ATTACKS",
    "FAMILIES",
    "arena",
    "boundary",
    "interpreter",
    "network",
    "program",
    "read",
    "write",
]
