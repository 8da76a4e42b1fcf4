"""Scripts that can be shared: the ``.cyx`` format, the runner, the sandbox, templates, startup.

A ``.cyx`` file is Python in cells (``cells``). ``run`` executes one in a fresh process, in a
sandbox if asked, and reports what happened; ``check`` judges one without running it. Nothing in
here imports tensors or layers, and ``import pycyxwiz`` does not import this package: it loads on
first use.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .cells import Cell, join, parse, read
    from .checking import Problem, check
    from .converting import convert
    from .errors import SandboxError, SandboxUnavailable
    from .report import Refusal, Report
    from .running import run
    from .sandbox.limits import Limits

__all__ = [
    "Cell",
    "Limits",
    "Problem",
    "Refusal",
    "Report",
    "SandboxError",
    "SandboxUnavailable",
    "check",
    "convert",
    "join",
    "parse",
    "read",
    "run",
]

_HOMES = {
    "cells": "Cell join parse read",
    "checking": "Problem check",
    "converting": "convert",
    "errors": "SandboxError SandboxUnavailable",
    "report": "Refusal Report",
    "running": "run",
    "sandbox.limits": "Limits",
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names.split():
            value = getattr(importlib.import_module(f"{__name__}.{home}"), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
