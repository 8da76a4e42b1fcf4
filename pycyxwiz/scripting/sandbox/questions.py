"""Calls that the kernel holds until the supervisor has answered: what may make a file or a thread.

Budgets that are only looked at now and then can be outrun. So a filter in front of the strict one
stops the script at each call that may make a file, open one for writing or start a thread, and the
supervisor measures before it lets the call go on (seccomp's user notification).
"""

import _socket
import errno
import fcntl
import os
import select
import struct

from . import bpf, seccomp
from .bpf import Bits, Rule
from .kernel import Architecture
from .syscalls import NUMBERS

# O_WRONLY, O_RDWR, O_CREAT, O_TRUNC, O_TMPFILE's own bit: the flags of a call that may write.
_WRITING = (0o1, 0o2, 0o100, 0o1000, 0o20000000)
_FLAGS_OF = {"openat": 2, "open": 1}
_MAKING = ("creat", "mkdir", "mkdirat", "link", "linkat", "clone")

_RECEIVE, _SEND = 0xC0502100, 0xC0182101
_QUESTION, _ANSWER = struct.Struct("=QII64x"), struct.Struct("=QqiI")
_GO_ON = 1
_DESCRIPTOR = struct.Struct("@i")


def filter_program(machine: Architecture) -> bytes:
    """The filter that asks; all other calls pass on to the next filter."""
    rules = []
    for name, argument in _FLAGS_OF.items():
        number = NUMBERS[name][machine.column]
        if number is not None:
            clauses = [[Bits(argument, bit, bit)] for bit in _WRITING]
            rules.append(Rule(number, bpf.ASK, clauses, otherwise=bpf.ALLOW))
    for name in _MAKING:
        number = NUMBERS[name][machine.column]
        if number is not None:
            rules.append(Rule(number, bpf.ASK))
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
    """Read from the socket: data, and the right to answer when it came along."""
    end = _socket.socket(fileno=descriptor)
    try:
        data, ancillary, _, _ = end.recvmsg(
            size, _socket.CMSG_SPACE(_DESCRIPTOR.size), _socket.MSG_CMSG_CLOEXEC
        )
    finally:
        end.detach()
    for _, _, content in ancillary:
        return data, Questions(*_DESCRIPTOR.unpack(content))
    return data, None


class Questions:
    """The supervisor's end: readable when a call waits for an answer."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)

    def next(self) -> int | None:
        """The next waiting call's token; None when nobody waits (any more)."""
        question = bytearray(_QUESTION.size)
        try:
            fcntl.ioctl(self.descriptor, _RECEIVE, question)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.EINTR):
                return None  # killed or interrupted while it waited
            raise
        token: int = _QUESTION.unpack(question)[0]
        return token

    def hung_up(self) -> bool:
        """Whether no process is left that could ask."""
        return any(event & select.POLLHUP for _, event in self._poll.poll(0))

    def let_go_on(self, token: int) -> None:
        """Let the call that waits with this token go on, to the next filter and the kernel."""
        try:
            fcntl.ioctl(self.descriptor, _SEND, _ANSWER.pack(token, 0, 0, _GO_ON))
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise
