"""The system-call filter as the kernel would run it, on both processors, one call at a time."""

import errno
import os
import select
import struct

import pytest

from pycyxwiz.scripting.sandbox import bpf, kernel, landlock, policy, questions
from pycyxwiz.scripting.sandbox.syscalls import NUMBERS

PID = 4242
MACHINES = list(kernel.ARCHITECTURES.values())
KILLED, ALLOWED, ASKED = "killed", "allowed", "asked"


def decide(machine, name, *arguments, number=None, audit_code=None, program=None):
    """Run the filter as the kernel does; returns KILLED, ALLOWED or the error's name."""
    if number is None:
        number = NUMBERS[name][machine.column]
    words = [*arguments, *[0] * (6 - len(arguments))]
    code = machine.audit_code if audit_code is None else audit_code
    data = struct.pack("=iIQ6Q", number, code, 0, *(word & (2**64 - 1) for word in words))
    program = program or policy.build(machine, PID)
    instructions = list(struct.iter_unpack("=HBBI", program))
    accumulator = index = 0
    while True:
        operation, if_true, if_false, value = instructions[index]
        index += 1
        if operation == 0x20:
            accumulator = struct.unpack_from("=I", data, value)[0]
        elif operation == 0x54:
            accumulator &= value
        elif operation == 0x15:
            index += if_true if accumulator == value else if_false
        elif operation == 0x35:
            index += if_true if accumulator >= value else if_false
        elif operation == 0x06:
            break
        else:
            raise AssertionError(f"instruction {operation:#x}")
    if value == bpf.ALLOW:
        return ALLOWED
    if value == bpf.KILL:
        return KILLED
    if value == bpf.ASK:
        return ASKED
    return errno.errorcode.get(value & 0xFFFF, "ignored")


@pytest.fixture(params=MACHINES, ids=lambda machine: machine.name)
def machine(request):
    return request.param


def test_every_name_in_the_policy_has_a_number_and_stands_in_one_group(machine):
    groups = [policy.ALLOWED, policy.IGNORED, *policy.REFUSED.values()]
    names = [name for group in groups for name in group.split()]
    names += policy._conditions(PID)
    assert len(names) == len(set(names))
    assert all(name in NUMBERS for name in names)
    used = [numbers[machine.column] for numbers in NUMBERS.values()]
    numbers = [number for number in used if number is not None]
    assert len(numbers) == len(set(numbers))


def test_the_tables_agree_with_what_the_filter_says(machine):
    expected = {ALLOWED: policy.ALLOWED, "ignored": policy.IGNORED}
    expected |= {errno.errorcode[code]: names for code, names in policy.REFUSED.items()}
    for answer, names in expected.items():
        for name in names.split():
            if NUMBERS[name][machine.column] is not None:
                assert decide(machine, name) == answer, name


def test_everything_else_is_killed(machine):
    named = {
        NUMBERS[name][machine.column]
        for group in (policy.ALLOWED, policy.IGNORED, *policy.REFUSED.values())
        for name in group.split()
    } | {NUMBERS[name][machine.column] for name in policy._conditions(PID)}
    for number in set(range(462)) - named:
        assert decide(machine, "", number=number) == KILLED


def test_calls_that_kernels_will_have_one_day_are_unknown(machine):
    assert decide(machine, "", number=462) == "ENOSYS"
    assert decide(machine, "", number=5000) == "ENOSYS"


def test_other_tables_are_killed(machine):
    assert decide(machine, "read", audit_code=0x40000003) == KILLED  # 32-bit x86
    assert decide(machine, "", number=0x40000000) == KILLED  # x32
    assert decide(machine, "", number=0x40000000 + 59) == KILLED


THREAD = 0x3D0F00
CASES = [
    ("clone", (THREAD,), ALLOWED),
    ("clone", (17,), "EPERM"),  # fork
    ("clone", (0x4100 | 17,), "EPERM"),  # vfork
    ("clone", (THREAD | 0x10000000,), "EPERM"),  # a user namespace
    ("clone", (THREAD & ~0x10000,), "EPERM"),
    ("clone", (THREAD & ~0x400,), "EPERM"),  # descriptors of its own would hide what it holds
    ("clone", (THREAD & ~0x200,), "EPERM"),
    ("clone", (THREAD & ~0x800,), "EPERM"),
    ("close_range", (3, 9, 0), ALLOWED),
    ("close_range", (3, 9, 4), ALLOWED),  # CLOSE_RANGE_CLOEXEC
    ("close_range", (3, 9, 2), "EPERM"),  # CLOSE_RANGE_UNSHARE
    ("renameat2", (-100, 0, -100, 0, 0), ALLOWED),
    ("renameat2", (-100, 0, -100, 0, 2), ALLOWED),  # RENAME_EXCHANGE
    ("renameat2", (-100, 0, -100, 0, 4), "EPERM"),  # RENAME_WHITEOUT leaves a device
    ("sendto", (3, 0, 9, 0x4000, 0, 0), ALLOWED),  # MSG_NOSIGNAL
    ("sendto", (3, 0, 9, 1, 0, 0), "EPERM"),  # MSG_OOB
    ("recvfrom", (3, 0, 9, 0, 0, 0), ALLOWED),
    ("recvfrom", (3, 0, 9, 1, 0, 0), "EPERM"),
    ("clone", (THREAD | 0x8000,), "EPERM"),
    ("mmap", (0, 4096, 3, 0x22, -1, 0), ALLOWED),  # private anonymous
    ("mmap", (0, 4096, 3, 0x01, 5, 0), ALLOWED),  # shared file
    ("mmap", (0, 4096, 3, 0x21, -1, 0), "EPERM"),  # shared anonymous
    ("mmap", (0, 4096, 3, 0x23, -1, 0), "EPERM"),
    ("mmap", (0, 4096, 7, 0x22, -1, 0), ALLOWED),  # run-time compilers write and execute
    ("openat", (-100, 0, 0o0, 0), ALLOWED),
    ("openat", (-100, 0, 0o1101, 0o666), ALLOWED),
    ("openat", (-100, 0, 0o1000, 0), "EPERM"),  # truncating through a read-only open
    ("openat", (-100, 0, 0o101, 0o4755), "EPERM"),
    ("openat", (-100, 0, 0o101, 0o2755), "EPERM"),
    ("openat", (-100, 0, 0o20200001, 0o4755), "EPERM"),
    ("openat", (-100, 0, 0, 0o7777), ALLOWED),  # the mode means nothing without O_CREAT
    ("mkdirat", (-100, 0, 0o777), ALLOWED),
    ("mkdirat", (-100, 0, 0o2777), "EPERM"),
    ("kill", (PID, 10), ALLOWED),
    ("kill", (PID + 1, 10), "EPERM"),
    ("kill", (-1, 9), "EPERM"),
    ("kill", (0, 9), "EPERM"),
    ("tgkill", (PID, 7, 10), ALLOWED),
    ("tgkill", (1, 1, 10), "EPERM"),
    ("prlimit64", (0, 7, 0, 0), ALLOWED),
    ("prlimit64", (1, 7, 0, 0), "EPERM"),
    *(("prlimit64", (0, limit, 0, 0), ALLOWED) for limit in range(16) if limit != 4),
    *(("prlimit64", (pid, 4, 0, 0), "EPERM") for pid in (0, PID)),  # RLIMIT_CORE
    ("socketpair", (1, 1, 0, 0), ALLOWED),
    ("socketpair", (1, 1 | 0o2000000, 0, 0), ALLOWED),
    ("socketpair", (1, 2, 0, 0), "EPERM"),  # a datagram socket could send anywhere
    ("socketpair", (1, 5, 0, 0), "EPERM"),
    ("socketpair", (2, 1, 0, 0), "EPERM"),
    ("ioctl", (0, 0x5401), ALLOWED),
    ("ioctl", (0, 0x5412), "EPERM"),  # TIOCSTI: typing into the terminal
    ("fcntl", (0, 3), ALLOWED),
    ("fcntl", (0, 8), "EPERM"),  # F_SETOWN: signals to others
    ("fcntl", (0, 6), ALLOWED),
    ("fcntl", (0, 37), "EPERM"),  # F_OFD_SETLK: a lock that names no process
    ("fcntl", (0, 1024), "EPERM"),  # F_SETLEASE
    ("fcntl", (0, 1026), "EPERM"),  # F_NOTIFY
    ("fcntl", (0, 1031), "EPERM"),  # F_SETPIPE_SZ
    ("prctl", (15,), ALLOWED),
    ("prctl", (1,), "EPERM"),  # PR_SET_PDEATHSIG
    ("prctl", (22,), "EPERM"),  # PR_SET_SECCOMP
    # Only the low 32 bits reach the kernel's int arguments: the high ones must not fool the filter.
    ("kill", ((1 << 32) | PID, 10), ALLOWED),
    ("ioctl", ((1 << 32) | 0, (1 << 32) | 0x5412), "EPERM"),
]


@pytest.mark.parametrize(("name", "arguments", "answer"), CASES)
def test_arguments_decide(machine, name, arguments, answer):
    assert decide(machine, name, *arguments) == answer


@pytest.mark.parametrize(
    ("name", "arguments", "answer"),
    [
        ("openat", (-100, 0, 0o0), ALLOWED),
        ("openat", (-100, 0, 0o2000000), ALLOWED),  # O_CLOEXEC
        ("openat", (-100, 0, 0o1), ASKED),
        ("openat", (-100, 0, 0o2), ASKED),
        ("openat", (-100, 0, 0o100), ASKED),
        ("openat", (-100, 0, 0o1000), ASKED),
        ("openat", (-100, 0, 0o20200000), ASKED),  # O_TMPFILE
        ("mkdirat", (-100, 0, 0o777), ASKED),
        ("linkat", (-100, 0, -100, 0, 0), ASKED),
        ("clone", (THREAD,), ASKED),
        ("socketpair", (1, 1, 0, 0), ASKED),
        ("fcntl", (3, 6), ASKED),
        ("fcntl", (3, 7), ASKED),
        ("fcntl", (3, 3), ALLOWED),
        ("write", (1, 0, 9), ALLOWED),
        ("renameat2", (-100, 0, -100, 0, 0), ALLOWED),
    ],
)
def test_what_uses_up_a_budget_is_asked_for(machine, name, arguments, answer):
    program = questions.filter_program(machine)
    assert decide(machine, name, *arguments, program=program) == answer


def test_every_allowed_call_that_makes_a_name_is_asked_for(machine):
    program = questions.filter_program(machine)
    allowed = {*policy.ALLOWED.split(), *policy._conditions(PID)}
    for name in allowed & {"open", "openat", "creat", "mkdir", "mkdirat", "link", "linkat"}:
        if NUMBERS[name][machine.column] is not None:
            assert decide(machine, name, 2**32 - 1, 0o101, 0o101, program=program) == ASKED


def test_the_asking_filter_leaves_other_tables_to_the_strict_one(machine):
    program = questions.filter_program(machine)
    assert decide(machine, "read", audit_code=0x40000003, program=program) == ALLOWED
    assert decide(machine, "", number=0x40000000, program=program) == ALLOWED


def test_a_call_waits_for_its_answer(tmp_path):
    """In a child, as the supervisor and the script would: it opens, we count and let it go on."""
    ours, theirs = questions.pair()
    child = os.fork()
    if child == 0:
        try:
            kernel.set_no_new_privileges()
            questions.ask_through(theirs, kernel.architecture())
            for number in range(3):
                os.close(os.open(tmp_path / str(number), os.O_CREAT | os.O_WRONLY))
            os.close(os.open(tmp_path / "0", os.O_RDONLY))
            try:
                os.mkdir(tmp_path / "folder")
            except OSError as error:
                os._exit(error.errno)
        finally:
            os._exit(1)
    os.close(theirs)
    data, asker = questions.receive(ours, 1 << 16)
    seen = []
    while select.select([asker.descriptor], [], [], 30)[0] and not asker.hung_up():
        question = asker.next()
        seen.append((question.name, sorted(path.name for path in tmp_path.iterdir())))
        if question.name == "openat":
            asker.let_go_on(question)
        else:
            asker.refuse(question, errno.EMFILE)
    os.close(ours)
    os.close(asker.descriptor)
    assert os.waitpid(child, 0)[1] >> 8 == errno.EMFILE
    assert data == b"{}\n"
    assert seen == [
        ("openat", []),
        ("openat", ["0"]),
        ("openat", ["0", "1"]),
        ("mkdir" if os.uname().machine == "x86_64" else "mkdirat", ["0", "1", "2"]),
    ]


def test_what_landlock_can_deny_grows_with_its_version():
    assert [landlock.handled(abi) for abi in (1, 2, 3, 4, 5, 6, 7, 11)] == [
        ((1 << 13) - 1, 0, 0),
        ((1 << 14) - 1, 0, 0),
        ((1 << 15) - 1, 0, 0),
        ((1 << 15) - 1, 3, 0),
        ((1 << 16) - 1, 3, 0),
        ((1 << 16) - 1, 3, 3),
        ((1 << 16) - 1, 3, 3),
        ((1 << 16) - 1, 3, 3),
    ]
