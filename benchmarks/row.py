"""What one line of the table is made of."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

#: What a contender does, again and again. What it returns is checked for agreement; in a row that
#: measures itself (``unit`` is not seconds, or ``own_clock``) it returns the number.
Run = Callable[[], Any]

#: Builds the contender out of the row's data, in its own process; may take as long as it likes.
Contender = Callable[[Any], Run]


class DisagreementError(Exception):
    """Two contenders of a row don't compute the same thing."""


@dataclass(frozen=True)
class Row:
    """One line of the table: one piece of work, and who competes in it.

    name : what is typed on the command line.
    title : what the table says.
    contenders : by name, ``peer`` or ``peer:variant``; ``pycyxwiz`` is the one measured against.
    data : makes the inputs, the same in every process.
    floors : the ratio of that contender's figure to ours that we promise at least.
    limit : the highest figure of our own that we allow, in ``unit``; None for no limit.
    check : raises ``DisagreementError`` when the results (NumPy arrays by contender) don't agree.
    unit : "s", or what the contenders themselves return: "MB".
    own_clock : the contenders return seconds that they measured themselves.
    per : how often the work is done in one call; figures are divided by it.
    rounds : how many times each contender has its turn.
    operations : additions and multiplications that the work needs, of one call's ``per``-th part.
    traffic : bytes that it has to read and to write at least, likewise.
    why : what keeps us from the time that the machine's limits leave for these.
    """

    name: str
    title: str
    contenders: Mapping[str, Contender]
    data: Callable[[], Any] = lambda: ()
    floors: Mapping[str, float] = field(default_factory=dict)
    limit: float | None = None
    check: Callable[[Mapping[str, np.ndarray]], None] | None = None
    unit: str = "s"
    own_clock: bool = False
    per: int = 1
    rounds: int = 9
    operations: float = 0.0
    traffic: float = 0.0
    why: str = ""

    def __post_init__(self) -> None:
        if unknown := set(self.floors) - set(self.contenders):
            raise ValueError(f"{self.name}: floors for contenders that don't compete: {unknown}")

    @property
    def measures_itself(self) -> bool:
        return self.own_clock or self.unit != "s"


def close(rtol: float = 1e-4, atol: float = 1e-5) -> Callable[[Mapping[str, np.ndarray]], None]:
    """A check: every result is close to NumPy's, or to the last one where NumPy has none."""

    def check(results: Mapping[str, np.ndarray]) -> None:
        reference_name = "numpy" if "numpy" in results else list(results)[-1]
        reference = results[reference_name]
        for name, result in results.items():
            if result.shape != reference.shape:
                raise DisagreementError(
                    f"{name} gives shape {result.shape}, {reference_name} {reference.shape}"
                )
            if not np.allclose(result, reference, rtol=rtol, atol=atol):
                worst = np.abs(result.astype(np.float64) - reference).max()
                raise DisagreementError(f"{name} differs from {reference_name} by {worst:.3g}")

    return check


def at_least(least: float, what: str) -> Callable[[Mapping[str, np.ndarray]], None]:
    """A check: every contender returned a figure, such as an accuracy, that is high enough."""

    def check(results: Mapping[str, np.ndarray]) -> None:
        for name, result in results.items():
            if not float(result) >= least:
                raise DisagreementError(f"{name} reached {what} {float(result):.3f} < {least}")

    return check
