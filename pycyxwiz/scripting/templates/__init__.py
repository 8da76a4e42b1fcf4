"""Finished scripts to start from; one ``.cyx`` file each, all in one layout.

A title and what it shows (markdown), the settings (code, with ``TODO`` where to put one's own),
the data, the work, the result.
"""

import os

from .. import cells as grammar

_HERE = os.path.dirname(os.path.abspath(__file__))
_SUFFIX = ".cyx"


def names() -> list[str]:
    """The templates there are."""
    files = sorted(os.listdir(_HERE))
    return [name.removesuffix(_SUFFIX) for name in files if name.endswith(_SUFFIX)]


def path(name: str) -> str:
    """Where a template is; raises ``ValueError``, with the known ones, when there is none."""
    if name not in names():
        raise ValueError(f"no template {name!r}: there are {', '.join(names())}")
    return os.path.join(_HERE, name + _SUFFIX)


def title(name: str) -> str:
    """What a template does: the heading of its first cell."""
    heading = grammar.lines(grammar.read(path(name))[0].body)[0]
    return heading.lstrip("# ").rstrip("\r\n")


def create(name: str, file: str) -> None:
    """Write a template to a new file; raises ``FileExistsError`` when the file is there."""
    with open(path(name), "rb") as template, open(file, "xb") as target:
        target.write(template.read())
