"""``.cyx`` to notebooks and percent-format Python, and back without loss."""

import json

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycyxwiz.scripting import cells, convert, converting

_LINES = (
    "|%%|%% t|%%markdown|%%markdown T|%%raw|%% see [markdown]|%% [code] x|# %%|## %%|#%% x|"
    "# %% [raw]|# text|#| |x = 1|\ufeff|%%time|é"
)
LINES = st.sampled_from(_LINES.split("|"))
ENDS = st.sampled_from(["\n", "\r\n", "\r", ""])
FILES = st.lists(st.tuples(LINES, ENDS)).map(lambda parts: "".join(a + b for a, b in parts))


@given(FILES | st.text())
def test_a_script_comes_back_from_a_notebook_unchanged(text):
    notebook = converting.to_notebook(text)
    nbformat.validate(nbformat.reads(notebook, as_version=4))
    assert converting.from_notebook(notebook) == text


@given(FILES | st.text() | st.binary().map(cells.decode))
def test_a_script_comes_back_from_python_unchanged(text):
    assert converting.from_python(converting.to_python(text)) == text


@given(st.text() | FILES)
def test_any_python_file_becomes_a_script_that_compiles_no_worse(text):
    parsed = cells.parse(converting.from_python(text))
    assert isinstance(cells.python_source(parsed), str)


def test_python_markers_become_cells():
    text = "import x\n# %% One\na = 1\n#%% [markdown]\n# Hello\n#\n# %% Two [raw]\n# r\n"
    assert converting.from_python(text) == (
        "import x\n%% One\na = 1\n%%markdown\nHello\n\n%%raw Two\nr\n"
    )


def test_a_foreign_notebook_becomes_a_script():
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [
        nbformat.v4.new_markdown_cell("# Title"),
        nbformat.v4.new_code_cell("x = 1\nprint(x)"),
    ]
    text = converting.from_notebook(nbformat.writes(notebook))
    assert text == "%%markdown\n# Title\n%%\nx = 1\nprint(x)\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not a notebook: JSONDecodeError"),
        ("[]", "not a notebook: TypeError"),
        ("[" * 200_000, "not a notebook: RecursionError"),
        ('{"nbformat": 3, "worksheets": []}', "nbformat 3: only nbformat 4 is known"),
        ('{"nbformat": 4, "cells": [{}]}', "not a notebook: KeyError"),
    ],
)
def test_what_is_no_notebook_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        converting.from_notebook(text)


def test_a_script_that_is_not_utf8_names_the_line():
    with pytest.raises(ValueError, match="line 2 is not UTF-8"):
        converting.to_notebook(cells.decode(b"x\n\xff"))


def test_files_are_converted_by_suffix_and_never_overwritten(tmp_path):
    script, notebook = tmp_path / "a.cyx", tmp_path / "a.ipynb"
    script.write_bytes(b"%% t\r\nx = 1")
    convert(str(script), str(notebook))
    assert json.loads(notebook.read_text())["cells"][0]["metadata"]["title"] == "t"
    with pytest.raises(FileExistsError):
        convert(str(notebook), str(script))
    convert(str(notebook), str(script), overwrite=True)
    assert script.read_bytes() == b"%% t\r\nx = 1"
    with pytest.raises(ValueError, match=r"can't convert \.cyx to \.txt: \.cyx to \.ipynb"):
        convert(str(script), str(tmp_path / "a.txt"))
