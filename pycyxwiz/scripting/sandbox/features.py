"""What this machine offers to a sandbox, and what it lacks."""

import os
import sys

from . import cgroups, kernel, landlock, namespaces, seccomp


def missing() -> list[str]:
    """What the sandbox can't do without and this machine does not have; empty if it can start."""
    if sys.platform != "linux":
        return [f"Linux (this is {sys.platform})"]
    if kernel.architecture() is None:
        return [f"a processor it knows: {' or '.join(kernel.ARCHITECTURES)}, 64-bit"]
    lacking = []
    if not os.path.exists("/proc/self/status"):
        lacking.append("/proc (the supervisor measures there what a script uses)")
    if landlock.abi_version() < 1:
        lacking.append("Landlock (Linux 5.13 or newer, with landlock among the active LSMs)")
    if not seccomp.available():
        lacking.append("seccomp filters (CONFIG_SECCOMP_FILTER)")
    return lacking


def offers() -> list[tuple[str, str]]:
    """Rows for ``pycyxwiz info``: each feature and what the kernel has of it."""
    lacking = missing()
    if sys.platform != "linux" or kernel.architecture() is None:
        return [("sandbox", f"not here: it needs {lacking[0]}")]
    abi = landlock.abi_version()
    forbidden = namespaces.forbidden()
    groups = cgroups.find()
    return [
        ("sandbox", "not here: it needs " + " and ".join(lacking) if lacking else "available"),
        ("Landlock", f"version {abi}" if abi else "no"),
        ("seccomp", "yes" if seccomp.available() else "no"),
        ("namespaces", f"no: {forbidden}" if forbidden else "yes"),
        ("cgroups", f"yes, in {groups.folder}" if groups.folder else f"no: {groups.why_not}"),
    ]
