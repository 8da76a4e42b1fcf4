"""``.cyx`` to and from notebooks (``.ipynb``, nbformat 4.5) and percent-format Python (``.py``).

A script that goes to either format and comes back is the same, byte for byte: what the other
format has no place for (exact markers, line ends) travels in cell metadata and comment prefixes.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable
from typing import Any

from . import cells as grammar
from .cells import Cell

_PY_MARKER = re.compile(r"(?P<hashes>#+) ?(?P<rest>%%(?:[ \t].*)?)(?P<end>[\r\n]*)\Z", re.DOTALL)
_PY_TYPE = re.compile(
    r"%%(?P<title>[^\[]*)\[(?P<kind>markdown|raw|code)\](?P<rest>.*)\Z", re.DOTALL
)
_TYPED = re.compile(r"%%(?P<kind>markdown|raw)(?P<rest>.*)\Z", re.DOTALL)


def convert(source: str, target: str, *, overwrite: bool = False) -> None:
    """Convert the file ``source`` to ``target``; their suffixes say how. One of them is ``.cyx``.

    Raises ``ValueError`` for other suffixes and for a notebook that is none, ``FileExistsError``
    when the target is there and ``overwrite`` is not set.
    """
    suffixes = tuple(os.path.splitext(path)[1] for path in (source, target))
    if suffixes not in _CONVERTERS:
        known = ", ".join(f"{a} to {b}" for a, b in _CONVERTERS)
        raise ValueError(
            f"can't convert {suffixes[0] or source} to {suffixes[1] or target}: {known}"
        )
    with open(source, "rb") as file:
        text = grammar.decode(file.read())
    result = grammar.encode(_CONVERTERS[suffixes](text))
    with open(target, "wb" if overwrite else "xb") as file:
        file.write(result)


def to_notebook(text: str) -> str:
    """A script's text as a notebook's JSON.

    Raises ``ValueError`` when the script is not UTF-8, which JSON must be.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        line = text.count("\n", 0, error.start) + 1
        raise ValueError(f"line {line} is not UTF-8, as a notebook must be") from None
    notebook = {
        "cells": [_to_notebook_cell(cell, n) for n, cell in enumerate(grammar.parse(text))],
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def from_notebook(text: str) -> str:
    """A notebook's JSON as a script's text; outputs are left behind.

    Raises ``ValueError`` when it is not a notebook of nbformat 4.
    """
    try:
        notebook = json.loads(text)
        if notebook["nbformat"] != 4:
            raise ValueError(f"nbformat {notebook['nbformat']}: only nbformat 4 is known")
        cells = notebook["cells"]
        return "".join(map(_from_notebook_cell, cells))
    except (KeyError, TypeError, AttributeError, RecursionError, json.JSONDecodeError) as error:
        raise ValueError(f"not a notebook: {error!r}") from None


def to_python(text: str) -> str:
    r"""A script's text as Python in percent format; text cells become comments.

    >>> to_python("%%markdown\nHello\n%% go\nx = 1\n")
    '# %% [markdown]\n# Hello\n# %% go\nx = 1\n'
    """
    bom, text = grammar.split_bom(text)
    parts = [bom]
    for cell in grammar.parse(text):
        lines = grammar.lines(cell.body)
        parts.append(_to_python_marker(cell.marker))
        if cell.kind == "code":
            # A comment that looks like a marker gets one more "#".
            parts += ["#" + line if _PY_MARKER.match(line) else line for line in lines]
        else:
            parts += ["# " + line if line.rstrip("\r\n") else "#" + line for line in lines]
    return "".join(parts)


def from_python(text: str) -> str:
    r"""Percent-format Python as a script's text.

    >>> from_python("# %% [markdown]\n# Hello\n# %% go\nx = 1\n")
    '%%markdown\nHello\n%% go\nx = 1\n'
    """
    bom, text = grammar.split_bom(text)
    parts, kind = [bom], "code"
    for line in grammar.lines(text):
        match = _PY_MARKER.match(line)
        if match and len(match["hashes"]) > 1 and kind == "code":
            parts.append(line[1:])
        elif match and len(match["hashes"]) == 1:
            marker = _from_python_marker(match["rest"] + match["end"])
            kind = grammar.parse(marker)[0].kind
            parts.append(marker)
        elif kind == "code":
            parts.append(line)
        else:
            parts.append(line[2:] if line.startswith("# ") else line.removeprefix("#"))
    return "".join(parts)


def _to_notebook_cell(cell: Cell, number: int) -> dict[str, Any]:
    body = cell.body.rstrip("\r\n")
    end = cell.body[len(body) :]
    kept = {"marker": cell.marker, "end": end}
    result: dict[str, Any] = {
        "cell_type": cell.kind,
        "id": hashlib.sha256(f"{number} {cell.marker} {cell.body}".encode()).hexdigest()[:8],
        "metadata": {"cyxwiz": kept, **({"title": cell.title} if cell.title else {})},
        "source": grammar.lines(body),
    }
    if cell.kind == "code":
        result.update(execution_count=None, outputs=[])
    return result


def _from_notebook_cell(cell: dict[str, Any]) -> str:
    source = cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"])
    kept = cell["metadata"].get("cyxwiz")
    if kept is not None:
        return str(kept["marker"]) + source + str(kept["end"])
    kind = "" if cell["cell_type"] == "code" else str(cell["cell_type"])
    title = cell["metadata"].get("title", "") if not kind else ""
    marker = f"%%{kind} {title}".rstrip() + "\n"
    return marker + source + ("" if source.endswith("\n") else "\n")


def _to_python_marker(marker: str) -> str:
    typed = _TYPED.match(marker)
    if typed:
        return f"# %% [{typed['kind']}]{typed['rest']}"
    if _PY_TYPE.match(marker):  # a title that looks like a type
        return f"# %% [code]{marker[2:]}"
    return "# " + marker if marker else ""


def _from_python_marker(marker: str) -> str:
    typed = _PY_TYPE.match(marker)
    if typed is None or (typed["kind"] == "code" and typed["title"].strip()):
        return marker
    title = typed["title"].strip()
    if typed["kind"] == "code":
        return "%%" + typed["rest"]
    rest = typed["rest"] if not title else f" {title}" + typed["rest"]
    return f"%%{typed['kind']}{rest}"


_CONVERTERS: dict[tuple[str, ...], Callable[[str], str]] = {
    (".cyx", ".ipynb"): to_notebook,
    (".ipynb", ".cyx"): from_notebook,
    (".cyx", ".py"): to_python,
    (".py", ".cyx"): from_python,
}
