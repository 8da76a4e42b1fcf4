"""No attack succeeds: as root and as an ordinary user, with the Python layer and without it, with
namespaces and without them. And each attack works where nothing stops it."""

import os
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import arena
from attacks import ATTACKS, FAMILIES
from bombs import BOMBS

PLAIN = {"root": True, "sandbox": False}
ROOT, USER = {"root": True, "sandbox": True}, {"root": False, "sandbox": True}
BARE = {"layer": False, "namespaces": False}
WALLS = {
    "root": ROOT,
    "root, no Python layer": {**ROOT, "layer": False},
    "root, only Landlock and seccomp": {**ROOT, **BARE},
    "user": USER,
    "user, no Python layer": {**USER, "layer": False},
    "user, only Landlock and seccomp": {**USER, **BARE},
}
# These need a capability that no root but the machine's own has.
MACHINE_ROOT_ONLY = {
    *("open_by_handle", "kernel_log", "making_a_device", "loading_a_kernel_program"),
    *("watching_performance", "page_fault_handler"),
}
X86_ONLY = {"other_system_call_table", "native_code_in_memory"}


@pytest.fixture(scope="session")
def battles():
    """Results of all arenas: ``battles["bombs" or "attacks", walls][name]``."""

    def battle(kind, walls):
        names = list(BOMBS if kind == "bombs" else ATTACKS)
        choice = PLAIN if walls == "none" else WALLS[walls]
        # Not in pytest's own folder, which it closes to the ordinary users that attack here.
        with tempfile.TemporaryDirectory(prefix="arena-") as folder:
            os.chmod(folder, 0o711)
            return arena.fight(folder, names=names, bombs=kind == "bombs", **choice)

    jobs = [(kind, walls) for kind in ("attacks", "bombs") for walls in ("none", *WALLS)]
    with ThreadPoolExecutor(2) as pool:
        results = pool.map(lambda job: battle(*job), jobs)
        return dict(zip(jobs, results, strict=True))


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_works_where_nothing_stops_it(battles, name):
    result = battles["attacks", "none"][name]
    if name in X86_ONLY and os.uname().machine != "x86_64":
        assert "x86 only" in result["how"] or not result["won"]
    elif name in MACHINE_ROOT_ONLY and os.geteuid() != 0:
        assert not result["won"], "works for any user: take it off MACHINE_ROOT_ONLY"
    else:
        assert result["won"], result["how"]


@pytest.mark.parametrize("walls", WALLS)
@pytest.mark.parametrize("name", ATTACKS)
def test_the_sandbox_holds(battles, name, walls):
    result = battles["attacks", walls][name]
    assert not result["won"], result["how"]
    assert not result["leaked"], "the secret was printed"
    assert result["harm"] == [], "files outside of the output folder changed"
    assert result["reached"] == [], "a listener was reached"
    assert result["victim"], "the victim process is gone"
    assert result.get("left", []) == [], "the output folder holds more than plain files"


@pytest.mark.parametrize("walls", WALLS)
def test_the_walls_named_in_the_report_stood(battles, walls):
    expected = ["landlock", "seccomp", "rlimits"]
    if WALLS[walls].get("namespaces", True):
        expected.append("namespaces")
    assert all(result["walls"] == expected for result in battles["attacks", walls].values())


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_goes_off_where_nothing_stops_it(battles, name):
    result = battles["bombs", "none"][name]
    assert result["won"], result["how"]


@pytest.mark.parametrize("walls", WALLS)
@pytest.mark.parametrize("name", BOMBS)
def test_budgets_hold(battles, name, walls):
    result = battles["bombs", walls][name]
    assert not result["won"], result["how"]
    assert result["status"] in BOMBS[name].endings, result["how"]
    limits = BOMBS[name].limits
    assert result["used"] <= (limits.get("disk_mb", 0) + 56) << 20
    assert result["made"] <= limits.get("files", 10_000) + 20  # a call of each of its threads
    assert result["seconds"] < limits.get("timeout", 30) + 9


@pytest.mark.parametrize("walls", ["root", "user"])
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("os_system", "the sandbox refuses starting a program (line "),
        (
            "subprocess_run",
            "the sandbox refuses importing subprocess, which starts programs (line ",
        ),
        ("os_fork", "the sandbox refuses starting a program (line "),
        ("plain_open", "the sandbox refuses reading "),
        ("pathlib_read", "the sandbox refuses reading "),
        ("pandas_read_csv", "the sandbox refuses reading "),
        ("numpy_fromfile", "the sandbox refuses reading "),
        ("open_for_writing", "the sandbox refuses writing "),
        ("numpy_save", "the sandbox refuses writing "),
        ("making_a_folder", "the sandbox refuses making the folder "),
        ("removing", "the sandbox refuses removing "),
        ("tcp", "the sandbox refuses importing socket, which reaches networks (line "),
        ("signalling_another_process", "the sandbox refuses signalling another process (line "),
    ],
)
def test_a_refusal_names_the_action_and_the_line(battles, name, message, walls):
    how = battles["attacks", walls][name]["how"]
    assert how.startswith(f"SandboxError: {message}")
    assert how.endswith(")")


@pytest.mark.parametrize(
    "name", ["tracing", "mounting", "new_namespaces", "loading_a_kernel_program"]
)
def test_a_forbidden_system_call_is_named_as_the_end(battles, name):
    result = battles["attacks", "root"][name]
    assert result["status"] == "killed"
    assert result["how"] == (
        "killed: SIGSYS: it made a system call that no sandboxed script may make"
    )


def test_there_are_enough_attacks_in_every_family():
    families = list(FAMILIES.values())
    assert len(ATTACKS) + len(BOMBS) >= 80
    assert all(families.count(family) >= 18 for family in set(families))
