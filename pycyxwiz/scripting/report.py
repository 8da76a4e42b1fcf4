"""What a run reports: the ``Report`` that ``cx.scripting.run`` returns and ``--json`` prints."""

from typing import Any, NamedTuple

# How a run can end. The first four are the script's doing, the others a budget's or the kernel's.
STATUSES = {
    "finished": "it ran to its end, or exited with code 0",
    "failed": "an exception ended it, or it exited with another code",
    "refused": "it did what the sandbox refuses and did not catch the SandboxError",
    "interrupted": "Ctrl-C",
    "timeout": "its time was up",
    "memory": "it used more memory than its budget",
    "disk": "it wrote more, or more files, than its budget",
    "output": "it printed more than its budget",
    "threads": "it started more threads than its budget",
    "killed": "a signal ended it; after SIGSYS: it made a system call that no script may make",
}

EXIT_TIMEOUT = 124
EXIT_UNAVAILABLE = 125
EXIT_REFUSED = 126
EXIT_BUDGET = 123
EXIT_INTERRUPTED = 130
_EXIT_SIGNAL = 128

_FORGED_LOOKS = {
    **dict.fromkeys((*range(32), *range(0x7F, 0xA0)), "\N{REPLACEMENT CHARACTER}"),
    **dict.fromkeys((*range(0x2028, 0x202F), *range(0x2066, 0x206A)), "\N{REPLACEMENT CHARACTER}"),
    **dict.fromkeys((0x061C, 0x200E, 0x200F), "\N{REPLACEMENT CHARACTER}"),
    0x1B: "\N{SYMBOL FOR ESCAPE}",
}
for _harmless in "\t\n\r":
    del _FORGED_LOOKS[ord(_harmless)]


class Refusal(NamedTuple):
    """Something the sandbox refused: what, and at which line of the script (0: not known).

    Told by the Python layer inside the script's process: a hostile script can add to these and
    hide them. ``status``, ``exit_code`` and ``reason`` come from outside and can't be forged.
    """

    action: str
    line: int


class Report(NamedTuple):
    """How a run ended.

    ``status`` is one of ``STATUSES``, ``reason`` one sentence for people. ``exit_code`` is what the
    command returns. ``duration`` is in seconds, ``peak_memory_mb`` the resident memory.
    ``files_written`` are the new and changed files in the writable folders. ``confinement`` lists
    the walls that stood; it is empty without the sandbox.
    """

    status: str
    exit_code: int
    reason: str
    duration: float
    peak_memory_mb: float
    stdout: str
    stderr: str
    files_written: list[str]
    refused: list[Refusal]
    confinement: list[str]

    def as_dict(self) -> dict[str, Any]:
        """For ``json.dumps``."""
        return {**self._asdict(), "refused": [refusal._asdict() for refusal in self.refused]}


def printable(text: str) -> str:
    r"""``text`` without what could drive or deceive a terminal: escape codes, bidi controls.

    >>> printable("\x1b[2Jcleared?\n")
    '␛[2Jcleared?\n'
    """
    return text.translate(_FORGED_LOOKS)


def ending(exit_status: int) -> tuple[str, int, str]:
    """Status, exit code and reason for what ``wait`` said about the script's process."""
    signal_number = exit_status & 0x7F
    if signal_number:
        return "killed", _EXIT_SIGNAL + signal_number, _signal_reason(signal_number)
    code = (exit_status >> 8) & 0xFF
    if code == 0:
        return "finished", 0, "it finished"
    if code == EXIT_REFUSED:
        return "refused", code, "it ended as a SandboxError ends a script (exit code 126)"
    if code == EXIT_INTERRUPTED:
        return "interrupted", code, "it ended as Ctrl-C ends a script (exit code 130)"
    return "failed", code, f"it ended with exit code {code}"


def _signal_reason(number: int) -> str:
    import signal

    name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
    if number == signal.SIGSYS:
        return "SIGSYS: it made a system call that no sandboxed script may make"
    return f"{name} ended it"
