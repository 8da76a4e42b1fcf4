"""Run a script in this process as ``python FILE`` would: same names, arguments, tracebacks."""

import os
import sys
import types
from collections.abc import Collection, Mapping
from typing import Any

from . import cells as grammar

_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep


class Script:
    """A parsed ``.cyx`` (or ``.py``) file that is ready to run.

    ``Script(path)`` reads it and raises ``OSError`` when it can't. ``run`` executes the code cells
    in a fresh ``__main__`` and returns the exit code; exceptions are printed without frames of
    ours and kept in ``error``, ``SystemExit`` passes through.
    """

    def __init__(self, path: str, data: bytes | None = None) -> None:
        if data is None:
            with open(path, "rb") as file:
                data = file.read()
        self.path = path
        self.file = os.path.abspath(path)
        self.cells = grammar.parse(grammar.decode(data))
        self.error: BaseException | None = None

    @property
    def folder(self) -> str:
        """Where the script's own modules are: what Python puts first in ``sys.path``."""
        return os.path.dirname(os.path.realpath(self.file))

    def compile(self, chosen: Collection[int] | None = None) -> types.CodeType:
        """The code cells (the chosen ones) as one code object; raises ``SyntaxError``."""
        tree = grammar.compile_cells(self.cells, self.file, chosen)
        return compile(tree, self.file, "exec", dont_inherit=True)

    def run(
        self,
        arguments: list[str],
        *,
        chosen: Collection[int] | None = None,
        names: Mapping[str, Any] | None = None,
    ) -> int:
        """Execute as ``__main__`` with these ``sys.argv[1:]``; ``names`` are defined already."""
        module = types.ModuleType("__main__")
        module.__dict__.update(names or {})
        module.__dict__.update(
            __name__="__main__", __file__=self.file, __builtins__=__builtins__, __cached__=None
        )
        sys.modules["__main__"] = module
        sys.argv[:] = [self.path, *arguments]
        try:
            exec(self.compile(chosen), module.__dict__)
        except SystemExit:
            raise
        except BaseException as error:
            self.error = error
            show_exception(error)
            return 130 if isinstance(error, KeyboardInterrupt) else 1
        return 0


def show_exception(error: BaseException) -> None:
    """Print an exception through ``sys.excepthook``, without frames of this package."""
    seen: set[int] = set()
    chain: list[BaseException | None] = [error]
    while chain:
        link = chain.pop()
        if link is not None and id(link) not in seen:
            seen.add(id(link))
            link.__traceback__ = _without_our_frames(link.__traceback__)
            chain += [link.__cause__, link.__context__]
    sys.excepthook(type(error), error, error.__traceback__)


def _without_our_frames(trace: types.TracebackType | None) -> types.TracebackType | None:
    kept = []
    while trace is not None:
        if not trace.tb_frame.f_code.co_filename.startswith(_HERE):
            kept.append(trace)
        trace = trace.tb_next
    result = None
    for entry in reversed(kept):
        result = types.TracebackType(result, entry.tb_frame, entry.tb_lasti, entry.tb_lineno)
    return result
