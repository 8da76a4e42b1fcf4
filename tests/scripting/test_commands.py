"""The other commands: new, templates, startup, shell, convert."""

import re
import sys
import time

import pytest

from pycyxwiz.scripting import check, startup, templates

EXPECTED_TEMPLATES = {
    *("data_loading", "data_processing", "plotting", "model_training", "custom_function"),
    *("image_classification", "regression_with_pandas", "hyperparameter_search"),
}


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A user without startup scripts, in an empty project."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_templates_are_listed_with_what_they_show(pycyxwiz):
    result = pycyxwiz("templates")
    listed = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    assert set(listed) >= EXPECTED_TEMPLATES
    assert listed["plotting"] == "Plot curves, a histogram and a map into one picture"


@pytest.mark.parametrize("name", templates.names())
def test_templates_follow_one_layout(name):
    from pycyxwiz.scripting import read

    cells = read(templates.path(name))
    titles = [cell.title for cell in cells]
    assert cells[0].kind == "markdown"
    assert cells[0].body.startswith("# ")
    assert titles[1:3] == ["Settings", "Data"]
    assert titles[-1] == "Result"
    assert sum("# TODO: " in cell.body for cell in cells) >= 1
    assert check(templates.path(name)) == []


def test_new_writes_a_template_and_never_over_a_file(pycyxwiz, tmp_path):
    result = pycyxwiz("new", "plotting")
    assert (result.returncode, result.stdout) == (
        0,
        "wrote plotting.cyx; next: pycyxwiz run plotting.cyx\n",
    )
    with open(templates.path("plotting"), "rb") as file:
        assert (tmp_path / "plotting.cyx").read_bytes() == file.read()
    again = pycyxwiz("new", "plotting")
    assert (again.returncode, again.stderr) == (2, "pycyxwiz: plotting.cyx is there already\n")
    other = pycyxwiz("new", "plotting", "mine.cyx")
    assert other.returncode == 0


def test_an_unknown_template_lists_the_known_ones(pycyxwiz):
    result = pycyxwiz("new", "nothing")
    assert result.returncode == 2
    assert result.stderr.startswith("pycyxwiz: no template 'nothing': there are custom_function, ")


def test_startup_scripts_define_names_for_run(home, pycyxwiz, write):
    write("first.cyx", "rate = 0.5\n%%\ndef half(x): return x * rate\n")
    write("second.py", "rate = rate * 2\n")
    write("main.cyx", "print(half(4), rate, __name__)")
    assert pycyxwiz("startup", "add", "first.cyx").returncode == 0
    assert pycyxwiz("startup", "add", "second.py").returncode == 0
    assert pycyxwiz("run", "main.cyx").stdout == "2.0 1.0 __main__\n"
    assert pycyxwiz("run", "main.cyx", "--sandbox").stdout == "2.0 1.0 __main__\n"
    plain = pycyxwiz("run", "main.cyx", "--no-startup")
    assert "NameError: name 'half' is not defined" in plain.stderr


def test_the_list_is_managed_by_commands(home, pycyxwiz, write):
    a, b = write("a.py", "print('a')"), write("b.py", "print('b')")
    (home / "startup_scripts.txt").write_text("# mine\n\na.py  # first\n")
    pycyxwiz("startup", "add", "b.py", "--user")
    assert pycyxwiz("startup", "list").stdout == f"on  {a}\non  {b}\n"
    assert pycyxwiz("startup", "run").stdout == "a\nb\n"
    assert pycyxwiz("startup", "disable", "a.py").returncode == 0
    assert pycyxwiz("startup", "list").stdout == f"off {a}\non  {b}\n"
    assert pycyxwiz("startup", "run").stdout == "b\n"
    assert pycyxwiz("startup", "enable", "a.py").returncode == 0
    assert pycyxwiz("startup", "run").stdout == "a\nb\n"
    assert pycyxwiz("startup", "remove", "b.py").returncode == 0
    assert pycyxwiz("startup", "list").stdout == f"on  {a}\n"
    assert (home / "startup_scripts.txt").read_text().startswith("# mine\n\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["add", "missing.py"], "no such file: missing.py"),
        (["add"], "startup add needs a FILE"),
        (["list", "x"], "startup list takes no FILE"),
        (["remove", "x"], "x is on no list of startup scripts"),
        (["enable", "x"], "x is on no list of startup scripts"),
    ],
)
def test_startup_mistakes_are_named(home, pycyxwiz, arguments, message):
    result = pycyxwiz("startup", *arguments)
    assert (result.returncode, result.stderr) == (2, f"pycyxwiz: {message}\n")


def test_a_failing_startup_script_is_reported_and_the_next_goes_on(home, write, capsys):
    bad, good = write("bad.py", "x = 1\n1/0"), write("good.py", "y = 2")
    names = startup.run_all([str(bad), str(home / "gone.py"), str(good)])
    assert names == {"x": 1, "y": 2}
    errors = capsys.readouterr().err
    told = rf"startup script {re.escape(str(bad))} failed after \d\.\d s; going on\n"
    assert re.search(told, errors)
    assert "ZeroDivisionError" in errors
    assert "startup.py" not in errors
    assert "gone.py failed after" in errors
    assert "No such file or directory" in errors


def test_a_startup_script_that_exits_or_hangs_does_not_stop_the_others(home, write, capsys):
    leaves = write("leaves.py", "raise SystemExit(3)")
    hangs = write("hangs.py", "z = 1\nwhile True: pass")
    good = write("good.py", "y = 2")
    start = time.monotonic()
    names = startup.run_all([str(leaves), str(hangs), str(good)], timeout=0.2)
    assert time.monotonic() - start < 5
    assert names == {"z": 1, "y": 2}
    told = rf"startup script {re.escape(str(hangs))} timed out after (\d\.\d) s; going on\n"
    assert float(re.search(told, capsys.readouterr().err)[1]) >= 0.2


def test_the_shell_starts_with_cx_and_the_startup_names(home, pycyxwiz, write):
    write("first.py", "answer = 42")
    pycyxwiz("startup", "add", "first.py")
    result = pycyxwiz("shell", input="print(answer + len(cx.__name__))\n")
    assert "50" in result.stdout, result.stderr
    result = pycyxwiz("shell", "--no-startup", input="print('answer' in globals())\n")
    assert "False" in result.stdout


def test_where_ipython_is_installed_the_shell_is_its(home, pycyxwiz, write):
    write("first.py", "answer = 42")
    pycyxwiz("startup", "add", "first.py")
    result = pycyxwiz("shell", input="def f():\n    return answer + 1\n\nf()\n")
    assert "defined: cx, answer" in result.stdout, result.stderr
    assert "Out[2]: 43" in result.stdout


def test_without_ipython_the_shell_is_pythons(home, write, monkeypatch, capsys):
    from pycyxwiz.scripting import shell

    monkeypatch.setitem(sys.modules, "IPython.terminal.embed", None)
    lines = iter(["print(6 * 7, cx.__name__)"])

    def read(prompt=""):
        try:
            return next(lines)
        except StopIteration:
            raise EOFError from None

    monkeypatch.setattr("builtins.input", read)
    assert shell.interact(startup=False) == 0
    assert "42 pycyxwiz" in capsys.readouterr().out


def test_convert_goes_there_and_back(pycyxwiz, write, tmp_path):
    path = write("a.cyx", "%%markdown\n# Hi\n%% one\nx = 1\n")
    for other in ("a.ipynb", "a.py"):
        assert pycyxwiz("convert", "a.cyx", other).returncode == 0
        assert pycyxwiz("convert", other, "b.cyx", "--overwrite").returncode == 0
        assert (tmp_path / "b.cyx").read_bytes() == path.read_bytes()
    again = pycyxwiz("convert", "a.cyx", "a.py")
    assert (again.returncode, again.stderr) == (
        2,
        "pycyxwiz: a.py is there already; --overwrite replaces it\n",
    )
    wrong = pycyxwiz("convert", "a.cyx", "a.txt")
    assert wrong.returncode == 2
    assert "can't convert .cyx to .txt" in wrong.stderr


@pytest.mark.parametrize("command", ["run", "check", "new", "startup", "shell", "convert", "info"])
def test_every_command_explains_itself(pycyxwiz, command):
    result = pycyxwiz(command, "--help")
    assert result.returncode == 0
    assert result.stdout.startswith(f"usage: pycyxwiz {command}")
    examples = [line for line in result.stdout.splitlines() if line.startswith("  pycyxwiz ")]
    assert examples or command in ("shell", "info")


def test_version(pycyxwiz):
    assert pycyxwiz("--version").stdout.startswith("pycyxwiz ")
