"""Keeps the tests on the installed package; what tests and docstring examples share."""

import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

# `python -m pytest` puts this folder first on the path, where pycyxwiz/ has no compiled core.
_HERE = Path(__file__).parent
sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != _HERE]

# What a shell starts in the background ignores Ctrl-C, and so would the processes of the tests.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _names_for_doctests(doctest_namespace: dict[str, object]) -> None:
    import numpy

    import pycyxwiz

    doctest_namespace["cx"] = pycyxwiz
    doctest_namespace["np"] = numpy


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    """``set_num_threads``; the number of threads comes back afterwards."""
    import pycyxwiz

    before = pycyxwiz.get_num_threads()
    yield pycyxwiz.set_num_threads
    pycyxwiz.set_num_threads(before)
