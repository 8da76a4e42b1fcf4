"""Row-major shapes of any rank as ArrayFire's column-major ones of at most four axes.

A tensor's elements lie in row-major order, so ArrayFire sees its axes reversed: shape (2, 3, 4) is
dims (4, 3, 2). Axes of size 1 that end a dims tuple are ArrayFire's to drop; the shape is ours, and
keeps them. Beyond rank 4 the leading axes are one. Whatever an op does along the axes then comes
down to steps on arrays of at most four, because neighbouring axes that are treated alike are one
axis: every function here gives such steps, and none is ever left for the CPU.

Nothing here calls ArrayFire.
"""

from __future__ import annotations

from math import prod
from typing import NamedTuple

__all__ = [
    "SliceStep",
    "broadcast_steps",
    "dims_of",
    "permute_steps",
    "reduce_steps",
    "slice_steps",
    "split_at",
]

_MOST_AXES = 4  # AF_MAX_DIMS

Dims = tuple[int, ...]


def dims_of(shape: Dims) -> Dims:
    """How a tensor of that shape lies in ArrayFire; never empty.

    >>> dims_of((2, 3, 4)), dims_of((5, 1)), dims_of(()), dims_of((2, 3, 4, 5, 6))
    ((4, 3, 2), (1, 5), (1,), (6, 5, 4, 6))
    """
    if len(shape) > _MOST_AXES:
        merged = len(shape) - _MOST_AXES + 1
        shape = (prod(shape[:merged]), *shape[merged:])
    return tuple(reversed(shape)) or (1,)


def split_at(shape: Dims, axis: int) -> tuple[int, int, int]:
    """The sizes before, at and after an axis.

    >>> split_at((2, 3, 4, 5), 1)
    (2, 3, 20)
    """
    return prod(shape[:axis]), shape[axis], prod(shape[axis + 1 :])


def broadcast_steps(shape: Dims, wanted: Dims) -> list[tuple[Dims, Dims]]:
    """(dims, how often to tile each), one after the other; the result has the wanted elements.

    >>> broadcast_steps((3, 1), (2, 3, 4))
    [((1, 3, 1), (4, 1, 2))]
    """
    shape = (1,) * (len(wanted) - len(shape)) + shape
    if len(wanted) <= _MOST_AXES:
        tiles = tuple(w // s for s, w in zip(shape, wanted, strict=True))
        return [(dims_of(shape), tuple(reversed(tiles)) or (1,))]
    # Runs of neighbours that are all repeated, or all kept: (size now, size wanted).
    runs: list[tuple[int, int]] = []
    for size, target in zip(shape, wanted, strict=True):
        if target == 1:
            continue
        if runs and (size == 1) == (runs[-1][0] == 1):
            runs[-1] = (runs[-1][0] * size, runs[-1][1] * target)
        else:
            runs.append((size, target))
    steps = []
    while len(runs) > _MOST_AXES:  # the innermost repeated run and its neighbours become one
        tail = runs[-_MOST_AXES + 1 :]
        kept = prod(size for size, _ in runs[: -_MOST_AXES + 1])
        sizes = (kept, *(size for size, _ in tail))
        tiles = (1, *(target // size for size, target in tail))
        steps.append((tuple(reversed(sizes)), tuple(reversed(tiles))))
        dense = prod(target for _, target in tail)
        runs = runs[: -_MOST_AXES + 1]
        if runs[-1][0] == runs[-1][1]:
            runs[-1] = (runs[-1][0] * dense, runs[-1][1] * dense)
        else:
            runs.append((dense, dense))
    sizes = tuple(size for size, _ in runs) or (1,)
    tiles = tuple(target // size for size, target in runs) or (1,)
    steps.append((tuple(reversed(sizes)), tuple(reversed(tiles))))
    return steps


def permute_steps(shape: Dims, axes: Dims) -> list[tuple[Dims, Dims]]:
    """(dims, ArrayFire's order of them), one after the other.

    >>> permute_steps((2, 3, 4), (0, 2, 1))
    [((4, 3, 2), (1, 0, 2))]
    """
    # Axes that stay neighbours are one, those of size 1 none: groups in the input's order.
    order = [axis for axis in axes if shape[axis] != 1]
    groups: list[list[int]] = []
    for axis in order:
        follows = groups and _follows(shape, groups[-1][-1], axis)
        groups[-1].append(axis) if follows else groups.append([axis])
    sizes = {group[0]: prod(shape[axis] for axis in group) for group in groups}
    target = [group[0] for group in groups]
    now = sorted(target)
    steps = []
    if len(now) <= _MOST_AXES:
        if now != target:
            steps.append(_reorder([sizes[g] for g in now], [now.index(g) for g in target]))
        return steps
    # One group after the other moves to its place: before, between, it, after.
    for place, group in enumerate(target):
        at = now.index(group)
        if at == place:
            continue
        parts = [now[:place], now[place:at], [group], now[at + 1 :]]
        steps.append(_reorder([prod(sizes[g] for g in part) for part in parts], [0, 2, 1, 3]))
        now = parts[0] + parts[2] + parts[1] + parts[3]
    return steps


def _follows(shape: Dims, before: int, axis: int) -> bool:
    """Is `axis` the next after `before`, but for axes of size 1?"""
    return before < axis and all(shape[i] == 1 for i in range(before + 1, axis))


def _reorder(sizes: list[int], axes: list[int]) -> tuple[Dims, Dims]:
    """A row-major permutation of at most four axes, said in ArrayFire's."""
    last = len(sizes) - 1
    return tuple(reversed(sizes)), tuple(last - axes[last - d] for d in range(len(axes)))


class SliceStep(NamedTuple):
    """A slice of an array of three axes along the middle one."""

    dims: Dims
    start: int
    stride: int
    length: int


def slice_steps(shape: Dims, starts: Dims, steps: Dims, wanted: Dims) -> list[SliceStep]:
    """One step for each axis that is not taken whole, the outermost first.

    >>> for step in slice_steps((4, 6), (1, 0), (1, 2), (2, 3)):
    ...     print(step)
    SliceStep(dims=(6, 4, 1), start=1, stride=1, length=2)
    SliceStep(dims=(1, 6, 2), start=0, stride=2, length=3)
    """
    result = []
    now = list(shape)
    for axis, (start, step, count) in enumerate(zip(starts, steps, wanted, strict=True)):
        if (start, count) == (0, shape[axis]) and (step == 1 or count == 1):
            continue
        before, size, after = split_at(tuple(now), axis)
        result.append(SliceStep((after, size, before), start, step, count))
        now[axis] = count
    return result


def reduce_steps(shape: Dims, mask: int) -> list[tuple[Dims, int]]:
    """(dims, the axis of them to reduce), one after the other: one for each run of reduced axes.

    >>> reduce_steps((2, 3, 4), 0b101)
    [((4, 6), 0), ((3, 2, 1), 1)]
    """
    steps: list[tuple[Dims, int]] = []
    now = list(shape)
    axis = len(shape) - 1
    while axis >= 0:
        if not mask >> axis & 1:
            axis -= 1
            continue
        first = axis
        while first > 0 and mask >> (first - 1) & 1:
            first -= 1
        before, size, after = prod(now[:first]), prod(now[first : axis + 1]), prod(now[axis + 1 :])
        if size != 1:
            steps.append(((after, size, before), 1) if after != 1 else ((size, before), 0))
        now[first : axis + 1] = [1] * (axis + 1 - first)
        axis = first - 1
    return steps
