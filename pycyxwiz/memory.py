"""Memory of tensors: how much is in use, and giving the rest back."""

from __future__ import annotations

from pycyxwiz import _core

__all__ = ["empty_cache", "stats"]


def stats() -> dict[str, int]:
    """Bytes: ``allocated`` to tensors, ``cached`` for reuse, and the ``peak`` of the former.

    >>> sorted(cx.memory.stats())
    ['allocated', 'cached', 'peak']
    """
    return _core.memory_stats()


def empty_cache() -> None:
    """Gives cached memory back to the system.

    >>> cx.memory.empty_cache()
    """
    _core.empty_cache()
