"""The parent's side of a run: start the child, watch its budgets, collect what it says.

Nothing the script does reaches this process but bytes on three pipes: its output, which is only
ever text, and the courtesy messages, which are checked and reported as the script's own claims.
How the run ended is what the kernel told the child's outer process.
"""

import codecs
import contextlib
import errno
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from ..errors import SandboxUnavailable
from ..files import make_private_folder, remove_tree
from ..report import EXIT_BUDGET, EXIT_INTERRUPTED, EXIT_TIMEOUT, Refusal, Report, ending
from . import cgroups, meter, questions
from .grants import Grant
from .limits import Limits

Show = Callable[[str, str], None]

_POLL_SECONDS, _MIN_POLL_SECONDS = 0.05, 0.005
_MEMORY_BYTES_PER_SECOND = 8 << 30  # how fast we expect a script to fill memory at most
_DISK_BYTES_PER_SECOND = 2 << 30  # how fast we expect a script to write at most
_DISK_SECONDS = 0.25  # between two looks at the folders, at most
_DISK_SHARE = 0.02  # of our time that measuring folders may take
# Each costs memory of the kernel's that counts as nobody's: 200 kB a socket, 200 bytes a lock.
_MAX_SOCKETS, _MAX_LOCKS = 64, 2_000
_CHUNK = 1 << 16
_DRAIN_SECONDS = 1.0
_MAX_COURTESY_BYTES = 1 << 17
_MB = 1 << 20


class Job(NamedTuple):
    """What to run and within which walls; ``plan`` is what the child gets to read."""

    plan: dict[str, Any]
    limits: Limits
    environment: Mapping[str, str]
    grants: list[Grant]
    output_folders: list[str]
    capture: bool
    show: Show | None


def run(job: Job) -> Report:
    """Carry out a job. Raises ``SandboxUnavailable`` when the child could not confine itself."""
    while True:
        private = make_private_folder()
        try:
            with _control_group(job) as group:
                return _Run(job, private, group).report()
        except _NoNamespaces:
            job.plan["namespaces"] = False
        finally:
            remove_tree(private)


@contextlib.contextmanager
def _control_group(job: Job) -> Iterator[cgroups.Group | None]:
    """A control group for the run where this user may have one, None elsewhere."""
    folder = cgroups.find().folder if job.plan["sandbox"] else ""
    group = None
    if folder:
        limits = job.limits
        with contextlib.suppress(OSError):
            group = cgroups.Group(folder, memory_mb=limits.memory_mb, threads=limits.threads)
    if group is None:
        yield None
    else:
        with group:
            yield group


class _NoNamespaces(Exception):
    pass


class _Verdict(NamedTuple):
    status: str
    exit_code: int
    reason: str


class _Run:
    """One child, from start to report."""

    def __init__(self, job: Job, private: str, group: cgroups.Group | None) -> None:
        self._job = job
        self._group = group
        self._limits = job.limits
        self._scratch = os.path.join(private, "tmp")
        os.mkdir(self._scratch)
        os.mkdir(os.path.join(private, "root"))
        folders = [*job.output_folders, self._scratch]
        self._disk = meter.Disk(folders, self._limits.disk_mb, self._limits.files)
        self._outputs = _Outputs(self._limits.output_mb, job.show)
        self._courtesy = self._told = b""
        self._pid = 0
        self._handle: int | None = None
        self._peak_kb = self._lock_calls = 0
        self._poll_seconds = _POLL_SECONDS
        self._next_check = 0.0
        self._verdict: _Verdict | None = None
        self._ended: int | None = None
        self._start = time.monotonic()
        self._next_disk_check = self._start
        self._selector = selectors.DefaultSelector()
        self._process = self._spawn(private)

    def report(self) -> Report:
        """Wait for the end, by itself or by force, and say how it was."""
        try:
            self._watch()
        except KeyboardInterrupt:
            self._end("interrupted", EXIT_INTERRUPTED, "Ctrl-C")
        finally:
            self._kill()
            self._selector.close()
            if self._handle is not None:
                os.close(self._handle)
        duration = time.monotonic() - self._start
        messages = self._messages()
        if "no_namespaces" in messages:
            raise _NoNamespaces
        if "not_confined" in messages:
            raise SandboxUnavailable(f"the sandbox can't start: {messages['not_confined']}")
        if self._verdict is None:
            self._check_what_is_left(messages)
        if self._verdict is None:
            self._verdict = self._natural_ending(messages)
        peak_kb = max(self._peak_kb, int(messages.get("peak_kb", 0)))
        return Report(
            *self._verdict,
            duration=round(duration, 3),
            peak_memory_mb=round(peak_kb / 1024, 1),
            stdout=self._outputs.text("stdout"),
            stderr=self._outputs.text("stderr"),
            files_written=self._files_written(),
            refused=self._refusals(),
            confinement=_confinement(self._job.plan, self._group),
        )

    def _spawn(self, private: str) -> "subprocess.Popen[bytes]":
        plan = {
            **self._job.plan,
            "supervisor": os.getpid(),
            "limits": list(self._limits),
            "root": os.path.join(private, "root"),
            "grants": [*self._job.grants, Grant(self._scratch, write=True)],
        }
        with open(os.path.join(private, "plan"), "w+b") as file:
            file.write(json.dumps(plan).encode())
            file.seek(0)
            status, child_status = questions.pair()
            courtesy, child_courtesy = os.pipe()
            descriptors = (file.fileno(), child_status, child_courtesy)
            launch = os.path.join(os.path.dirname(os.path.abspath(__file__)), "launch.py")
            options = ["-I", "-B", "-X", "utf8"]
            output = subprocess.PIPE if self._job.capture else None
            process = subprocess.Popen(
                [sys.executable, *options, launch, *map(str, descriptors)],
                stdin=subprocess.DEVNULL if self._job.capture else None,
                stdout=output,
                stderr=output,
                env={**self._job.environment, **_scratch_environment(plan, self._scratch)},
                pass_fds=descriptors,
                start_new_session=True,
            )
        os.close(child_status)
        os.close(child_courtesy)
        self._admit(process.pid)
        with contextlib.suppress(BrokenPipeError):  # it has ended already
            os.write(status, b"\n")
        if process.stdout and process.stderr:
            self._listen(
                process.stdout.fileno(), _reader(lambda data: self._on_output("stdout", data))
            )
            self._listen(
                process.stderr.fileno(), _reader(lambda data: self._on_output("stderr", data))
            )
        self._listen(courtesy, _reader(self._on_courtesy))
        self._listen(status, self._on_status)
        self._status = status
        return process

    def _admit(self, pid: int) -> None:
        """Put the child into its control group; it starts nothing before it is told to go on."""
        if self._group is not None:
            try:
                self._group.add(pid)
            except OSError:  # the report's ``confinement`` will not name it
                self._group = None

    def _listen(self, descriptor: int, handler: Callable[[int], bool]) -> None:
        """Call ``handler`` when the descriptor can be read, until it says that was the end."""
        os.set_blocking(descriptor, False)
        self._selector.register(descriptor, selectors.EVENT_READ, handler)

    def _watch(self) -> None:
        """Until every pipe is closed, or soon after the child's end or a verdict."""
        deadline = None
        while self._selector.get_map() and (deadline is None or time.monotonic() < deadline):
            for key, _ in self._selector.select(self._poll_seconds):
                if not key.data(key.fd):
                    self._forget(key.fd)
            over = self._verdict is not None or self._status not in self._selector.get_map()
            if over and deadline is None:
                deadline = time.monotonic() + _DRAIN_SECONDS
            if not over and time.monotonic() >= self._next_check:
                self._check_budgets()

    def _forget(self, descriptor: int) -> None:
        self._selector.unregister(descriptor)
        if descriptor not in self._piped():
            os.close(descriptor)

    def _piped(self) -> set[int]:
        """Descriptors that belong to ``Popen``, which closes them itself."""
        streams = (self._process.stdout, self._process.stderr)
        return {stream.fileno() for stream in streams if stream is not None}

    def _on_output(self, stream: str, data: bytes) -> bool:
        if self._verdict is None and not self._outputs.add(stream, data):
            reason = f"it printed more than {self._limits.output_mb} MB"
            self._end("output", EXIT_BUDGET, reason)
        return True

    def _on_courtesy(self, data: bytes) -> bool:
        """Take the message, and hear no more of a script that has said too much."""
        self._courtesy += data
        return len(self._courtesy) < _MAX_COURTESY_BYTES

    def _on_status(self, descriptor: int) -> bool:
        data, asker = questions.receive(descriptor, _CHUNK)
        if asker is not None:
            self._listen(asker.descriptor, lambda _: self._on_question(asker))
        self._told += data
        if not self._pid:
            self._pid = int(self._messages().get("pid", 0))
            self._handle = meter.handle(self._pid)
        return bool(data)

    def _on_question(self, asker: questions.Questions) -> bool:
        """A call that may use up a budget waits for us."""
        if asker.hung_up():
            return False
        question = asker.next() if self._pid else None  # whom to measure is told at any moment
        if question is None:
            return True
        if question.name == "fcntl":
            self._count_lock()
        elif question.name == "socketpair":
            if meter.sockets(self._pid) >= _MAX_SOCKETS:
                asker.refuse(question, errno.EMFILE)
                return True
        elif question.name == "clone":
            self._check_budgets()
        else:
            self._disk.count_call()
            self._check_disk()
        if self._verdict is None:
            asker.let_go_on(question)
        return True

    def _count_lock(self) -> None:
        self._lock_calls += 1
        if self._lock_calls % _MAX_LOCKS == 0 and meter.locks(self._pid) > _MAX_LOCKS:
            self._end("memory", EXIT_BUDGET, f"it held more than {_MAX_LOCKS} file locks")

    def _messages(self) -> dict[str, Any]:
        messages: dict[str, Any] = {}
        for line in self._told.splitlines():
            messages.update(json.loads(line))
        return messages

    def _check_budgets(self) -> None:
        now = time.monotonic()
        limits = self._limits
        self._next_check = now + self._poll_seconds
        if limits.timeout is not None and now - self._start > limits.timeout:
            self._end("timeout", EXIT_TIMEOUT, f"its {limits.timeout:g} s were up")
        if not self._pid:
            return
        memory, threads = meter.memory_and_threads(self._pid)
        self._peak_kb = max(self._peak_kb, memory >> 10)
        if limits.memory_mb is not None:
            left = limits.memory_mb * _MB - memory
            if left < 0:
                reason = f"it used more than {limits.memory_mb} MB of memory"
                self._end("memory", EXIT_BUDGET, reason)
            soon = max(left / _MEMORY_BYTES_PER_SECOND, _MIN_POLL_SECONDS)
            self._poll_seconds = min(soon, _POLL_SECONDS)
        if limits.threads is not None and threads > limits.threads:
            self._end("threads", EXIT_BUDGET, f"it started more than {limits.threads} threads")
        self._check_disk()

    def _check_what_is_left(self, messages: Mapping[str, Any]) -> None:
        """A last look at the folders: no script is faster than this one."""
        self._pid = 0  # it has ended; its number may soon be another's
        if "ending" in messages:
            self._look_at_disk(still=True)

    def _check_disk(self) -> None:
        """Look at the folders when it is time to, and at once when a budget may be used up."""
        if self._disk.may_be_over(self._pid):
            with meter.held_still(self._pid, self._handle):
                self._look_at_disk(still=True)
        elif time.monotonic() >= self._next_disk_check:
            self._look_at_disk(still=False)

    def _look_at_disk(self, *, still: bool) -> None:
        start = time.thread_time()  # our own work: waiting for a busy machine is no reason to rest
        limits = self._limits
        try:
            bytes_left, files_left = self._disk.look(self._pid, still=still)
            if not still and min(bytes_left, files_left) < 0:  # what moved may have been seen twice
                with meter.held_still(self._pid, self._handle):
                    bytes_left, files_left = self._disk.look(self._pid, still=True)
        except OSError as error:
            reason = f"what it wrote can't be measured: {error.strerror}: {error.filename}"
            self._end("disk", EXIT_BUDGET, reason)
            return
        if bytes_left < 0:
            self._end("disk", EXIT_BUDGET, f"it wrote more than {limits.disk_mb} MB")
        if files_left < 0:
            self._end("disk", EXIT_BUDGET, f"it made more than {limits.files} files")
        soon = min(bytes_left / _DISK_BYTES_PER_SECOND, _DISK_SECONDS)
        rest = (time.thread_time() - start) / _DISK_SHARE
        self._next_disk_check = time.monotonic() + max(soon, rest)

    def _end(self, status: str, exit_code: int, reason: str) -> None:
        """End the run by force; the first verdict stands."""
        if self._verdict is None:
            self._verdict = _Verdict(status, exit_code, reason)
        self._kill()

    def _kill(self) -> None:
        """Kill the child's whole session and wait for the child."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _natural_ending(self, messages: dict[str, Any]) -> _Verdict:
        if self._group is not None and self._group.out_of_memory():
            reason = f"it used more than {self._limits.memory_mb} MB of memory"
            return _Verdict("memory", EXIT_BUDGET, reason)
        if "ending" not in messages:
            raise SandboxUnavailable(
                f"the child process ended early: {self._outputs.text('stderr').strip()}"
            )
        return _Verdict(*ending(messages["ending"]))

    def _files_written(self) -> list[str]:
        try:
            changed = self._disk.changed()
        except OSError:
            return []
        scratch = os.path.realpath(self._scratch) + "/"
        return [path for path in changed if not path.startswith(scratch)]

    def _refusals(self) -> list[Refusal]:
        """The courtesy messages that make sense; what does not is dropped."""
        refusals = []
        for line in self._courtesy.splitlines():
            number, _, action = line.partition(b" ")
            if number.isdigit() and len(number) < 10 and action:
                refusals.append(Refusal(action[:500].decode("utf-8", "replace"), int(number)))
        return refusals


def _reader(take: Callable[[bytes], bool]) -> Callable[[int], bool]:
    """A handler for ``_listen`` that hands on what comes, until there is no more or none wanted."""

    def read(descriptor: int) -> bool:
        data = os.read(descriptor, _CHUNK)
        return bool(data) and take(data)

    return read


class _Outputs:
    """What the script printed, decoded, up to a budget over both streams."""

    def __init__(self, budget_mb: int | None, show: Show | None) -> None:
        self._left = sys.maxsize if budget_mb is None else budget_mb * _MB
        self._show = show
        # As bytes: a script that prints byte by byte must not cost us a list of strings.
        self._data = {"stdout": bytearray(), "stderr": bytearray()}
        self._decoders = {name: _new_decoder() for name in self._data}

    def add(self, stream: str, data: bytes) -> bool:
        """Take what fits; returns whether all did."""
        fits = data[: self._left]
        self._left -= len(fits)
        self._data[stream] += fits
        if self._show:
            self._show(stream, self._decoders[stream].decode(fits))
        return len(fits) == len(data)

    def text(self, stream: str) -> str:
        """All of it; a character that the budget or the end cut in two is left out."""
        return _new_decoder().decode(bytes(self._data[stream]))


def _new_decoder() -> codecs.IncrementalDecoder:
    return codecs.getincrementaldecoder("utf-8")("replace")


def _scratch_environment(plan: Mapping[str, Any], scratch: str) -> dict[str, str]:
    """Where a sandboxed script's libraries may keep their temporary and configuration files."""
    if not plan["sandbox"]:
        return {}
    return {"HOME": scratch, "TMPDIR": scratch, "MPLCONFIGDIR": scratch, "XDG_CACHE_HOME": scratch}


def _confinement(plan: Mapping[str, Any], group: cgroups.Group | None) -> list[str]:
    if not plan["sandbox"]:
        return []
    further = {"namespaces": plan["namespaces"], "cgroup": group is not None}
    return ["landlock", "seccomp", "rlimits", *(name for name, stood in further.items() if stood)]
