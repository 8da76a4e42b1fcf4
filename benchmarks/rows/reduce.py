"""Reductions of a 1000 × 1000 matrix: five of them, over everything, over rows, over columns."""

from functools import partial
from typing import Any

from benchmarks.peers import on_cx, on_jax, on_numpy, on_torch
from benchmarks.row import Row, close
from benchmarks.rows.elementwise import matrix

AXES = {"all": None, "rows": 1, "columns": 0}


def by_name(name: str, axis: int | None, lib: Any, x: Any) -> Any:
    return getattr(lib, name)(x, axis=axis)


#: What a reduction does beside reading its operand once.
WHY = {
    "std": "a second pass, for the distances from the mean",
    "argmax": "a second look, for where the extreme is",
}


def by_name_torch(name: str, axis: int | None, torch: Any, x: Any) -> Any:
    if name == "max" and axis is not None:
        return torch.amax(x, axis)  # torch.max would find the positions as well
    if name == "std":
        return torch.std(x, dim=axis, correction=0)
    function = getattr(torch, name)
    return function(x) if axis is None else function(x, dim=axis)


def reduction(name: str, where: str) -> Row:
    axis = AXES[where]
    return Row(
        name=f"{name}-{where}",
        title=f"{name}, {where} of 1000 × 1000" if axis is not None else f"{name} of 1000 × 1000",
        data=partial(matrix, 1000, 1000),
        contenders={
            "pycyxwiz": on_cx(partial(by_name, name, axis)),
            "numpy": on_numpy(partial(by_name, name, axis)),
            "torch": on_torch(partial(by_name_torch, name, axis)),
            "jax": on_jax(partial(by_name, name, axis)),
        },
        floors={"numpy": 1.5, "torch": 1.0},
        # A sum of a million numbers of both signs: compared with the size of its terms.
        check=close(rtol=1e-4, atol=1e-2 if name == "sum" else 1e-5),
        operations=1e6 * (3 if name == "std" else 1),
        traffic=4e6,
        why=WHY.get(name, "waking a thread, and combining the parts"),
    )


ROWS = [
    reduction(name, where) for name in ("sum", "mean", "std", "max", "argmax") for where in AXES
]
