"""Calls that the kernel holds until the supervisor has answered: what may make a file or a thread.

Budgets that are only looked at now and then can be outrun. So a filter in front of the strict one
stops the script at each call that may make a file, open one for writing, start a thread or fill the
kernel's own memory (sockets, locks), and the supervisor measures before it lets the call go on
(seccomp's user notification).
"""

import _socket
import contextlib
import errno
import fcntl
import os
import select
import struct
from typing import NamedTuple

from . import bpf, kernel, seccomp
from .bpf import Bits, Rule
from .kernel import Architecture
from .syscalls import NUMBERS

# O_WRONLY, O_RDWR, O_CREAT, O_TRUNC, O_TMPFILE's own bit: the flags of a call that may write.
_WRITING = (0o1, 0o2, 0o100, 0o1000, 0o20000000)
_FLAGS_OF = {"openat": 2, "open": 1}
_ANY = 0xFFFFFFFF
_LOCKING = (6, 7)  # F_SETLK, F_SETLKW
_ALWAYS = ("creat", "mkdir", "mkdirat", "link", "linkat", "clone", "socketpair")

_RECEIVE, _SEND, _SET_FLAGS = 0xC0502100, 0xC0182101, 0x40082104
_SAME_PROCESSOR = struct.pack("=Q", 1)
_QUESTION, _ANSWER = struct.Struct("=Q8xi60x"), struct.Struct("=QqiI")
_GO_ON = 1
_DESCRIPTOR = struct.Struct("@i")


def filter_program(machine: Architecture) -> bytes:
    """The filter that asks; all other calls pass on to the next filter."""
    conditions: dict[str, list[list[Bits]]] = {
        **{name: [[Bits(n, bit, bit)] for bit in _WRITING] for name, n in _FLAGS_OF.items()},
        "fcntl": [[Bits(1, _ANY, command)] for command in _LOCKING],
        **{name: [] for name in _ALWAYS},
    }
    numbered = ((NUMBERS[name][machine.column], clauses) for name, clauses in conditions.items())
    rules = [
        Rule(number, bpf.ASK, clauses, otherwise=bpf.ALLOW)
        for number, clauses in numbered
        if number is not None
    ]
    return bpf.assemble(rules, machine.audit_code, others=bpf.ALLOW)


def ask_through(descriptor: int, machine: Architecture) -> None:
    """Install the filter on this process; whoever reads the socket ``descriptor`` gets to answer.

    The right to answer goes through the socket and is closed here: the script never has it.
    """
    listener = seccomp.install(filter_program(machine), listen=True)
    try:
        ancillary = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, _DESCRIPTOR.pack(listener))]
        end = _socket.socket(fileno=os.dup(descriptor))
        end.sendmsg([b"{}\n"], ancillary)
        end.close()
    finally:
        os.close(listener)


def pair() -> tuple[int, int]:
    """Descriptors of two connected sockets: the supervisor's and the child's."""
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM)
    return ours.detach(), theirs.detach()


def receive(descriptor: int, size: int) -> tuple[bytes, "Questions | None"]:
    """Read from the socket: data, and the right to answer when it came along. No data: the end."""
    end = _socket.socket(fileno=descriptor)
    try:
        data, ancillary, _, _ = end.recvmsg(
            size, _socket.CMSG_SPACE(_DESCRIPTOR.size), _socket.MSG_CMSG_CLOEXEC
        )
    except ConnectionResetError:  # it was killed before it had read what we told it
        return b"", None
    finally:
        end.detach()
    for _, _, content in ancillary:
        return data, Questions(*_DESCRIPTOR.unpack(content))
    return data, None


class Question(NamedTuple):
    """A call that waits: the kernel's token for it, and its name."""

    token: int
    name: str


class Questions:
    """The supervisor's end: readable when a call waits for an answer."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)
        with contextlib.suppress(OSError):  # since Linux 6.6: asker and answerer take turns
            fcntl.ioctl(descriptor, _SET_FLAGS, _SAME_PROCESSOR)
        machine = kernel.architecture()
        column = machine.column if machine else 0
        names = (*_FLAGS_OF, "fcntl", *_ALWAYS)
        self._names = {NUMBERS[name][column]: name for name in names}

    def next(self) -> Question | None:
        """The next waiting call; None when nobody waits (any more)."""
        question = bytearray(_QUESTION.size)
        try:
            fcntl.ioctl(self.descriptor, _RECEIVE, question)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.EINTR):
                return None  # killed or interrupted while it waited
            raise
        token, number = _QUESTION.unpack(question)
        return Question(token, self._names[number])

    def hung_up(self) -> bool:
        """Whether no process is left that could ask."""
        return any(event & select.POLLHUP for _, event in self._poll.poll(0))

    def let_go_on(self, question: Question) -> None:
        """Let the call go on, to the next filter and the kernel."""
        self._answer(question.token, 0, _GO_ON)

    def refuse(self, question: Question, code: int) -> None:
        """Let the call fail with this error."""
        self._answer(question.token, -code, 0)

    def _answer(self, token: int, error: int, flags: int) -> None:
        try:
            fcntl.ioctl(self.descriptor, _SEND, _ANSWER.pack(token, 0, error, flags))
        except OSError as error:
            if error.errno != errno.ENOENT:  # it was killed or interrupted meanwhile
                raise
