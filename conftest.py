"""Keeps the tests on the installed package, and names what every docstring example may use."""

import sys
from pathlib import Path

import pytest

# `python -m pytest` puts this folder first on the path, where pycyxwiz/ has no compiled core.
_HERE = Path(__file__).parent
sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != _HERE]


@pytest.fixture(autouse=True)
def _names_for_doctests(doctest_namespace: dict[str, object]) -> None:
    import numpy

    import pycyxwiz

    doctest_namespace["cx"] = pycyxwiz
    doctest_namespace["np"] = numpy
