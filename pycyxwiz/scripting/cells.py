"""The ``.cyx`` grammar, all of it: lines into cells, cells into lines, code for the compiler.

A line that starts with ``%%`` in column 1 and holds nothing but a marker starts a cell:

==================  =====================================
``%%``              a code cell
``%% a title``      a code cell with a title
``%%markdown``      text
``%%raw``           kept as it is, never run
==================  =====================================

Lines before the first marker are a code cell of their own. Lines end as Python's do: with LF, CRLF
or CR. Nothing is lost: ``join(parse(text)) == text`` for every text.
"""

import ast
import re
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_MARKER = re.compile(r"%%(?P<kind>markdown|raw)?(?:[ \t]+(?P<title>[^\r\n]*))?(?=[\r\n]|\Z)")
_KNOWN_MARKERS = "a cell starts with %%, %% TITLE, %%markdown or %%raw"
_BOM = "\ufeff"
_TREE_ONLY = ast.PyCF_ONLY_AST  # as ast.parse, without a frame of its own in tracebacks


class Cell(NamedTuple):
    """One cell: ``marker + body`` is its text in the file, byte for byte.

    ``kind`` is "code", "markdown" or "raw"; ``line`` is the number of the body's first line.
    """

    kind: str
    title: str
    marker: str
    body: str
    line: int


def parse(text: str) -> list[Cell]:
    r"""Split a file's text into its cells.

    >>> [(cell.kind, cell.title, cell.body) for cell in parse("x = 1\n%% show it\nprint(x)\n")]
    [('code', '', 'x = 1\n'), ('code', 'show it', 'print(x)\n')]
    """
    cells: list[Cell] = []
    kind, title, marker, body, start = "code", "", "", [], 1
    for number, line in enumerate(lines(text), 1):
        match = _match_marker(line, number)
        if match is None:
            body.append(line)
            continue
        if marker or body:
            cells.append(Cell(kind, title, marker, "".join(body), start))
        kind, title = match["kind"] or "code", (match["title"] or "").strip(" \t")
        marker, body, start = line, [], number + 1
    if marker or body:
        cells.append(Cell(kind, title, marker, "".join(body), start))
    return cells


def join(cells: Iterable[Cell]) -> str:
    r"""Put cells back together: the inverse of ``parse``.

    >>> join(parse("%%markdown\r\nHello\r\n%%\r\n1/0"))
    '%%markdown\r\nHello\r\n%%\r\n1/0'
    """
    return "".join(cell.marker + cell.body for cell in cells)


def lines(text: str) -> list[str]:
    """The lines of ``text`` as Python counts them, each with its end."""
    return _LINE.findall(text)


def split_bom(text: str) -> tuple[str, str]:
    """A leading byte order mark (or nothing), and the rest."""
    return (_BOM, text[1:]) if text.startswith(_BOM) else ("", text)


def read(path: str) -> list[Cell]:
    """Read a file's cells. Bytes that are not UTF-8 survive the round trip as surrogate escapes."""
    with open(path, "rb") as file:
        return parse(decode(file.read()))


def decode(data: bytes) -> str:
    """Bytes of a ``.cyx`` file as text, without loss."""
    return data.decode("utf-8", "surrogateescape")


def encode(text: str) -> bytes:
    """The inverse of ``decode``."""
    return text.encode("utf-8", "surrogateescape")


def select(cells: list[Cell], wanted: Iterable[str]) -> set[int]:
    """Indices of the code cells named by number (the first code cell is 1) or by title.

    Raises ``ValueError`` when a name fits no cell, or a title fits several.

    >>> select(parse("a\\n%% plot\\nb"), ["plot"])
    {1}
    """
    code = [index for index, cell in enumerate(cells) if cell.kind == "code"]
    chosen = set()
    for name in wanted:
        titled = [index for index in code if cells[index].title == name]
        if len(titled) > 1:
            numbers = ", ".join(str(code.index(index) + 1) for index in titled)
            raise ValueError(
                f"{len(titled)} cells are titled {name!r}: choose by number: {numbers}"
            )
        if titled:
            chosen.add(titled[0])
        elif name.isdecimal() and 1 <= int(name) <= len(code):
            chosen.add(code[int(name) - 1])
        else:
            titles = ", ".join(repr(cells[index].title) for index in code if cells[index].title)
            known = f"1 to {len(code)}" + (f", {titles}" if titles else "")
            raise ValueError(f"no code cell {name!r}: this file has {known}")
    return chosen


def python_source(cells: list[Cell], chosen: Collection[int] | None = None) -> str:
    r"""The Python in the code cells (the chosen ones), every line at its own number in the file.

    >>> python_source(parse("%%markdown\nHello\n%%\nprint(1)\n"))
    '\n\n\nprint(1)\n'
    """
    end = "\r\n" if any("\r" in cell.marker + cell.body for cell in cells) else "\n"
    parts = []
    for index, cell in enumerate(cells):
        runs = cell.kind == "code" and (chosen is None or index in chosen)
        parts += [_blank(cell.marker, end), cell.body if runs else _blank(cell.body, end)]
    return "".join(parts)


def compile_cells(
    cells: list[Cell], filename: str, chosen: Collection[int] | None = None
) -> ast.Module:
    """Parse the code cells as one Python module whose line numbers are the file's.

    Raises ``SyntaxError`` as Python does, also for an unknown ``%%`` marker and for a string that a
    marker cuts in two. The caller compiles the tree.
    """
    source = python_source(cells, chosen)
    try:
        tree: ast.Module = compile(encode(source), filename, "exec", _TREE_ONLY, dont_inherit=True)
    except SyntaxError as error:
        line = (error.text or "").rstrip("\r\n")
        if line.startswith("%%"):
            error.msg = f"unknown cell marker {line.split()[0]!r}: {_KNOWN_MARKERS}"
        raise
    except ValueError as error:  # a NUL byte, before Python 3.12
        raise SyntaxError(str(error), (filename, None, None, None)) from None
    _refuse_cut_strings(tree, cells, source, filename)
    return tree


def _match_marker(line: str, number: int) -> re.Match[str] | None:
    if number == 1:
        line = line.removeprefix(_BOM)
    return _MARKER.match(line) if line.startswith("%%") else None


def _blank(text: str, end: str) -> str:
    """As many empty lines as ``text`` has lines, and its byte order mark.

    In a file with CRs they end with CRLF: a CR before an LF would join two lines to one.
    """
    ends = sum(line[-1] in "\r\n" for line in lines(text))
    return (_BOM if text.startswith(_BOM) else "") + end * ends


def _refuse_cut_strings(tree: ast.Module, cells: list[Cell], source: str, filename: str) -> None:
    """A marker inside a triple-quoted string would silently vanish from it: refuse instead."""
    markers = [cell.line - 1 for cell in cells if cell.marker]
    if not markers or ('"""' not in source and "'''" not in source):
        return
    for node in _strings(tree):
        for line in markers:
            if node.lineno < line <= (node.end_lineno or node.lineno):
                where = (filename, line, 1, _marker_text(cells, line))
                what = f"a cell marker cuts the string that starts on line {node.lineno} in two"
                raise SyntaxError(f"{what}; indent the marker if it belongs to the string", where)


def _strings(tree: ast.Module) -> Iterator[ast.expr]:
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr) or (
            isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)
        ):
            yield node


def _marker_text(cells: list[Cell], line: int) -> str:
    return next(cell.marker for cell in cells if cell.marker and cell.line - 1 == line)
