"""The ``.cyx`` grammar: what a marker is, the lossless round trip, line numbers."""

import contextlib
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pycyxwiz.scripting import cells, converting

LINES = st.sampled_from(
    [
        "",
        "%%",
        "%% title",
        "%%markdown",
        "%%raw ",
        "%%\t x ",
        "%%time",
        " %%",
        "x = 1",
        '"""',
        "\x0c",
        "é",
    ]
)
ENDS = st.sampled_from(["\n", "\r\n", "\r", ""])
FILES = st.lists(st.tuples(LINES, ENDS)).map(lambda parts: "".join(a + b for a, b in parts))


def kinds(text: str) -> list[tuple[str, str, str, int]]:
    return [(c.kind, c.title, c.body, c.line) for c in cells.parse(text)]


def test_hostile_markers_take_no_time():
    """A pattern that tries every way to part spaces took hours here: in the parent, for a server."""
    start = time.process_time()
    parsed = cells.parse("%% x" + " " * 300_000 + "y\n1\n")
    converting.from_python("# %%" + " " * 300_000 + "y\n")
    assert time.process_time() - start < 5
    assert parsed[0].title.startswith("x ")


def test_text_before_the_first_marker_is_a_code_cell():
    assert kinds("a\n%%\nb\n") == [("code", "", "a\n", 1), ("code", "", "b\n", 3)]


def test_a_file_that_starts_with_a_marker_has_no_empty_first_cell():
    assert kinds("%% one\nx") == [("code", "one", "x", 2)]


def test_an_empty_file_has_no_cells():
    assert cells.parse("") == []


@pytest.mark.parametrize(
    ("line", "kind", "title"),
    [
        ("%%", "code", ""),
        ("%%  ", "code", ""),
        ("%% a title", "code", "a title"),
        ("%%\tpadded  title \t", "code", "padded  title"),
        ("%%markdown", "markdown", ""),
        ("%%markdown ", "markdown", ""),
        ("%%markdown Intro", "markdown", "Intro"),
        ("%%raw", "raw", ""),
        ("%% markdown", "code", "markdown"),
        ("\ufeff%% first", "code", "first"),
    ],
)
def test_a_marker_line_starts_a_cell(line, kind, title):
    assert kinds(line + "\nbody") == [(kind, title, "body", 2)]


@pytest.mark.parametrize(
    "line", [" %%", "x %% y", "%%time", "%%markdownish", "%%%", "#%%", "\u2028%%"]
)
def test_other_lines_are_text(line):
    assert kinds(line + "\n") == [("code", "", line + "\n", 1)]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_line_end_of_python_ends_a_line(end):
    assert [c.body for c in cells.parse(f"a{end}%%{end}b")] == ["a" + end, "b"]


@given(FILES | st.text())
def test_join_inverts_parse(text):
    assert cells.join(cells.parse(text)) == text


@given(st.binary() | FILES.map(str.encode))
def test_every_byte_survives_a_round_trip(data):
    assert cells.encode(cells.join(cells.parse(cells.decode(data)))) == data


@given(FILES)
def test_cells_tell_their_own_line(text):
    lines = cells.lines(text)
    for cell in cells.parse(text):
        assert "".join(lines[cell.line - 1 :]).startswith(cell.body)


@given(FILES)
def test_python_source_keeps_every_line_at_its_number(text):
    source = cells.python_source(cells.parse(text))
    before, after = cells.lines(text + "."), cells.lines(source + ".")
    for old, new in zip(before, after, strict=True):
        assert new.rstrip("\r\n") in (old.rstrip("\r\n"), "", ".")


@settings(max_examples=300)
@given(FILES | st.text() | st.binary().map(cells.decode))
def test_compiling_gives_a_tree_or_a_syntax_error(text):
    with contextlib.suppress(SyntaxError):
        cells.compile_cells(cells.parse(text), "f.cyx")


def test_only_chosen_cells_are_compiled():
    parsed = cells.parse("a\n%% plot\nb\n%%markdown\nc\n%% plot it\nd\n")
    assert cells.python_source(parsed, cells.select(parsed, ["2", "plot it"])) == "\n\nb\n\n\n\nd\n"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("0", "no code cell '0': this file has 1 to 3, 'plot', 'plot'"),
        ("x", "no code cell 'x': this file has 1 to 3, 'plot', 'plot'"),
        ("plot", "2 cells are titled 'plot': choose by number: 2, 3"),
    ],
)
def test_a_cell_that_is_not_there_is_named(name, message):
    with pytest.raises(ValueError) as caught:
        cells.select(cells.parse("a\n%% plot\nb\n%% plot\nc"), [name])
    assert str(caught.value) == message


def test_an_unknown_marker_is_a_syntax_error_that_lists_the_known_ones():
    with pytest.raises(SyntaxError) as caught:
        cells.compile_cells(cells.parse("x = 1\n%%time\n"), "f.cyx")
    assert caught.value.msg == (
        "unknown cell marker '%%time': a cell starts with %%, %% TITLE, %%markdown or %%raw"
    )
    assert (caught.value.filename, caught.value.lineno) == ("f.cyx", 2)


@pytest.mark.parametrize("quote", ['"""', "'''", 'f"""', 'b"""'])
def test_a_marker_inside_a_string_is_refused_not_swallowed(quote):
    with pytest.raises(SyntaxError, match="cuts the string that starts on line 2 in two"):
        cells.compile_cells(cells.parse(f"\nx = {quote}\n%%\n{quote[-3:]}\n"), "f.cyx")


def test_an_encoding_cookie_counts():
    text = cells.decode("# -*- coding: latin-1 -*-\nx = 'é'\n".encode("latin-1"))
    names: dict[str, str] = {}
    exec(compile(cells.compile_cells(cells.parse(text), "f.cyx"), "f.cyx", "exec"), names)
    assert names["x"] == "é"
