"""``pycyxwiz check``: what is wrong with a script, and what the sandbox would refuse, unexecuted.

It reads the syntax tree, so it finds what is written plainly and nothing that is built at run time.
The sandbox does not depend on it.
"""

import ast
import importlib.util
import os
import sys
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from . import cells as grammar
from . import imports
from .sandbox import grants

_REFUSED_CALLS = {
    "starting a program": """
        os.system os.popen os.fork os.forkpty os.execv os.execve os.execvp os.execl os.execlp
        os.spawnl os.spawnv os.spawnlp os.spawnvp os.posix_spawn os.posix_spawnp os.startfile
    """,
    "signalling another process": "os.killpg",
    "changing an owner": "os.chown os.lchown shutil.chown",
    "making a symbolic link": "os.symlink",
    "reading over a network": "pandas.read_sql pandas.read_gbq",
}
# They read the file or folder that their first argument names.
_READING = {
    *("open", "io.open", "os.open", "os.listdir", "os.scandir", "numpy.load", "numpy.loadtxt"),
    *("numpy.genfromtxt", "numpy.fromfile", "pandas.read_csv", "pandas.read_excel"),
    *("pandas.read_json", "pandas.read_parquet"),
}
_CALLS = {name: action for action, names in _REFUSED_CALLS.items() for name in names.split()}


class Problem(NamedTuple):
    """One finding: its line, its ``kind`` ("syntax", "import" or "sandbox") and a sentence."""

    line: int
    kind: str
    message: str


def check(file: str, *, libraries: Iterable[str] = ()) -> list[Problem]:
    """Find syntax errors, imports of modules that are not there, and what the sandbox refuses.

    Raises ``OSError`` when the file can't be read. The list is in the order of lines.
    """
    try:
        tree = grammar.compile_cells(grammar.read(file), file)
        compile(tree, file, "exec", dont_inherit=True)
        folder = os.path.dirname(os.path.realpath(file))
        problems = [*_imports(tree, folder, frozenset(libraries)), *_calls(tree, file)]
    except SyntaxError as error:
        return [Problem(error.lineno or 1, "syntax", error.msg)]
    except (MemoryError, RecursionError):  # the parser's own way to say it, or ours
        return [Problem(1, "syntax", "it is nested too deeply")]
    return sorted(set(problems))


def _imports(tree: ast.AST, folder: str, libraries: frozenset[str]) -> Iterator[Problem]:
    optional = _optional_imports(tree)
    for node, name in _imported_names(tree):
        action = imports.refusal(name, own_folders=[folder], libraries=libraries)
        if action:
            yield Problem(node.lineno, "sandbox", f"the sandbox refuses {action}")
        top = name.split(".")[0]
        if node not in optional and not _exists(top, folder):
            yield Problem(node.lineno, "import", f"there is no module {top} here")


def _imported_names(tree: ast.AST) -> Iterator[tuple[ast.stmt, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node, alias.name
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node, node.module
            for alias in node.names:
                if imports.is_refused(f"{node.module}.{alias.name}"):
                    yield node, f"{node.module}.{alias.name}"


def _optional_imports(tree: ast.AST) -> set[ast.AST]:
    """Statements inside a ``try``: the script has an answer for a module that is not there."""
    tried = [node for node in ast.walk(tree) if isinstance(node, ast.Try) and node.handlers]
    return {inner for node in tried for statement in node.body for inner in ast.walk(statement)}


def _exists(top: str, folder: str) -> bool:
    if top in sys.stdlib_module_names or imports.is_module(folder, top):
        return True
    try:
        return importlib.util.find_spec(top) is not None
    except (ImportError, ValueError):
        return False


def _calls(tree: ast.AST, file: str) -> Iterator[Problem]:
    aliases = _aliases(tree)
    readable = [*(grant.path for grant in grants.system_grants()), os.path.abspath(file)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = _dotted(node.func, aliases)
            action = _CALLS.get(name, "")
            if name in _READING and node.args:
                action = _reading(node.args[0], readable)
            if action:
                yield Problem(node.lineno, "sandbox", f"the sandbox refuses {action}")


def _reading(argument: ast.expr, readable: Iterable[str]) -> str:
    """What to call reading an absolute path that is written out and that no script may read."""
    path = argument.value if isinstance(argument, ast.Constant) else None
    if not isinstance(path, str) or not path.startswith("/"):
        return ""
    name = os.path.normpath(path)
    if any(name == folder or name.startswith(folder + "/") for folder in readable):
        return ""
    return f"the file or folder {path!r} (unless --read or --write names it)"


def _aliases(tree: ast.AST) -> dict[str, str]:
    """What imported names stand for: ``np`` → ``numpy``, ``system`` → ``os.system``."""
    aliases: dict[str | None, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            aliases.update((alias.asname, alias.name) for alias in node.names if alias.asname)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            for alias in node.names:
                aliases[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return {name: target for name, target in aliases.items() if name}


def _dotted(node: ast.expr, aliases: dict[str, str]) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value, aliases)}.{node.attr}"
    return aliases.get(node.id, node.id) if isinstance(node, ast.Name) else ""
