"""What a run may use: the budgets, and those of them that the kernel enforces as rlimits."""

import os
import resource
from typing import NamedTuple

_MB = 1 << 20
_FREE_ADDRESSES_MB = 16 << 10
_FREE_DATA_MB, _FREE_DATA_PER_CPU_MB = 256, 64


class Limits(NamedTuple):
    """The budgets of one run; None means no limit of ours.

    ``timeout`` in seconds of wall-clock time; ``disk_mb`` is what the writable folders may grow by,
    ``files`` how many files they may gain; ``output_mb`` bounds what is printed.
    """

    timeout: float | None = None
    memory_mb: int | None = None
    disk_mb: int | None = None
    files: int | None = None
    output_mb: int | None = None
    threads: int | None = None


SANDBOX_LIMITS = Limits(
    timeout=3600, memory_mb=4096, disk_mb=1024, files=10_000, output_mb=16, threads=512
)


def apply(limits: Limits, *, own_user_namespace: bool) -> None:
    """Set this process's rlimits, hard ones, for what the supervisor can only see afterwards."""
    if limits.memory_mb is not None:
        # Stacks and arenas reserve more than they use: the supervisor holds the exact line.
        slack = _FREE_DATA_MB + _FREE_DATA_PER_CPU_MB * (os.cpu_count() or 1)
        _set(resource.RLIMIT_DATA, (limits.memory_mb + slack) * _MB)
        _set(resource.RLIMIT_AS, (limits.memory_mb + slack + _FREE_ADDRESSES_MB) * _MB)
    if limits.disk_mb is not None:
        _set(resource.RLIMIT_FSIZE, limits.disk_mb * _MB)
    if limits.timeout is not None:
        cpus = os.cpu_count() or 1
        _set(resource.RLIMIT_CPU, int(limits.timeout * cpus) + 2)
    if limits.threads is not None and own_user_namespace:
        _set(resource.RLIMIT_NPROC, limits.threads)


def apply_confined() -> None:
    """The rlimits of every sandboxed run, whatever its budgets."""
    # 1, not 0: the kernel's special value for "no dump to a crash handler either".
    _set(resource.RLIMIT_CORE, 1)
    _set(resource.RLIMIT_NOFILE, 1024)
    _set(resource.RLIMIT_MEMLOCK, 0)
    _set(resource.RLIMIT_MSGQUEUE, 0)
    _set(resource.RLIMIT_SIGPENDING, 1024)
    _set(resource.RLIMIT_RTPRIO, 0)


def _set(kind: int, value: int) -> None:
    hard = resource.getrlimit(kind)[1]
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(kind, (value, value))
