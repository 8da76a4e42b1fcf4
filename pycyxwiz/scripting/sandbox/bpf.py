"""Seccomp filters as data: rules about system calls, assembled to the kernel's classic BPF.

A filter is a list of ``Rule``. It looks at the call's number and, where a rule says so, at the low
32 bits of integer arguments; it never follows pointers. The first rule for a number decides.
"""

import struct
from collections.abc import Sequence
from typing import NamedTuple

ALLOW = 0x7FFF0000
ASK = 0x7FC00000  # hold the call until the filter's listener has answered
KILL = 0x80000000  # the whole process, with SIGSYS
_ERRNO = 0x00050000

_LOAD, _AND, _JUMP_EQUAL, _JUMP_GREATER_EQUAL, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x06
_NUMBER_OFFSET, _ARCHITECTURE_OFFSET, _ARGUMENTS_OFFSET = 0, 4, 16
_MAX_INSTRUCTIONS = 4096

Instruction = tuple[int, int, int, int]


def fail(errno: int) -> int:
    """The action: the call does nothing and returns this error (0: it seems to succeed)."""
    return _ERRNO | errno


class Bits(NamedTuple):
    """A condition: ``(argument & mask) == value`` on the argument's low 32 bits."""

    argument: int
    mask: int
    value: int


class Rule(NamedTuple):
    """What happens to one system call.

    ``action`` applies when every condition of any one clause holds, or when there are no clauses;
    ``otherwise`` applies when there are clauses and none holds.
    """

    number: int
    action: int
    clauses: Sequence[Sequence[Bits]] = ()
    otherwise: int = KILL


def assemble(
    rules: Sequence[Rule],
    architecture: int,
    *,
    others: int = KILL,
    unknown: tuple[int, int] | None = None,
) -> bytes:
    """The filter as bytes for the kernel.

    ``others`` is what happens to calls of another processor's table and to numbers without a rule.
    ``unknown``: a number and an action; that number and those above it get the action.
    """
    program: list[Instruction] = [
        (_LOAD, 0, 0, _ARCHITECTURE_OFFSET),
        (_JUMP_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, others),
        (_LOAD, 0, 0, _NUMBER_OFFSET),
    ]
    if unknown is not None:
        first, action = unknown
        program += [
            (_JUMP_GREATER_EQUAL, 0, 3, first),
            (_JUMP_GREATER_EQUAL, 0, 1, 0x40000000),  # x86's second table, "x32"
            (_RETURN, 0, 0, KILL),
            (_RETURN, 0, 0, action),
        ]
    for rule in rules:
        body = _body(rule)
        program.append((_JUMP_EQUAL, 0, len(body), rule.number))
        program += body
    program.append((_RETURN, 0, 0, others))
    if len(program) > _MAX_INSTRUCTIONS:
        raise ValueError(f"the filter has {len(program)} instructions, the kernel takes 4096")
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


def _body(rule: Rule) -> list[Instruction]:
    """What runs when the number matches; it always ends in a return."""
    if not rule.clauses:
        return [(_RETURN, 0, 0, rule.action)]
    body: list[Instruction] = []
    for clause in rule.clauses:
        for left, bits in zip(range(len(clause) - 1, -1, -1), clause, strict=True):
            to_next_clause = 3 * left + 1
            body += [
                (_LOAD, 0, 0, _ARGUMENTS_OFFSET + 8 * bits.argument),
                (_AND, 0, 0, bits.mask),
                (_JUMP_EQUAL, 0, to_next_clause, bits.value),
            ]
        body.append((_RETURN, 0, 0, rule.action))
    return [*body, (_RETURN, 0, 0, rule.otherwise)]
