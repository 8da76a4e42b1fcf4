"""Documentation: every public name says what it is, shows it, and what it shows is so."""

from __future__ import annotations

import doctest
import inspect
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import pycyxwiz as cx
from pycyxwiz import _core
from pycyxwiz.optimizers import schedules

MODULES = (
    cx,
    cx.callbacks,
    cx.layers,
    cx.losses,
    cx.memory,
    cx.metrics,
    cx.optimizers,
    cx.random,
    schedules,
)
NAMES = {
    f"{module.__name__}.{name}": getattr(module, name)
    for module in MODULES
    for name in module.__all__
    if not inspect.ismodule(getattr(module, name))
}
# What has nothing to show: values, errors, what is never made by hand, and bases.
WITHOUT_EXAMPLE = {
    name
    for name, value in NAMES.items()
    if isinstance(value, cx.DType)
    or (isinstance(value, type) and issubclass(value, (Exception, cx.Device, cx.DType)))
} | {
    "pycyxwiz.callbacks.History",
    "pycyxwiz.callbacks.ProgressBar",
    "pycyxwiz.callbacks.ProgressLines",
    "pycyxwiz.optimizers.schedules.Schedule",
}
COMPILED = {
    f"{prefix}.{name}": value
    for prefix, owner in (("_core", _core), ("Tensor", cx.Tensor))
    for name, value in vars(owner).items()
    if ">>>" in (getattr(value, "__doc__", None) or "")
}


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_is_documented_with_an_example(name):
    text = inspect.getdoc(NAMES[name])
    assert text and (">>>" in text or name in WITHOUT_EXAMPLE)


def test_every_method_says_what_it_does():
    classes = (cx.Tensor, cx.Model, cx.layers.Layer, cx.optimizers.Optimizer, cx.callbacks.Callback)
    silent = [
        f"{cls.__name__}.{name}"
        for cls in classes
        for name, value in vars(cls).items()
        if not name.startswith("_") and callable(value) and not inspect.getdoc(getattr(cls, name))
    ]
    assert silent == []


# Those of Python modules are run by pytest itself, which does not look into compiled ones.
@pytest.mark.parametrize("name", COMPILED)
def test_the_examples_of_a_compiled_function_are_so(name):
    run_examples(COMPILED[name].__doc__, name)


def given() -> dict[str, Any]:
    """What the documents' code takes for given."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 784)).astype(np.float32), np.arange(20) % 10
    return {
        "cx": cx,
        "np": np,
        "array": np.array([[2.0, 1.0], [0.0, 3.0]]),
        "df": pd.DataFrame({"a": [1.0, 2.0], "b": [3, 4]}),
        "f": lambda x: cx.sum(cx.Tensor(x) ** 2),
        "x": x,
        "x_val": x,
        "x_test": x,
        "y": y,
        "y_val": y,
        "y_test": y,
    }


@pytest.mark.parametrize("name", ["README.md", "docs/getting-started.md", "docs/devices.md"])
def test_the_code_of_a_document_runs(name, tmp_path, monkeypatch):
    text = (Path(__file__).parents[1] / name).read_text()
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert blocks
    for block in blocks:
        names |= given()
        exec(compile(block, name, "exec"), names)


def run_examples(text: str, name: str) -> None:
    names: dict[str, Any] = {"cx": cx, "np": np}
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    test = doctest.DocTestParser().get_doctest(text, names, name, None, None)
    report: list[str] = []
    runner = doctest.DocTestRunner(optionflags=flags)
    assert runner.run(test, out=report.append).failed == 0, "".join(report)
    assert test.examples
