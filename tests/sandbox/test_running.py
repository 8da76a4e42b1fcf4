"""What a run reports, and that a script can't make the report lie or the parent stumble."""

import json
import os
import re
import subprocess
import sys
import time

import pytest

import pycyxwiz as cx
from pycyxwiz.scripting import running
from pycyxwiz.scripting.report import ending, printable
from pycyxwiz.scripting.sandbox import features, kernel, landlock, seccomp
from pycyxwiz.scripting.sandbox.limits import SANDBOX_LIMITS, Limits


@pytest.fixture
def sandboxed(tmp_path, monkeypatch):
    """``sandboxed(code, ...)`` runs code as a sandboxed script and returns the report."""
    monkeypatch.chdir(tmp_path)

    def run(code, *arguments, **options):
        (tmp_path / "script.cyx").write_text(code)
        options = {"sandbox": True, "startup": False, "timeout": 120, **options}
        return cx.scripting.run("script.cyx", arguments, **options)

    return run


def command(*arguments, cwd):
    return subprocess.run(
        [sys.executable, "-m", "pycyxwiz.cli", *arguments], cwd=cwd, capture_output=True, text=True
    )


def test_the_report_says_how_it_went(sandboxed):
    report = sandboxed("import sys\nprint(sys.argv[1:])\nprint('oops', file=sys.stderr)", "a", "b")
    assert (report.status, report.exit_code, report.reason) == ("finished", 0, "it finished")
    assert (report.stdout, report.stderr) == ("['a', 'b']\n", "oops\n")
    assert 0 < report.duration < 120
    assert 5 < report.peak_memory_mb < 200
    assert report.confinement[:3] == ["landlock", "seccomp", "rlimits"]


def test_files_written_are_listed(sandboxed, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/old").write_text("old")
    (tmp_path / "out/same").write_text("same")
    code = "for name in ('new', 'old'):\n    open('out/' + name, 'w').write('1')\nopen('out/same')"
    report = sandboxed(code, write=["out"])
    assert report.files_written == [str(tmp_path / "out/new"), str(tmp_path / "out/old")]


def test_files_written_are_listed_whatever_the_budgets(sandboxed, tmp_path):
    report = sandboxed("open('out/new', 'w')", write=["out"], limits=Limits(timeout=30))
    assert report.files_written == [str(tmp_path / "out/new")]


def test_files_are_counted_whatever_the_other_budgets(sandboxed, tmp_path):
    code = "for number in range(50): open(f'out/{number}', 'w')"
    report = sandboxed(code, write=["out"], limits=Limits(files=20))
    assert (report.status, report.reason) == ("disk", "it made more than 20 files")
    assert len(report.files_written) <= 22


def test_rewriting_a_file_many_times_is_within_the_budget(sandboxed):
    code = "for _ in range(300): open('out/same', 'w').write('x' * 10000)\nprint('done')"
    limits = Limits(files=2, disk_mb=1)
    assert sandboxed(code, write=["out"], limits=limits).stdout == "done\n"


def test_a_refusal_is_reported_with_its_line(sandboxed):
    report = sandboxed("%%markdown\ntext\n%%\nx = 1\nopen('/etc/passwd')\n")
    assert (report.status, report.exit_code) == ("refused", 126)
    assert report.refused == [
        ("reading '/etc/passwd' (--read grants a file or folder)", 5),
    ]
    assert 'script.cyx", line 5, in <module>' in report.stderr
    assert "scripting/sandbox" not in report.stderr


def test_a_refusal_can_be_caught(sandboxed):
    code = (
        "import pycyxwiz.scripting.errors as e\n"
        "try:\n    import subprocess\n"
        "except e.SandboxError as error:\n    print(error.action, error.line)\n"
    )
    report = sandboxed(code)
    assert report.stdout == "importing subprocess, which starts programs 3\n", report.stderr


@pytest.mark.parametrize(
    ("code", "status", "exit_code"),
    [
        ("raise SystemExit(7)", "failed", 7),
        ("1/0", "failed", 1),
        ("x = = 1", "failed", 1),
        ("import os; os._exit(0)", "finished", 0),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "killed", 137),
        ("import os; os.abort()", "killed", 134),
        ("raise KeyboardInterrupt", "interrupted", 130),
    ],
)
def test_the_end_is_what_the_kernel_says(sandboxed, code, status, exit_code):
    report = sandboxed(code)
    assert (report.status, report.exit_code) == (status, exit_code)


def test_a_script_that_prints_a_report_only_prints(tmp_path):
    lie = '{"status": "finished", "exit_code": 0}'
    (tmp_path / "liar.cyx").write_text(f"import os\nprint('{lie}', flush=True)\nos._exit(3)")
    result = command("run", "liar.cyx", "--sandbox", "--json", cwd=tmp_path)
    told = json.loads(result.stdout)
    assert result.returncode == 3
    assert (told["status"], told["exit_code"], told["stdout"]) == ("failed", 3, lie + "\n")


def test_writing_to_every_descriptor_changes_no_verdict(sandboxed):
    code = """
import os
message = b'{"ending": 0, "status": 0, "pid": 1, "peak_kb": 0, "not_confined": "x"}\\n1 x\\n'
for number in range(3, 256):
    try:
        os.write(number, message * 50)
    except OSError:
        pass
os._exit(5)
"""
    report = sandboxed(code)
    assert (report.status, report.exit_code) == ("failed", 5)
    assert all(refusal == ("x", 1) for refusal in report.refused)  # its own claims, no more


@pytest.mark.parametrize(
    "junk", ["b'\\xff' * 10**6", "b'[' * 10**6", "b'x 1\\n99999999999 x\\n-1 x\\n1 \\n' * 9"]
)
def test_junk_on_the_courtesy_pipe_is_dropped(sandboxed, junk):
    report = sandboxed(
        f"import os\nfor n in range(3, 64):\n  try: os.write(n, {junk})\n  except OSError: pass"
    )
    assert report.status == "finished"
    assert report.refused == []


def test_output_can_not_drive_the_terminal(tmp_path):
    code = "import sys\nprint('\\x1b]0;mine\\x07\\x1b[2J \\x9b2J \\u202e nice\\ttab')\n"
    code += "print('\\x1b[31m', file=sys.stderr)"
    (tmp_path / "s.cyx").write_text(code)
    result = command("run", "s.cyx", "--sandbox", cwd=tmp_path)
    assert result.stdout == "␛]0;mine\ufffd␛[2J \ufffd2J \ufffd nice\ttab\n"
    assert result.stderr == "␛[31m\n"


def test_json_output_is_one_line_of_plain_ascii(tmp_path):
    (tmp_path / "s.cyx").write_text("print('\\x1b[2J\\u202e\\x00é')\nopen('out/\\x1bname', 'w')")
    result = command("run", "s.cyx", "--sandbox", "--json", "--write", "out", cwd=tmp_path)
    assert re.fullmatch(r"[ -~]+\n", result.stdout)
    told = json.loads(result.stdout)
    assert told["stdout"] == "\x1b[2J\u202e\x00é\n"
    assert told["files_written"] == [str(tmp_path / "out/\x1bname")]


def test_bytes_that_are_not_text_are_replaced(sandboxed):
    report = sandboxed("import os\nos.write(1, b'a\\xffb\\xc3')")
    assert report.stdout == "a\ufffdb"


def test_deep_recursion_hurts_only_itself(sandboxed):
    code = "import sys\nsys.setrecursionlimit(10**8)\nx = []\nfor _ in range(200_000): x = [x]\nrepr(x)"
    assert sandboxed(code, memory_mb=512).status in ("killed", "failed", "memory")
    assert sandboxed("print(1)").status == "finished"


def test_the_end_of_the_supervisor_is_the_end_of_the_script(tmp_path):
    """Killed without a chance to tidy up, it takes the script with it."""
    (tmp_path / "s.cyx").write_text("import time\nprint('up', flush=True)\ntime.sleep(60)")
    parent = subprocess.Popen(
        [sys.executable, "-m", "pycyxwiz.cli", "run", "s.cyx", "--sandbox"],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
    )
    assert parent.stdout.readline() == b"up\n"
    children = _descendants(parent.pid)
    assert len(children) >= 2
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 5
    while any(_alive(pid) for pid in children):
        assert time.monotonic() < deadline, "the script lives on"
        time.sleep(0.02)


def _descendants(pid):
    children = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True
    ).stdout.split()
    return [found for child in map(int, children) for found in (child, *_descendants(child))]


def _alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_nothing_is_left_behind(sandboxed, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "t"))
    (tmp_path / "t").mkdir()
    code = """
import os, tempfile
os.chdir(tempfile.gettempdir())
for _ in range(300):
    os.mkdir('d', 0o700)
    os.chdir('d')
os.mkdir('closed', 0)
open('file', 'w').write('x')
"""
    assert sandboxed(code).status == "finished"
    assert os.listdir(tmp_path / "t") == []


@pytest.mark.parametrize(
    ("patches", "feature"),
    [
        ([(landlock, "abi_version", lambda: 0)], "Landlock (Linux 5.13 or newer"),
        ([(seccomp, "available", lambda: False)], "seccomp filters"),
        ([(os.path, "exists", lambda path: False)], "/proc (the supervisor measures there"),
        ([(kernel, "architecture", lambda: None)], "a processor it knows: x86_64 or aarch64"),
    ],
)
def test_without_a_wall_the_sandbox_refuses_to_start(
    sandboxed, monkeypatch, tmp_path, patches, feature
):
    for target, name, value in patches:
        monkeypatch.setattr(target, name, value)
    with pytest.raises(cx.scripting.SandboxUnavailable) as caught:
        sandboxed("open('ran', 'w')", write=["."])
    assert str(caught.value).startswith(f"the sandbox can't start: this machine lacks {feature}")
    assert not (tmp_path / "ran").exists()


def test_elsewhere_than_linux_the_sandbox_refuses(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert features.missing() == ["Linux (this is darwin)"]


def test_a_failing_wall_stops_the_run_before_the_script(tmp_path):
    """The kernel claims the features but the child can't use them: exit code 125, nothing ran."""
    (tmp_path / "s.cyx").write_text("print('ran')")
    code = (
        "import sys\nfrom pycyxwiz.scripting.sandbox import features\n"
        "features.missing = lambda: []\n"
        "import resource\nfrom pycyxwiz import cli\n"
        "import ctypes, struct\n"
        # A filter on ourselves that makes landlock_restrict_self (446) fail, then the run.
        "program = struct.pack('=' + 'HBBI' * 4, 0x20, 0, 0, 0, 0x15, 0, 1, 446,"
        " 6, 0, 0, 0x50001, 6, 0, 0, 0x7fff0000)\n"
        "from pycyxwiz.scripting.sandbox import kernel, seccomp\n"
        "kernel.set_no_new_privileges()\nseccomp.install(program)\n"
        "sys.exit(cli.main(['run', 's.cyx', '--sandbox', '--json']))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert result.returncode == 125, result
    told = json.loads(result.stdout)
    assert told["status"] == "unavailable"
    assert "landlock_restrict_self" in told["reason"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"read": ["missing"]}, "missing: no such file or folder"),
        ({"read": ["/"]}, "/: a script can't have /"),
        ({"read": ["/proc/self"]}, "a script can't have /proc/"),
        ({"write": ["/dev"]}, "/dev: a script can't have /dev"),
        ({"write": ["/sys/new"]}, "/sys/new: a script can't have /sys/new"),
        ({"timeout": 0}, "timeout is 0: it must be more than 0"),
        ({"timeout": float("nan")}, "timeout is nan: it must be more than 0"),
        ({"timeout": float("inf")}, "timeout is inf: it must be more than 0, and less than 1e+09"),
        ({"write": ["script.cyx"]}, "script.cyx: it is a file; a script writes in folders"),
        ({"memory_mb": -1}, "memory_mb is -1: it must be more than 0"),
        ({"cells": ["nine"]}, "no code cell 'nine'"),
    ],
)
def test_senseless_options_are_refused(sandboxed, options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        sandboxed("print('ran')", **options)


def test_a_hard_link_made_before_is_refused(sandboxed, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "secret").write_text("secret")
    os.link(tmp_path / "secret", tmp_path / "data/innocent")
    with pytest.raises(ValueError, match="innocent is a hard link to a file outside"):
        sandboxed("print(open('data/innocent').read())", read=["data"])
    os.unlink(tmp_path / "secret")
    os.link(tmp_path / "data/innocent", tmp_path / "data/twin")
    report = sandboxed("print(open('data/innocent').read())", read=["data"])
    assert report.stdout == "secret\n"


def test_a_script_that_never_got_to_start_in_its_time_is_reported_so(sandboxed):
    report = sandboxed("import time; time.sleep(9); print('ran')", timeout=0.001)
    assert (report.status, report.exit_code, report.stdout) == ("timeout", 124, "")


def test_the_command_and_the_function_report_the_same(sandboxed, tmp_path):
    code = "import sys\nprint(sys.argv)\nopen('out/x', 'w')\nopen('/etc/passwd')"
    ours = sandboxed(code, "a", write=["out"], cells=["1"]).as_dict()
    options = ["--sandbox", "--no-startup", "--write", "out", "--cell", "1", "--timeout", "120"]
    result = command("run", "script.cyx", *options, "--json", "--", "a", cwd=tmp_path)
    theirs = json.loads(result.stdout)
    for told in (ours, theirs):
        assert told.pop("duration") > 0
        assert told.pop("peak_memory_mb") > 0
    assert theirs == json.loads(json.dumps(ours))
    assert (theirs["status"], theirs["refused"][0]["line"]) == ("refused", 4)


def test_without_the_sandbox_budgets_hold_too(tmp_path):
    (tmp_path / "s.cyx").write_text("import os, time\nprint('up', flush=True)\ntime.sleep(60)")
    result = command("run", "s.cyx", "--timeout", "4", cwd=tmp_path)
    assert (result.returncode, result.stdout) == (124, "up\n")
    assert result.stderr == "pycyxwiz: timeout: its 4 s were up\n"


def test_without_the_sandbox_everything_is_allowed(tmp_path):
    (tmp_path / "s.cyx").write_text("import os, subprocess\nprint(os.environ['CANARY'])")
    report = running.supervise(
        str(tmp_path / "s.cyx"),
        [],
        cells=[],
        sandbox=False,
        limits=SANDBOX_LIMITS,
        read=[],
        write=[],
    )
    assert "KeyError" in report.stderr  # but nothing is refused
    assert report.confinement == []


def test_read_without_sandbox_is_a_mistake_worth_naming(tmp_path):
    (tmp_path / "s.cyx").write_text("")
    result = command("run", "s.cyx", "--read", ".", cwd=tmp_path)
    assert result.returncode == 2
    assert "--read, --write and --library are for --sandbox" in result.stderr


def test_ending_reads_the_status_of_wait():
    assert ending(0)[:2] == ("finished", 0)
    assert ending(9) == ("killed", 137, "SIGKILL ended it")
    assert ending(31)[:2] == ("killed", 159)
    assert ending(64)[2] == "SIGRTMAX ended it"


def test_printable_keeps_words_and_lines():
    assert printable("a\tb\r\nüñ🙂") == "a\tb\r\nüñ🙂"
