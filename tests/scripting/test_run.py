"""``pycyxwiz run``: what ``python FILE`` does, with cells, and nothing of ours in sight."""

import subprocess
import sys

import pytest

SHOW = "import sys\nprint(sys.argv, __name__, __file__, sys.path[0])\n"


def test_a_script_sees_what_python_would_show_it(pycyxwiz, write, tmp_path):
    path = write("show.cyx", SHOW)
    expected = f"{['show.cyx', 'a', '-b']} __main__ {path} {tmp_path}\n"
    assert pycyxwiz("run", "show.cyx", "a", "-b").stdout == expected


def test_main_is_the_script_also_for_pickle(pycyxwiz, write):
    write(
        "p.cyx", "import pickle\nclass A: pass\nprint(type(pickle.loads(pickle.dumps(A()))) is A)\n"
    )
    assert pycyxwiz("run", "p.cyx").stdout == "True\n"


def test_a_traceback_shows_the_scripts_lines_and_no_frames_of_ours(pycyxwiz, write):
    path = write("bad.cyx", "%%markdown\nSome <text>\n%% boom\ndef f():\n    return {}['k']\nf()\n")
    result = pycyxwiz("run", "bad.cyx")
    assert result.returncode == 1
    lines = [line for line in result.stderr.splitlines() if set(line) - set(" ~^")]
    assert lines == [
        "Traceback (most recent call last):",
        f'  File "{path}", line 6, in <module>',
        "    f()",
        f'  File "{path}", line 5, in f',
        "    return {}['k']",
        "KeyError: 'k'",
    ]


def test_a_syntax_error_looks_as_pythons_does(pycyxwiz, write):
    path = write("bad.cyx", "%%\nx = = 1\n")
    result = pycyxwiz("run", "bad.cyx")
    assert result.returncode == 1
    assert result.stderr.startswith(f'  File "{path}", line 2\n    x = = 1\n')
    assert result.stderr.endswith("SyntaxError: invalid syntax\n")


def test_a_syntax_error_inside_eval_keeps_the_scripts_frame(pycyxwiz, write):
    path = write("bad.cyx", "eval('1 +')\n")
    assert f'  File "{path}", line 1, in <module>\n' in pycyxwiz("run", "bad.cyx").stderr


def test_a_warning_names_the_files_own_line(pycyxwiz, write):
    path = write("warn.cyx", "%%markdown\ntext\n%%\nimport warnings\nwarnings.warn('careful')\n")
    assert pycyxwiz("run", "warn.cyx").stderr.startswith(f"{path}:5: UserWarning: careful\n")


@pytest.mark.parametrize(
    ("code", "exit_code", "stderr"),
    [
        ("", 0, ""),
        ("raise SystemExit", 0, ""),
        ("import sys; sys.exit(7)", 7, ""),
        ("import sys; sys.exit('no data')", 1, "no data\n"),
        (
            "import sys; sys.excepthook = lambda *a: print('mine', file=sys.stderr); 1/0",
            1,
            "mine\n",
        ),
        ("import atexit; atexit.register(print, 'bye'); raise SystemExit(3)", 3, ""),
    ],
)
def test_exit_codes_are_pythons(pycyxwiz, write, code, exit_code, stderr):
    write("s.cyx", code)
    result = pycyxwiz("run", "s.cyx")
    assert (result.returncode, result.stderr) == (exit_code, stderr)


def test_ctrl_c_ends_with_130(pycyxwiz, write):
    write("s.cyx", "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    result = pycyxwiz("run", "s.cyx")
    assert result.returncode == 130
    assert result.stderr.endswith("KeyboardInterrupt\n")


def test_one_cell_runs_alone(pycyxwiz, write):
    write("s.cyx", "print(1)\n%% two\nprint(2)\n%%\nprint(3)\n")
    assert pycyxwiz("run", "s.cyx", "--cell", "two", "--cell=3").stdout == "2\n3\n"


def test_after_two_dashes_everything_is_the_scripts(pycyxwiz, write):
    write("s.cyx", "import sys; print(sys.argv[1:])")
    assert pycyxwiz("run", "s.cyx", "--", "--cell", "--", "x").stdout == "['--cell', '--', 'x']\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "missing.cyx"], "pycyxwiz: can't open 'missing.cyx': No such file or directory\n"),
        (["run", "."], "pycyxwiz: can't open '.': Is a directory\n"),
        (
            ["run", "s.cyx", "--epochs", "3"],
            "pycyxwiz: run has no option --epochs; "
            "the script's own options go after --: -- --epochs\n",
        ),
        (
            ["run", "s.cyx", "data.csv", "--cell=1"],
            "pycyxwiz: --cell=1 stands after the script's arguments: put it before them, "
            "or after -- to hand it to the script\n",
        ),
        (
            ["run", "s.cyx", "--timeout", "0"],
            "pycyxwiz: timeout is 0.0: it must be more than 0, and less than 1e+09\n",
        ),
        (
            ["run", "s.cyx", "--sandbox", "--write", "s.cyx"],
            "pycyxwiz: s.cyx: it is a file; a script writes in folders\n",
        ),
        (
            ["run", "s.cyx", "--cell", "9"],
            "pycyxwiz: s.cyx: no code cell '9': this file has 1 to 1\n",
        ),
    ],
)
def test_wrong_usage_ends_with_2_and_says_why(pycyxwiz, write, arguments, message):
    write("s.cyx", "print('ran')")
    result = pycyxwiz(*arguments)
    assert (result.returncode, result.stdout, result.stderr) == (2, "", message)


def test_an_unknown_command_lists_the_known_ones(pycyxwiz):
    result = pycyxwiz("frobnicate")
    assert result.returncode == 2
    assert "invalid choice: 'frobnicate'" in result.stderr
    assert "run" in result.stderr


def test_help_shows_examples_and_exit_codes(pycyxwiz):
    assert "pycyxwiz run train.cyx" in pycyxwiz("--help").stdout
    assert "exit codes:" in pycyxwiz("run", "--help").stdout


def test_info_names_version_devices_threads_isa_and_onednn(pycyxwiz):
    result = pycyxwiz("info")
    assert result.returncode == 0, result.stderr
    names = [line.split()[0] for line in result.stdout.splitlines() if line[:1] != " "]
    assert names[:6] == ["pycyxwiz", "Python", "devices", "threads", "ISA", "oneDNN"]


def test_importing_the_package_does_not_import_scripting(tmp_path):
    code = (
        "import sys, pycyxwiz as cx; early = 'pycyxwiz.scripting' in sys.modules; "
        "print(early, cx.scripting.__name__)"
    )
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert result.stdout == "False pycyxwiz.scripting\n", result.stderr
