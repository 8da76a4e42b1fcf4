"""The libraries that compete: how each is found, told its threads, and called.

The ``on_…`` functions turn one line of a library's code into a contender. Each calls its library
the way its documentation recommends for speed, and waits until the result is there.
"""

import importlib.metadata
import os
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.row import Contender, Run

#: Peer → the distributions it needs, the first of which gives its version.
PEERS: Mapping[str, tuple[str, ...]] = {
    "pycyxwiz": ("pycyxwiz",),
    "numpy": ("numpy",),
    "numexpr": ("numexpr",),
    "torch": ("torch",),
    "jax": ("jax",),
    "keras": ("keras", "jax"),
    "sklearn": ("scikit-learn",),
}


def peer_of(contender: str) -> str:
    """``torch:fused`` is a contender of the peer ``torch``."""
    return contender.partition(":")[0]


def version(peer: str) -> str | None:
    """The installed version; None where something of the peer is missing."""
    try:
        first, *_ = [importlib.metadata.version(name) for name in PEERS[peer]]
    except importlib.metadata.PackageNotFoundError:
        return None
    return first


def environment(threads: int) -> dict[str, str]:
    """The variables of a contender's process: as many threads for everyone, nothing printed."""
    env = dict(os.environ)
    # Where a machine sets these for old builds of OpenBLAS, they would slow a current one down.
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
        env.pop(name, None)
    for name in ("OMP", "OPENBLAS", "MKL", "NUMEXPR"):
        env[f"{name}_NUM_THREADS"] = str(threads)
    env["NUMEXPR_MAX_THREADS"] = str(threads)
    env["JAX_PLATFORMS"] = "cpu"
    env["KERAS_BACKEND"] = "jax"
    env["TF_CPP_MIN_LOG_LEVEL"] = "3"
    env["PYTHONWARNINGS"] = "ignore"
    return env


def limit_cpus(threads: int) -> None:
    """Keeps this process on so many CPUs: the one limit on threads that all libraries heed."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def on_cx(function: Callable[..., Any]) -> Contender:
    """``function(cx, *tensors)``, recorded and evaluated at every call, as a script would."""

    def build(arrays: Any) -> Run:
        import pycyxwiz as cx

        tensors = [cx.from_numpy(array) for array in arrays]

        def run() -> Any:
            result = function(cx, *tensors)
            cx.eval(result)
            return result

        return run

    return build


def on_numpy(function: Callable[..., Any]) -> Contender:
    """``function(np, *arrays)``."""

    def build(arrays: Any) -> Run:
        import numpy as np

        return lambda: function(np, *arrays)

    return build


def on_torch(function: Callable[..., Any]) -> Contender:
    """``function(torch, *tensors)``, eager, in inference mode."""

    def build(arrays: Any) -> Run:
        import torch

        torch.set_num_threads(len(os.sched_getaffinity(0)))
        tensors = [torch.from_numpy(array) for array in arrays]

        def run() -> Any:
            with torch.inference_mode():
                return function(torch, *tensors)

        return run

    return build


def on_jax(function: Callable[..., Any]) -> Contender:
    """``function(jnp, *arrays)``, under ``jax.jit``."""

    def build(arrays: Any) -> Run:
        import jax
        import jax.numpy as jnp

        on_device = [jax.device_put(array) for array in arrays]
        compiled = jax.jit(lambda *args: function(jnp, *args))
        return lambda: compiled(*on_device).block_until_ready()

    return build


def on_numexpr(expression: str, *names: str) -> Contender:
    """A numexpr expression over variables of these names."""

    def build(arrays: Any) -> Run:
        import numexpr

        variables = dict(zip(names, arrays, strict=True))
        return lambda: numexpr.evaluate(expression, local_dict=variables)

    return build
