"""``cx.scripting.run``: run a script in a process of its own, in the sandbox if asked."""

import os
import sys
from collections.abc import Callable, Iterable, Mapping

from . import cells as grammar
from .errors import SandboxUnavailable
from .files import refuse_outside_hard_links
from .report import Report
from .sandbox.limits import SANDBOX_LIMITS, Limits

_PASSED_ON = (
    "CYXWIZ_ISA",
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "TZ",
)
_CLEAN = {
    "JOBLIB_MULTIPROCESSING": "0",
    "LANG": "C.UTF-8",
    "LOGNAME": "sandbox",
    "MPLBACKEND": "Agg",
    "PATH": "/usr/bin:/bin",
    "USER": "sandbox",
}

_FOREVER = 1e9  # seconds, megabytes, files: the kernel's own limits are whole numbers


def run(
    file: str | os.PathLike[str],
    arguments: Iterable[str] = (),
    *,
    cells: Iterable[str] = (),
    sandbox: bool = False,
    timeout: float | None = None,
    memory_mb: int | None = None,
    read: Iterable[str | os.PathLike[str]] = (),
    write: Iterable[str | os.PathLike[str]] = (),
    libraries: Iterable[str] = (),
    limits: Limits | None = None,
    startup: bool = True,
) -> Report:
    """Run a ``.cyx`` script in a fresh process and report how it ended.

    Parameters
    ----------
    file : the script.
    arguments : its ``sys.argv[1:]``.
    cells : numbers or titles of the code cells to run; all when empty.
    sandbox : hold it in the sandbox (docs/sandbox.md). It can then read the script and ``read``,
        write in ``write``, import the known libraries and ``libraries``, and nothing else.
    timeout, memory_mb : budgets; in the sandbox an hour and 4 GB when not given.
    read, write : files and folders; a folder in ``write`` is made when it is missing.
    limits : all budgets at once; ``timeout`` and ``memory_mb`` take precedence.
    startup : run the startup scripts first.

    Raises ``OSError`` when the script can't be read, ``ValueError`` for cells or folders that make
    no sense, ``SandboxUnavailable`` when this machine can't hold a script.

    >>> report = run("analysis.cyx", sandbox=True, read=["data"], timeout=60)  # doctest: +SKIP
    >>> report.status  # doctest: +SKIP
    'finished'
    """
    return supervise(
        os.fspath(file),
        arguments,
        cells=cells,
        sandbox=sandbox,
        limits=budgets(sandbox, timeout, memory_mb, limits),
        read=[os.fspath(path) for path in read],
        write=[os.fspath(path) for path in write],
        libraries=libraries,
        startup=startup,
    )


def budgets(
    sandbox: bool, timeout: float | None, memory_mb: int | None, limits: Limits | None = None
) -> Limits:
    """The limits of a run; raises ``ValueError`` for ones that leave no room."""
    result = limits or (SANDBOX_LIMITS if sandbox else Limits())
    if timeout is not None:
        result = result._replace(timeout=timeout)
    if memory_mb is not None:
        result = result._replace(memory_mb=memory_mb)
    for name, value in result._asdict().items():
        if value is not None and not 0 < value < _FOREVER:
            raise ValueError(
                f"{name} is {value}: it must be more than 0, and less than {_FOREVER:g}"
            )
    return result


def supervise(
    file: str,
    arguments: Iterable[str],
    *,
    cells: Iterable[str],
    sandbox: bool,
    limits: Limits,
    read: Iterable[str],
    write: Iterable[str],
    libraries: Iterable[str] = (),
    startup: bool = True,
    courtesy: bool = True,
    capture: bool = True,
    show: Callable[[str, str], None] | None = None,
) -> Report:
    """``run`` with every choice spelled out.

    ``courtesy=False`` leaves the Python layer out (the walls stand without it), ``capture=False``
    lets an unconfined script use this process's terminal, ``show`` gets the output as it comes.
    """
    from . import startup as startup_scripts
    from .sandbox import features, grants, namespaces, supervisor

    missing = features.missing() if sandbox else []
    if missing:
        raise SandboxUnavailable(
            f"the sandbox can't start: this machine lacks {' and '.join(missing)}"
        )
    with open(file, "rb") as script:
        source = grammar.decode(script.read())
    wanted = list(cells)
    chosen = sorted(grammar.select(grammar.parse(source), wanted)) if wanted else None
    first = startup_scripts.enabled_paths() if startup else []
    user: list[grants.Grant] = []
    allowed: list[grants.Grant] = []
    write = list(write)
    if sandbox:
        user = grants.user_grants(read, write)
        refuse_outside_hard_links(grant.path for grant in user)
        scripts = [file, *filter(os.path.isfile, first)]
        allowed = [*grants.system_grants(), *user, *grants.user_grants(scripts, [])]
    plan = {
        "sandbox": sandbox,
        "namespaces": sandbox and not namespaces.forbidden(),
        "courtesy": sandbox and courtesy,
        "working_folder": os.getcwd(),
        "import_folders": _import_folders(sandbox),
        "file": os.path.abspath(file),
        "own_folders": [os.path.dirname(os.path.realpath(file)), *(grant.path for grant in user)],
        "libraries": list(libraries),
        "source": source,
        "arguments": list(arguments),
        "chosen": chosen,
        "startup": first,
    }
    environment = _clean_environment() if sandbox else os.environ
    job = supervisor.Job(plan, limits, environment, allowed, write, capture, show)
    return supervisor.run(job)


def _clean_environment() -> Mapping[str, str]:
    return _CLEAN | {name: os.environ[name] for name in _PASSED_ON if name in os.environ}


def _import_folders(sandbox: bool) -> list[str]:
    """Where this process finds modules, for a child that starts without any settings."""
    folders = [os.path.abspath(folder) for folder in sys.path if os.path.isdir(folder or ".")]
    if not sandbox:
        return folders[1:]
    return [path for path in folders if path.endswith(("site-packages", "dist-packages"))]
