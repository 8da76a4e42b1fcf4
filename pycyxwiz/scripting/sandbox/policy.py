"""The system calls a sandboxed script may make, and what happens to the others.

Four groups: allowed, allowed with certain arguments only, refused with an error (what honest
libraries try and can do without), ignored (they seem to succeed). **Everything else kills the
process.** Landlock decides about files by path; this table decides about everything else.
"""

import errno
from collections.abc import Iterator

from . import bpf
from .bpf import Bits, Rule
from .kernel import Architecture
from .syscalls import FIRST_UNKNOWN, NUMBERS

ALLOWED = """
read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 lseek close
stat fstat lstat newfstatat statx access faccessat faccessat2 readlink readlinkat statfs fstatfs
getcwd chdir fchdir getdents getdents64 dup dup2 dup3 pipe pipe2 flock fsync fdatasync ftruncate
unlink unlinkat rmdir rename renameat link linkat umask fadvise64 copy_file_range sendfile
brk munmap mprotect mremap madvise mincore msync membarrier get_mempolicy
rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigtimedwait rt_sigsuspend sigaltstack
pause alarm setitimer getitimer restart_syscall
timer_create timer_settime timer_gettime timer_getoverrun timer_delete
futex set_robust_list set_tid_address rseq gettid getpid getppid exit exit_group wait4 waitid
sched_yield sched_getaffinity sched_getparam sched_getscheduler sched_get_priority_max
sched_get_priority_min getpriority arch_prctl getcpu
clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday time times getrusage sysinfo uname
getuid geteuid getgid getegid getgroups getresuid getresgid getpgrp getpgid getsid capget
select pselect6 poll ppoll epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2
eventfd eventfd2 timerfd_create timerfd_settime timerfd_gettime signalfd4
shutdown getsockopt getsockname getpeername
getrlimit getrandom
"""

REFUSED = {
    errno.EPERM: """
execve execveat fork vfork
socket connect bind listen accept accept4 sendmsg sendmmsg recvmsg recvmmsg setsockopt
tkill rt_sigqueueinfo rt_tgsigqueueinfo pidfd_open pidfd_send_signal pidfd_getfd
setsid setpgid setuid setgid setreuid setregid setresuid setresgid setgroups setfsuid setfsgid
capset setrlimit setpriority ioprio_set sched_setscheduler sched_setparam sched_setattr
chown fchown lchown fchownat symlink symlinkat mknod mknodat truncate
memfd_create inotify_init inotify_init1 inotify_add_watch inotify_rm_watch fanotify_init
shmget shmat shmctl shmdt semget semop semctl semtimedop msgget msgsnd msgrcv msgctl
mq_open mq_unlink mbind set_mempolicy migrate_pages move_pages mlock mlock2 mlockall munlock
munlockall sync syncfs sync_file_range readahead splice tee vmsplice name_to_handle_at
""",
    errno.ENOSYS: """
clone3 openat2 io_uring_setup io_uring_enter io_uring_register futex_waitv pkey_alloc pkey_free
pkey_mprotect landlock_create_ruleset landlock_add_rule landlock_restrict_self seccomp cachestat
""",
    errno.EOPNOTSUPP: """
fallocate setxattr lsetxattr fsetxattr getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr
removexattr lremovexattr fremovexattr
""",
}

# Landlock has no say over modes and times, and an owner may change them through a read-only
# descriptor. Copying a file sets both, so they are ignored rather than refused.
IGNORED = "chmod fchmod fchmodat fchmodat2 utime utimes utimensat futimesat"

_ANY = 0xFFFFFFFF
_SETUID_BITS = 0o6000
_O_WRITING = (1, 2)  # O_WRONLY, O_RDWR
_O_TRUNC, _O_CREAT_OR_TMPFILE = 0o1000, 0o20000100
# A thread that shares all: memory, folders, descriptors (or it could hide them), handlers.
_CLONE_THREAD = 0x00010F00
_CLOSE_RANGE_UNSHARE = 2
_RENAME_WHITEOUT = 4
# Signal, time namespace; pidfd, ptrace, vfork, parent; mounts; untraced; the other namespaces, I/O.
_CLONE_FORBIDDEN = 0xFF | 0xF000 | 0x20000 | 0x800000 | 0xFE000000
_MAP_SHARED, _MAP_ANONYMOUS = 0x01, 0x20
# Any limit but RLIMIT_CORE (4), whose value switches crash handlers off: see limits.py.
_NOT_CORE_LIMIT = [[Bits(1, 4, 0)], *([Bits(1, bit, bit)] for bit in (1, 2, 8))]
_AF_UNIX, _SOCK_TYPE, _SOCK_STREAM = 1, 0xF, 1
_MSG_OOB = 1  # urgent data: nobody's need, and kernels had flaws there

IOCTLS = {
    "TCGETS": 0x5401,
    "TIOCGWINSZ": 0x5413,
    "FIONREAD": 0x541B,
    "FIONBIO": 0x5421,
    "FIONCLEX": 0x5450,
    "FIOCLEX": 0x5451,
}
FCNTLS = {
    "F_DUPFD": 0,
    "F_GETFD": 1,
    "F_SETFD": 2,
    "F_GETFL": 3,
    "F_SETFL": 4,
    "F_GETLK": 5,
    "F_SETLK": 6,
    "F_SETLKW": 7,
    "F_DUPFD_CLOEXEC": 1030,
    "F_GETPIPE_SZ": 1032,
}
PRCTLS = {"PR_SET_NAME": 15, "PR_GET_NAME": 16, "PR_SET_VMA": 0x53564D41}


def build(machine: Architecture, pid: int) -> bytes:
    """The filter for process ``pid`` on this processor, ready for the kernel."""
    unknown = (FIRST_UNKNOWN, bpf.fail(errno.ENOSYS))
    return bpf.assemble(list(_rules(machine, pid)), machine.audit_code, unknown=unknown)


def _rules(machine: Architecture, pid: int) -> Iterator[Rule]:
    def numbers(names: str) -> Iterator[int]:
        found = (NUMBERS[name][machine.column] for name in names.split())
        return (number for number in found if number is not None)

    refused = bpf.fail(errno.EPERM)
    for name, clauses in _conditions(pid).items():
        for number in numbers(name):
            yield Rule(number, bpf.ALLOW, clauses, refused)
    for number in numbers(ALLOWED):
        yield Rule(number, bpf.ALLOW)
    for number in numbers(IGNORED):
        yield Rule(number, bpf.fail(0))
    for code, names in REFUSED.items():
        for number in numbers(names):
            yield Rule(number, bpf.fail(code))


def _conditions(pid: int) -> dict[str, list[list[Bits]]]:
    """Calls allowed with certain arguments; each entry lists the ways to be allowed."""
    own = [[Bits(0, _ANY, pid)]]
    own_or_self = [[Bits(0, _ANY, 0)], [Bits(0, _ANY, pid)]]
    return {
        # Shared anonymous memory would not count as this process's data.
        "mmap": [[Bits(3, _MAP_SHARED, 0)], [Bits(3, _MAP_ANONYMOUS, 0)]],
        "openat": _open(flags=2, mode=3),
        "open": _open(flags=1, mode=2),
        "creat": [[Bits(1, _SETUID_BITS, 0)]],
        "mkdir": [[Bits(1, _SETUID_BITS, 0)]],
        "mkdirat": [[Bits(2, _SETUID_BITS, 0)]],
        "clone": [[Bits(0, _CLONE_THREAD | _CLONE_FORBIDDEN, _CLONE_THREAD)]],
        "close_range": [[Bits(2, _CLOSE_RANGE_UNSHARE, 0)]],
        "renameat2": [[Bits(4, _RENAME_WHITEOUT, 0)]],  # it would leave a device behind
        "kill": own,
        "tgkill": own,
        "prlimit64": [[*process, *other] for process in own_or_self for other in _NOT_CORE_LIMIT],
        "sched_setaffinity": own_or_self,
        "socketpair": [[Bits(0, _ANY, _AF_UNIX), Bits(1, _SOCK_TYPE, _SOCK_STREAM)]],
        "sendto": [[Bits(3, _MSG_OOB, 0)]],
        "recvfrom": [[Bits(3, _MSG_OOB, 0)]],
        "fcntl": [[Bits(1, _ANY, command)] for command in FCNTLS.values()],
        "ioctl": [[Bits(1, _ANY, command)] for command in IOCTLS.values()],
        "prctl": [[Bits(0, _ANY, option)] for option in PRCTLS.values()],
    }


def _open(*, flags: int, mode: int) -> list[list[Bits]]:
    """No set-user-ID files, and no truncation through a read-only open, which Landlock 1 and 2
    (Linux 5.13 to 6.1) don't see."""
    modes = [Bits(mode, _SETUID_BITS, 0), Bits(flags, _O_CREAT_OR_TMPFILE, 0)]
    accesses = [Bits(flags, _O_TRUNC, 0), *(Bits(flags, bit, bit) for bit in _O_WRITING)]
    return [[plain, access] for plain in modes for access in accesses]
