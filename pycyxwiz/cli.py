"""The ``pycyxwiz`` command: a thin layer over ``pycyxwiz.scripting``.

Each command is a function that takes the parsed arguments and returns the exit code. What a command
needs is imported inside it, so that ``pycyxwiz run`` starts fast.
"""

import argparse
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .scripting.report import Report

USAGE_ERROR = 2
PROBLEMS_FOUND = 1

_EPILOG = """\
first steps:
  pycyxwiz templates                     list finished programs to start from
  pycyxwiz new model_training train.cyx  copy one
  pycyxwiz run train.cyx                 run it
  pycyxwiz run train.cyx -- --epochs 3   hand it options of its own
  pycyxwiz check train.cyx               look for mistakes without running it
  pycyxwiz run stranger.cyx --sandbox    run a script you do not trust

`pycyxwiz COMMAND --help` explains each command. Exit codes of run: `pycyxwiz run --help`.
"""

_RUN_EPILOG = """\
Options stand before the script's own arguments; everything after -- is the script's.

the sandbox:
  A sandboxed script can read itself, what --read names and Python's own files. It can write what
  --write names and a temporary folder that vanishes. It can't reach a network, start programs, see
  your environment or other processes. Without --timeout it has an hour, without --memory 4096 MB.
  Where this machine can't hold a script, --sandbox refuses to start.

  pycyxwiz run stranger.cyx --sandbox --read data --write results --timeout 60

exit codes:
  0    it finished                       N    it called sys.exit(N)
  1    an exception ended it             2    wrong usage, or a file that can't be read
  123  over its memory, disk, output     124  its time was up
       or thread budget                  125  the sandbox can't start here; nothing ran
  126  ended by a SandboxError           128+N ended by signal N (159: a forbidden system call)
  130  Ctrl-C
"""

_CHECK_EPILOG = """\
Prints FILE:LINE: KIND: what, one finding a line, and runs nothing:
  syntax   Python could not compile it
  import   it imports a module that is not installed here (outside of a try)
  sandbox  the sandbox would refuse this, as far as it is written plainly

  pycyxwiz check train.cyx
  pycyxwiz check train.cyx --library mypackage   as run --sandbox --library mypackage would

exit codes: 0 nothing found, 1 something found, 2 a file that can't be read
"""

_NEW_EPILOG = """\
A template is a finished program on data that it makes itself: run it, then replace what its TODO
lines name with your own.

  pycyxwiz new regression_with_pandas prices.cyx
  pycyxwiz run prices.cyx

An existing file is never replaced.
"""

_SHELL_EPILOG = """\
IPython's where it is installed, else Python's own. `cx` is defined, and the names of the startup
scripts (`pycyxwiz startup --help`). Ctrl-D ends it.
"""

_CONVERT_EPILOG = """\
The suffixes say what to do. A script that goes to a notebook or to Python with # %% cells, and
comes back, is the same byte for byte. Outputs of notebooks are left behind.

  pycyxwiz convert train.cyx train.ipynb
  pycyxwiz convert lesson.ipynb lesson.cyx
  pycyxwiz convert train.cyx train.py --overwrite
"""

_STARTUP_EPILOG = """\
  pycyxwiz startup add helpers.cyx         to the project's list, in the working folder
  pycyxwiz startup add mine.py --user      to the user's
  pycyxwiz startup list                    what runs, in order
  pycyxwiz startup disable helpers.cyx     keep it on the list, switched off
  pycyxwiz startup run                     run them now, to see that they work

Startup scripts run before `run` and `shell` and define names for them. startup_scripts.txt lists
them, a path a line, # for comments: the working folder's first, then the user's, in
~/.config/pycyxwiz. One that fails, or takes longer than 60 s, is reported and the next goes on.
`pycyxwiz run --no-startup` and `pycyxwiz shell --no-startup` leave them out.
"""


class UsageError(Exception):
    """What the user asked for can't be done; the message says why. Exit code 2."""


def main(argv: list[str] | None = None) -> int:
    """Entry point of the ``pycyxwiz`` command; returns the exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    try:
        script_arguments: list[str] = []
        if arguments[:1] == ["run"]:
            arguments, script_arguments = _split_run_arguments(arguments)
        options = _build_parser().parse_args(arguments)
        options.script_arguments = script_arguments
        command: Callable[[argparse.Namespace], int] = options.command
        return command(options)
    except UsageError as error:
        print(f"pycyxwiz: {error}", file=sys.stderr)
        return USAGE_ERROR


# --- the commands' options -----------------------------------------------------------------

_RUN_OPTIONS: list[tuple[str, dict[str, Any]]] = [
    (
        "--cell",
        {
            "action": "append",
            "default": [],
            "metavar": "N|TITLE",
            "help": "run only this code cell, by number (from 1) or title; repeatable",
        },
    ),
    ("--sandbox", {"action": "store_true", "help": "hold the script: see below"}),
    ("--timeout", {"type": float, "metavar": "S", "help": "end it after S seconds"}),
    ("--memory", {"type": int, "metavar": "MB", "help": "end it when it uses more memory"}),
    (
        "--read",
        {
            "action": "append",
            "default": [],
            "metavar": "PATH",
            "help": "with --sandbox: a file or folder it may read; repeatable",
        },
    ),
    (
        "--write",
        {
            "action": "append",
            "default": [],
            "metavar": "PATH",
            "help": "with --sandbox: a folder it may write in, made if missing; repeatable",
        },
    ),
    (
        "--library",
        {
            "action": "append",
            "default": [],
            "metavar": "NAME",
            "help": "with --sandbox: a further module it may import; repeatable",
        },
    ),
    ("--json", {"action": "store_true", "help": "print one JSON object: how it ended, its output"}),
    ("--no-startup", {"action": "store_true", "help": "leave the startup scripts out"}),
]


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pycyxwiz",
        description="Run, check and share .cyx scripts: Python in cells.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, help="show the version")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def add(name: str, command: Callable[[argparse.Namespace], int], **about: str) -> Any:
        about.setdefault("description", about["help"][0].upper() + about["help"][1:] + ".")
        sub = commands.add_parser(
            name,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            **about,  # type: ignore[arg-type]
        )
        sub.set_defaults(command=command)
        return sub

    run = add(
        "run",
        _run,
        help="run a script, in a sandbox if asked",
        usage="pycyxwiz run FILE [options] [[--] args ...]",
        description="Run a script as `python FILE` would. Lines in tracebacks are the file's own.",
        epilog=_RUN_EPILOG,
    )
    run.add_argument("file", metavar="FILE", help="a .cyx or .py file")
    for name, settings in _RUN_OPTIONS:
        run.add_argument(name, **settings)

    check = add(
        "check",
        _check,
        help="look for mistakes, and what the sandbox would refuse",
        epilog=_CHECK_EPILOG,
    )
    check.add_argument("file", metavar="FILE", help="a .cyx or .py file")
    check.add_argument(
        "--library",
        action="append",
        default=[],
        metavar="NAME",
        help="a further module it may import; repeatable",
    )

    new = add("new", _new, help="write a template to a new file", epilog=_NEW_EPILOG)
    new.add_argument("template", metavar="TEMPLATE", help="see `pycyxwiz templates`")
    new.add_argument("file", metavar="FILE", nargs="?", help="default: TEMPLATE.cyx")
    add("templates", _templates, help="list the templates")

    startup = add("startup", _startup, help="manage startup scripts", epilog=_STARTUP_EPILOG)
    startup.add_argument(
        "action",
        choices=["list", "add", "remove", "enable", "disable", "run"],
        metavar="ACTION",
        help="list, add, remove, enable, disable or run",
    )
    startup.add_argument(
        "file", metavar="FILE", nargs="?", help="the script, for all but list and run"
    )
    startup.add_argument("--user", action="store_true", help="add to the user's list")

    shell = add("shell", _shell, help="start an interactive session", epilog=_SHELL_EPILOG)
    shell.add_argument("--no-startup", action="store_true", help="leave the startup scripts out")

    convert = add(
        "convert",
        _convert,
        help="convert .cyx to or from .ipynb and .py",
        epilog=_CONVERT_EPILOG,
    )
    convert.add_argument("source", metavar="FROM", help="a .cyx, .ipynb or .py file")
    convert.add_argument("target", metavar="TO", help="the file to write; one of both is .cyx")
    convert.add_argument("--overwrite", action="store_true", help="replace TO if it is there")

    selftest = add(
        "selftest",
        _selftest,
        help="check every operation on a device against the CPU, and time both",
        description="Run every operation on a device and on the CPU, compare, and time both; it "
        "takes up to two minutes. Ends with status 1 where they differ.",
    )
    selftest.add_argument("--device", default="auto", metavar="NAME", help='"cuda:0", "gpu", …')
    selftest.add_argument("--backend", metavar="NAME", help="the engine, where several serve it")

    add("info", _info, help="show the version, the devices and what this machine offers")
    return parser


class _Version(argparse.Action):
    def __init__(self, option_strings: list[str], dest: str, help: str | None = None) -> None:
        super().__init__(option_strings, dest, nargs=0, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        import pycyxwiz

        print(f"pycyxwiz {pycyxwiz.__version__}")
        parser.exit()


def _split_run_arguments(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Part ``run``'s own arguments from the script's.

    The script's begin at ``--`` or at the first plain argument after FILE. One of our options
    among them, or an unknown one before them, is an error: a misplaced or mistyped ``--sandbox``
    must never be handed to the script silently.
    """
    takes_value = {name: "metavar" in settings for name, settings in _RUN_OPTIONS}
    takes_value |= {"-h": False, "--help": False}
    ours, file_seen, index = ["run"], False, 1
    while index < len(arguments):
        argument = arguments[index]
        if argument == "--":
            return ours, arguments[index + 1 :]
        if argument.startswith("-") and argument != "-":
            name = argument.split("=", 1)[0]
            if name not in takes_value:
                hint = f"; the script's own options go after --: -- {argument}" if file_seen else ""
                raise UsageError(f"run has no option {name}{hint}")
            count = 2 if takes_value[name] and "=" not in argument else 1
            ours += arguments[index : index + count]
            index += count
        elif file_seen:
            return ours, _check_script_arguments(arguments[index:], set(takes_value))
        else:
            ours.append(argument)
            file_seen = True
            index += 1
    return ours, []


def _check_script_arguments(arguments: list[str], known: set[str]) -> list[str]:
    """The script's arguments, without a ``--`` among them; ours before it are refused."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    for argument in arguments[:end]:
        if argument.startswith("--") and argument.split("=", 1)[0] in known:
            raise UsageError(
                f"{argument} stands after the script's arguments: put it before them, "
                "or after -- to hand it to the script"
            )
    return arguments[:end] + arguments[end + 1 :]


# --- the commands -----------------------------------------------------------------


def _run(options: argparse.Namespace) -> int:
    if (options.read or options.write or options.library) and not options.sandbox:
        raise UsageError(
            "--read, --write and --library are for --sandbox: without it all is allowed"
        )
    budgets = (options.timeout, options.memory)
    if options.sandbox or options.json or any(budget is not None for budget in budgets):
        return _run_in_a_child(options)
    from .scripting import cells
    from .scripting.script import Script

    try:
        script = Script(options.file)
        chosen = cells.select(script.cells, options.cell) if options.cell else None
    except OSError as error:
        raise UsageError(_cannot_open(options.file, error)) from None
    except ValueError as error:
        raise UsageError(f"{options.file}: {error}") from None
    names = {}
    if not options.no_startup:
        from .scripting import startup

        names = startup.run_all(startup.enabled_paths())
    if not getattr(sys.flags, "safe_path", False) and not sys.flags.isolated:
        sys.path[0] = script.folder
    return script.run(options.script_arguments, chosen=chosen, names=names)


def _run_in_a_child(options: argparse.Namespace) -> int:
    from .scripting import running
    from .scripting.errors import SandboxUnavailable
    from .scripting.report import EXIT_UNAVAILABLE

    try:
        report = running.supervise(
            options.file,
            options.script_arguments,
            cells=options.cell,
            sandbox=options.sandbox,
            limits=running.budgets(options.sandbox, options.timeout, options.memory),
            read=options.read,
            write=options.write,
            libraries=options.library,
            startup=not options.no_startup,
            capture=options.sandbox or options.json,
            show=None if options.json else _show,
        )
    except SandboxUnavailable as error:
        if options.json:
            _print_json(
                {"status": "unavailable", "exit_code": EXIT_UNAVAILABLE, "reason": str(error)}
            )
        else:
            print(f"pycyxwiz: {error}", file=sys.stderr)
        return EXIT_UNAVAILABLE
    except OSError as error:
        raise UsageError(_cannot_open(error.filename or options.file, error)) from None
    except ValueError as error:
        raise UsageError(str(error)) from None
    if options.json:
        _print_json(report.as_dict())
    else:
        _print_ending(report)
    return report.exit_code


def _show(stream: str, text: str) -> None:
    from .scripting.report import printable

    target = sys.stdout if stream == "stdout" else sys.stderr
    target.write(printable(text))
    target.flush()


def _print_ending(report: "Report") -> None:
    from .scripting.report import printable

    if report.status not in ("finished", "failed", "refused"):
        print(f"pycyxwiz: {report.status}: {report.reason}", file=sys.stderr)
    for path in report.files_written:
        print(f"pycyxwiz: it wrote {printable(ascii(path)[1:-1])}", file=sys.stderr)


def _print_json(content: dict[str, Any]) -> None:
    import json

    print(json.dumps(content))


def _check(options: argparse.Namespace) -> int:
    from .scripting import check

    try:
        problems = check(options.file, libraries=options.library)
    except OSError as error:
        raise UsageError(_cannot_open(options.file, error)) from None
    for problem in problems:
        print(f"{options.file}:{problem.line}: {problem.kind}: {problem.message}")
    if not problems:
        print(f"{options.file}: no problems found")
    return PROBLEMS_FOUND if problems else 0


def _new(options: argparse.Namespace) -> int:
    from .scripting import templates

    file = options.file or f"{options.template}.cyx"
    try:
        templates.create(options.template, file)
    except ValueError as error:
        raise UsageError(str(error)) from None
    except FileExistsError:
        raise UsageError(f"{file} is there already") from None
    except OSError as error:
        raise UsageError(_cannot_open(file, error)) from None
    print(f"wrote {file}; next: pycyxwiz run {file}")
    return 0


def _templates(options: argparse.Namespace) -> int:
    from .scripting import templates

    for name in templates.names():
        print(f"{name:<24}{templates.title(name)}")
    return 0


def _startup(options: argparse.Namespace) -> int:
    from .scripting import startup

    if (options.file is None) == (options.action not in ("list", "run")):
        takes = "takes no FILE" if options.file else "needs a FILE"
        raise UsageError(f"startup {options.action} {takes}")
    if options.action == "run":
        startup.run_all(startup.enabled_paths())
    elif options.action == "list":
        for entry in startup.entries():
            print(f"{'on ' if entry.enabled else 'off'} {entry.path}")
    else:
        actions: dict[str, Callable[[], startup.Entry]] = {
            "add": lambda: startup.add(options.file, user=options.user),
            "remove": lambda: startup.remove(options.file),
            "enable": lambda: startup.set_enabled(options.file, enabled=True),
            "disable": lambda: startup.set_enabled(options.file, enabled=False),
        }
        try:
            entry = actions[options.action]()
        except (OSError, ValueError) as error:
            raise UsageError(str(error)) from None
        print(f"{options.action}: {entry.path} ({entry.list_file})")
    return 0


def _shell(options: argparse.Namespace) -> int:
    from .scripting.shell import interact

    return interact(startup=not options.no_startup)


def _convert(options: argparse.Namespace) -> int:
    from .scripting import convert

    try:
        convert(options.source, options.target, overwrite=options.overwrite)
    except FileExistsError:
        raise UsageError(f"{options.target} is there already; --overwrite replaces it") from None
    except OSError as error:
        raise UsageError(_cannot_open(error.filename or options.source, error)) from None
    except ValueError as error:
        raise UsageError(str(error)) from None
    return 0


def _selftest(options: argparse.Namespace) -> int:
    import pycyxwiz as cx

    from . import selftest

    try:
        device = cx.get_device(options.device, backend=options.backend)
    except cx.DeviceError as error:
        raise UsageError(str(error)) from None
    print(f"{device}: {device.name}, {device.memory_gb:.1f} GB, through {device.backend}")
    found = selftest.cases()
    wrong = []
    for difference in selftest.differences(device, found):
        wrong.append(difference.case.op)
        print(f"  differs: {difference}")
    count = sum(map(len, found.values()))
    right = len(found) - len(set(wrong))
    print(f"{right} of {len(found)} operations agree with the CPU ({count} cases)")
    gap = selftest.gradients(device)
    print(f"gradients of a network: {gap:.1e} from the CPU's, relative to the largest")
    print(f"\n{'workload':<50}{'cpu, ms':>10}{'there, ms':>12}")
    for name, here, there in selftest.speeds(device):
        print(f"{name:<50}{here:>10.2f}{there:>12.2f}")
    return 1 if wrong or gap > 1e-3 else 0


def _info(options: argparse.Namespace) -> int:
    import platform

    import pycyxwiz as cx

    from .scripting.sandbox import features

    rows = [
        ("pycyxwiz", cx.__version__),
        ("Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
        ("devices", ", ".join(f"{d.name} ({d.memory_gb:.1f} GB)" for d in cx.get_devices())),
        ("threads", str(cx.get_num_threads())),
        ("ISA", cx.isa()),
        ("oneDNN", cx.onednn_version()),
        *features.offers(),
    ]
    for name, value in rows:
        print(f"{name:<12}{value}")
    return 0


def _cannot_open(path: str, error: OSError) -> str:
    return f"can't open {path!r}: {error.strerror}"


if __name__ == "__main__":
    sys.exit(main())
