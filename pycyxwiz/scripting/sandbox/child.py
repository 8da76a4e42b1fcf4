"""The child process: confine itself, run the script, report how it ended.

It reads its plan, enters the namespaces, and forks the process that gives up everything else and
runs the script. It stays outside of that confinement itself, does nothing but wait, and tells the
supervisor the result through a descriptor that the script does not have.
"""

import json
import os
import signal
import sys
from typing import Any

from ..errors import SandboxError
from ..report import EXIT_REFUSED
from ..script import Script
from ..startup import run_all
from . import courtesy as courtesy_layer
from . import kernel, landlock, limits, namespaces, policy, questions, seccomp
from .grants import Grant

_LAST_DESCRIPTOR = 2**32 - 1


def main() -> int:
    """Carry out the plan; returns the exit code of whichever process it returns in."""
    plan_descriptor, status, courtesy = map(int, sys.argv[1:])
    with open(plan_descriptor, "rb") as file:
        plan: dict[str, Any] = json.load(file)
    kernel.die_with_parent()
    if os.getppid() != plan["supervisor"]:
        return 1  # it died before the line above
    os.read(status, 1)  # it has put us where it wants us
    try:
        init = _enter_namespaces(plan) if plan["namespaces"] else None
    except OSError as error:
        _tell(status, no_namespaces=str(error))
        return 1
    script = os.fork()
    if script == 0:
        return _be_the_script(plan, status, courtesy)
    _tell(status, pid=script)
    _, ending, usage = os.wait4(script, 0)
    _tell(status, ending=ending, peak_kb=usage.ru_maxrss)
    if init is not None:
        os.kill(init, signal.SIGKILL)
    return 0


def _enter_namespaces(plan: dict[str, Any]) -> int:
    """Enter them and start the first process of the PID namespace, whose end would end all."""
    namespaces.enter()
    namespaces.build_root(plan["root"], _grants(plan), plan["working_folder"])
    init = os.fork()
    if init == 0:
        kernel.die_with_parent()
        _close_from(0)
        while True:
            signal.pause()
    return init


def _be_the_script(plan: dict[str, Any], status: int, courtesy: int) -> int:
    """Confine this process for good, then run the startup scripts and the script."""
    kernel.die_with_parent()
    try:
        _confine(plan, status)
    except OSError as error:
        _tell(status, not_confined=str(error))
        return 1
    os.closerange(3, courtesy)
    _close_from(courtesy + 1)
    return _run(plan, courtesy)


def _close_from(first: int) -> None:
    """Close the descriptor and all above it, those too that lie beyond today's limit."""
    try:
        kernel.call("close_range", first, _LAST_DESCRIPTOR, 0)
    except OSError:  # Linux before 5.9, which has no sandbox either
        os.closerange(first, os.sysconf("SC_OPEN_MAX"))


def _confine(plan: dict[str, Any], status: int) -> None:
    """Give up everything the plan does not grant. The order matters; the last step is final."""
    budgets = limits.Limits(*plan["limits"])
    limits.apply(budgets, own_user_namespace=plan["namespaces"])
    if not plan["sandbox"]:
        return
    machine = kernel.architecture()
    if machine is None:
        raise OSError("unknown processor")
    limits.apply_confined()
    kernel.drop_capabilities()
    kernel.set_no_new_privileges()
    landlock.restrict((grant.path, grant.rights) for grant in _grants(plan))
    questions.ask_through(status, machine)
    seccomp.install(policy.build(machine, os.getpid()))


def _run(plan: dict[str, Any], courtesy: int) -> int:
    sys.path += [folder for folder in plan["import_folders"] if folder not in sys.path]
    script = Script(plan["file"], plan["source"].encode("utf-8", "surrogateescape"))
    sys.path.insert(0, script.folder)
    if plan["courtesy"]:
        courtesy_layer.install(plan, courtesy)
    names = run_all(plan["startup"])
    code = script.run(plan["arguments"], chosen=plan["chosen"], names=names)
    return EXIT_REFUSED if isinstance(script.error, SandboxError) else code


def _grants(plan: dict[str, Any]) -> list[Grant]:
    return [Grant(*grant) for grant in plan["grants"]]


def _tell(descriptor: int, **message: object) -> None:
    os.write(descriptor, json.dumps(message).encode() + b"\n")
