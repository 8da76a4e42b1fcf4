"""``pycyxwiz check``: what it finds without running anything."""

import pytest

from pycyxwiz.scripting import check


def problems(write, code):
    path = write("s.cyx", code)
    return [(p.line, p.kind, p.message) for p in check(str(path))]


@pytest.mark.parametrize(
    "code", ["-" * 200_000 + "1", "a" + ".b" * 200_000, "a" + ".b" * 1500 + "()"]
)
def test_hostile_nesting_is_a_finding_and_no_crash(write, code):
    assert {kind for _, kind, _ in problems(write, code)} <= {"syntax"}


@pytest.mark.parametrize(
    "code",
    [
        "open('/etc/passwd')",
        "import pandas as pd\npd.read_csv('/home/me/../you/a.csv')",
        "from os import listdir as ls\nls('/')",
        "open('/usrx')",
    ],
)
def test_a_path_written_out_that_no_script_may_read_is_found(write, code):
    ((line, kind, message),) = problems(write, code)
    assert (line, kind) == (code.count("\n") + 1, "sandbox")
    assert message.startswith("the sandbox refuses the file or folder '/")
    assert message.endswith("' (unless --read or --write names it)")


def test_paths_that_may_be_readable_are_not_guessed_at(write):
    code = "open('data.csv'); open('/usr/share/x'); open(f'/{1}'); open(); open('/dev/null', 'w')"
    assert problems(write, code) == []


def test_an_honest_script_has_no_problems(write):
    code = """%%markdown
Some text, import nothing_at_all
%%
import os
import re
import numpy as np
import urllib.parse
# import subprocess
pattern = re.compile("os.system")
print(os.path.join("a", "b"), np.ones(3))
"""
    assert problems(write, code) == []


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("x = 1\ny = = 2", [(2, "syntax", "invalid syntax")]),
        ("return 1", [(1, "syntax", "'return' outside function")]),
        (
            "%%\n%%time\n",
            [
                (
                    2,
                    "syntax",
                    "unknown cell marker '%%time': "
                    "a cell starts with %%, %% TITLE, %%markdown or %%raw",
                )
            ],
        ),
        (
            "import no_such_module.part",
            [
                (1, "import", "there is no module no_such_module here"),
                (
                    1,
                    "sandbox",
                    "the sandbox refuses importing no_such_module.part, "
                    "which is not on its list of libraries",
                ),
            ],
        ),
        (
            "import os, subprocess",
            [
                (
                    1,
                    "sandbox",
                    "the sandbox refuses importing subprocess, which starts programs",
                )
            ],
        ),
        (
            "from urllib import request, parse",
            [
                (
                    1,
                    "sandbox",
                    "the sandbox refuses importing urllib.request, which reaches networks",
                )
            ],
        ),
        (
            "from os import system as run\nrun('ls')",
            [(2, "sandbox", "the sandbox refuses starting a program")],
        ),
        (
            "import os as o\nif True:\n    o.fork()",
            [(3, "sandbox", "the sandbox refuses starting a program")],
        ),
    ],
)
def test_problems_are_found(write, code, expected):
    assert problems(write, code) == expected


def test_an_import_with_an_answer_may_fail(write):
    code = "try:\n    import no_such_module\nexcept ImportError:\n    no_such_module = None\n"
    assert [kind for _, kind, _ in problems(write, code)] == ["sandbox"]


def test_modules_beside_the_script_are_known(write):
    write("helper.py", "")
    assert problems(write, "import helper") == []


def test_the_command_prints_problems_and_ends_with_1(pycyxwiz, write):
    write("s.cyx", "import socket")
    result = pycyxwiz("check", "s.cyx")
    assert result.returncode == 1
    assert result.stdout == (
        "s.cyx:1: sandbox: the sandbox refuses importing socket, which reaches networks\n"
    )
    write("s.cyx", "x = 1")
    result = pycyxwiz("check", "s.cyx")
    assert (result.returncode, result.stdout) == (0, "s.cyx: no problems found\n")
    assert pycyxwiz("check", "missing.cyx").returncode == 2


def test_checking_runs_nothing(pycyxwiz, write, tmp_path):
    write("s.cyx", "open('ran', 'w')")
    pycyxwiz("check", "s.cyx")
    assert not (tmp_path / "ran").exists()
