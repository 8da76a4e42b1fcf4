"""Philox4x32-10 (Salmon et al. 2011, doi:10.1145/2063384.2063405) over whole arrays.

Gives the CPU backend's bits: element i of a stream is a function of seed, stream and i. Written
against the array API that NumPy and ``jax.numpy`` share, in unsigned 64-bit arithmetic.
"""

from __future__ import annotations

from typing import Any

import numpy as np

_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_LOW = 0xFFFFFFFF


def words(xp: Any, stream: Any, count: int) -> Any:
    """The first ``count`` 32-bit words of the stream {seed, stream}, as uint64 numbers."""
    low = xp.asarray(_LOW, xp.uint64)
    half = xp.asarray(32, xp.uint64)
    seed, number = stream.astype(xp.uint64)
    blocks = xp.arange(-(-count // 4), dtype=xp.uint64)
    blank = xp.zeros_like(blocks)
    counter = [blocks & low, blocks >> half, blank + (number & low), blank + (number >> half)]
    keys = [seed & low, seed >> half]
    first, second = (xp.asarray(m, xp.uint64) for m in _MULTIPLIERS)
    weyl = [xp.asarray(w, xp.uint64) for w in _WEYL]
    for _ in range(10):
        a, b = first * counter[0], second * counter[2]
        counter = [
            (b >> half) ^ counter[1] ^ keys[0],
            b & low,
            (a >> half) ^ counter[3] ^ keys[1],
            a & low,
        ]
        keys = [(key + step) & low for key, step in zip(keys, weyl, strict=True)]
    return xp.stack(counter, axis=-1).reshape(-1)[:count]


def uniform(xp: Any, stream: Any, shape: tuple[int, ...], dtype: str) -> Any:
    """Numbers in [0, 1): 24 bits of a word each for float32, 53 of two for float64."""
    count = int(np.prod(shape))
    if np.dtype(dtype).itemsize == 4:
        drawn = words(xp, stream, count) >> xp.asarray(8, xp.uint64)
        return (drawn.astype(dtype) * xp.asarray(2.0**-24, dtype)).reshape(shape)
    pairs = words(xp, stream, 2 * count).reshape(-1, 2)
    bits = (pairs[:, 0] << xp.asarray(32, xp.uint64)) | pairs[:, 1]
    drawn = bits >> xp.asarray(11, xp.uint64)
    return (drawn.astype(dtype) * xp.asarray(2.0**-53, dtype)).reshape(shape)
