"""Honest scripts run in the sandbox as they run without it, and nothing of them is refused."""

import sys
from pathlib import Path

import pytest

import pycyxwiz as cx
from pycyxwiz.scripting import templates

sys.path.insert(0, str(Path(__file__).parent))

from honest import LIBRARIES, PLAIN

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.cyx"))
PROGRAMS = {**PLAIN, **LIBRARIES}

# One sandboxed process runs many programs, each as if it were the main one.
RUNNER = """
def run_all(programs, **names):
    import sys, traceback
    for name, code in programs.items():
        print("BEGIN", name, flush=True)
        main = sys.modules["__main__"].__dict__
        main.update(names)
        try:
            exec(compile(code, __file__, "exec"), main)
        except BaseException:
            print(traceback.format_exc(), flush=True)
        else:
            print("DONE", name, flush=True)

run_all({programs!r}, DATA={data!r}, OUT={out!r})
# honest
"""


@pytest.fixture(scope="session", params=[True, False], ids=["sandbox", "plain"])
def honest_output(request, tmp_path_factory):
    """What the programs printed, and the report, with the sandbox on and off."""
    folder = tmp_path_factory.mktemp("honest")
    (folder / "data").mkdir()
    (folder / "data/table.csv").write_text("a,b\n1,2\n3,4\n")
    (folder / "data/helper.py").write_text("def double(x): return 2 * x\n")
    (folder / "out").mkdir()
    data, out = str(folder / "data"), str(folder / "out")
    script = folder / "honest.cyx"
    script.write_text(RUNNER.format(programs=PROGRAMS, data=data, out=out))
    options = {"sandbox": True, "read": [data], "write": [out]} if request.param else {}
    return cx.scripting.run(script, timeout=300, startup=False, **options)


def test_there_are_enough_honest_scripts():
    assert len(PROGRAMS) + len(templates.names()) + len(EXAMPLES) >= 40


@pytest.mark.parametrize("name", PROGRAMS)
def test_an_honest_script_is_not_refused(honest_output, name):
    _, found, rest = honest_output.stdout.partition(f"BEGIN {name}\n")
    assert found, honest_output
    assert f"DONE {name}\n" in rest.split("BEGIN ")[0], rest.split("BEGIN ")[0]


def test_nothing_was_refused(honest_output):
    assert honest_output.status == "finished", honest_output.stderr[-2000:]
    assert list(honest_output.refused) == []


@pytest.mark.parametrize("sandbox", [True, False], ids=["sandbox", "plain"])
@pytest.mark.parametrize("name", templates.names())
def test_a_template_runs(name, sandbox, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    templates.create(name, f"{name}.cyx")
    options = {"sandbox": True, "write": ["output"]} if sandbox else {}
    report = cx.scripting.run(f"{name}.cyx", timeout=300, startup=False, **options)
    assert report.status == "finished", report.stderr
    assert report.refused == []
    assert report.stdout


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs_in_the_sandbox(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    report = cx.scripting.run(
        path, ["out"], sandbox=True, write=["out"], timeout=300, startup=False
    )
    assert report.status == "finished", report.stderr
    assert report.refused == []
