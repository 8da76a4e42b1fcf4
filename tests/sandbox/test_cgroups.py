"""Control groups, against folders that look like the kernel's: where they are used, and how.

The kernels that run these tests need not have a hierarchy that an ordinary process may divide.
"""

import os
import signal
from pathlib import Path

import pytest

import pycyxwiz as cx
from pycyxwiz.scripting.sandbox import cgroups
from pycyxwiz.scripting.sandbox.limits import SANDBOX_LIMITS


@pytest.fixture
def hierarchy(tmp_path):
    """``hierarchy(own, shared)``: where ``find`` says groups can be made, below ``tmp_path/cg``."""
    root = tmp_path / "cg"
    (root / "user/app").mkdir(parents=True)
    for folder in (root, root / "user", root / "user/app"):
        (folder / "cgroup.procs").write_text("")

    def find(own="/user/app/me.scope", shared="cpu memory pids"):
        (root / "user/app/cgroup.subtree_control").write_text(shared + "\n")
        mounts = tmp_path / "mountinfo"
        mounts.write_text(
            "25 1 0:23 / /proc rw - proc proc rw\n"
            f"30 1 0:27 / {root} rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
        )
        (tmp_path / "cgroup").write_text(f"12:pids:/elsewhere\n0::{own}\n")
        return cgroups.find(str(mounts), str(tmp_path / "cgroup"))

    return find


def test_a_group_is_made_beside_ours_where_memory_and_processes_are_shared_out(hierarchy, tmp_path):
    assert hierarchy() == cgroups.Place(str(tmp_path / "cg/user/app"))


@pytest.mark.parametrize(
    ("own", "shared", "why_not"),
    [
        ("/", "memory pids", "this process is in the root group"),
        ("/../escaped", "memory pids", "this process is in the root group"),
        ("/user/app/me.scope", "cpu pids", "cg/user/app does not share out memory"),
        ("/user/app/me.scope", "", "cg/user/app does not share out memory and pids"),
        ("/gone/me.scope", "memory pids", "cg/gone does not share out memory and pids"),
    ],
)
def test_elsewhere_it_says_why_not(hierarchy, own, shared, why_not):
    place = hierarchy(own, shared)
    assert place.folder == ""
    assert place.why_not.endswith(why_not)


def test_a_group_of_another_user_is_not_touched(hierarchy, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert hierarchy().why_not.endswith("cg/user/app belongs to another user")


def test_without_version_2_there_is_none(tmp_path):
    mounts, own = tmp_path / "mountinfo", tmp_path / "cgroup"
    mounts.write_text("31 30 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n")
    own.write_text("4:memory:/x\n")
    assert cgroups.find(str(mounts), str(own)).why_not == "version 2 is not mounted"
    assert cgroups.find(str(tmp_path / "gone"), str(own)).why_not.endswith(
        "No such file or directory"
    )


def contents(folder: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in folder.iterdir()}


def test_a_sandboxed_run_is_put_into_its_group_before_it_starts_anything(tmp_path, monkeypatch):
    place = tmp_path / "cg"
    place.mkdir()
    monkeypatch.setattr(cgroups, "find", lambda: cgroups.Place(str(place)))
    (tmp_path / "s.cyx").write_text("print('ran')")
    report = cx.scripting.run(tmp_path / "s.cyx", sandbox=True, startup=False, memory_mb=500)
    assert (report.status, report.stdout) == ("finished", "ran\n")
    assert report.confinement[-1] == "cgroup"
    (group,) = place.iterdir()
    files = contents(group)
    assert int(files.pop("cgroup.procs")) > 1
    assert files == {
        "memory.max": str((500 + 48) << 20),
        "memory.swap.max": "0",
        "memory.oom.group": "1",
        "pids.max": str(SANDBOX_LIMITS.threads + 16),
        "cgroup.kill": "1",
    }


def test_an_end_by_the_kernel_for_memory_is_reported_as_one(tmp_path, monkeypatch):
    """It ends the whole group, so nobody is left to say how the script ended."""

    class Full(cgroups.Group):
        def add(self, pid):
            Path(self._folder, "memory.events").write_text("low 0\noom 1\noom_kill 3\n")
            os.kill(pid, signal.SIGKILL)

    monkeypatch.setattr(cgroups, "find", lambda: cgroups.Place(str(tmp_path)))
    monkeypatch.setattr(cgroups, "Group", Full)
    (tmp_path / "s.cyx").write_text("")
    report = cx.scripting.run(tmp_path / "s.cyx", sandbox=True, startup=False, memory_mb=500)
    assert (report.status, report.exit_code) == ("memory", 123)
    assert report.reason == "it used more than 500 MB of memory"


def test_a_group_that_takes_no_process_is_not_named_in_the_report(tmp_path, monkeypatch):
    def refuse(group, pid):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(cgroups, "find", lambda: cgroups.Place(str(tmp_path)))
    monkeypatch.setattr(cgroups.Group, "add", refuse)
    (tmp_path / "s.cyx").write_text("print('ran')")
    report = cx.scripting.run(tmp_path / "s.cyx", sandbox=True, startup=False)
    assert report.stdout == "ran\n"
    assert "cgroup" not in report.confinement
    assert report.confinement[:3] == ["landlock", "seccomp", "rlimits"]


def test_a_plain_run_has_no_group(tmp_path, monkeypatch):
    monkeypatch.setattr(cgroups, "find", lambda: cgroups.Place(str(tmp_path / "cg")))
    (tmp_path / "s.cyx").write_text("print('ran')")
    assert cx.scripting.run(tmp_path / "s.cyx", startup=False).confinement == []
