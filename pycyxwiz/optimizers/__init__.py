"""Optimizers: how gradients change parameters. See ``Optimizer`` for making one."""

from pycyxwiz._config import listed, register
from pycyxwiz.optimizers import schedules
from pycyxwiz.optimizers._optimizer import Optimizer
from pycyxwiz.optimizers.adam import Adam, AdamW
from pycyxwiz.optimizers.rmsprop import RMSprop
from pycyxwiz.optimizers.sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "RMSprop", "named", "register", "schedules"]

_BY_NAME: dict[str, type[Optimizer]] = {
    "adam": Adam,
    "adamw": AdamW,
    "rmsprop": RMSprop,
    "sgd": SGD,
}


def named(name: str) -> Optimizer:
    """A new optimizer of that name with its default arguments.

    Raises ``ValueError`` for an unknown name, listing the known ones.

    >>> cx.optimizers.named("adam")
    Adam()
    """
    cls = _BY_NAME.get(name.lower())
    if cls is None:
        raise ValueError(f"unknown optimizer {name!r}; known are {listed(_BY_NAME)}")
    return cls()
