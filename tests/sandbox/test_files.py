"""Walks over folders that change meanwhile, as a hostile script would change them."""

import os

import pytest

from pycyxwiz.scripting import files


def names(walked, folder):
    return sorted(os.path.relpath(path, folder) for path, _ in walked)


def test_a_walk_finds_everything_and_follows_no_link(tmp_path):
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/file").write_text("x")
    (tmp_path / "a/link").symlink_to("/usr")
    found = names(files.walk(str(tmp_path)), tmp_path)
    assert found == ["a", "a/b", "a/b/file", "a/link"]


def test_a_link_that_takes_a_folders_place_is_not_followed(tmp_path):
    """Also not higher up in the path than the folder that is opened next."""
    (tmp_path / "out/a/inner").mkdir(parents=True)
    (tmp_path / "secret/inner").mkdir(parents=True)
    (tmp_path / "secret/inner/name").write_text("x")
    (tmp_path / "secret/other").write_text("x")
    for swapped_after in ("a", "a/inner"):
        found = []
        for path, _ in files.walk(str(tmp_path / "out")):
            found.append(os.path.relpath(path, tmp_path / "out"))
            if found[-1] == swapped_after:
                (tmp_path / "out/a").rename(tmp_path / "kept")
                (tmp_path / "out/a").symlink_to(tmp_path / "secret")
        assert found == ["a", "a/inner"][: 1 + ("/" in swapped_after)]
        (tmp_path / "out/a").unlink()
        (tmp_path / "kept").rename(tmp_path / "out/a")


def test_a_folder_that_runs_ahead_of_the_walk_is_entered_once(tmp_path):
    for number in range(20):
        (tmp_path / f"{number:02}").mkdir()
    (tmp_path / "runner").mkdir()
    (tmp_path / "runner/file").write_text("x")
    place, seen = tmp_path / "runner", []
    for path, _ in files.walk(str(tmp_path)):
        if os.path.basename(path) == "file":
            seen.append(path)
            for number in range(20):
                target = tmp_path / f"{number:02}" / "runner"
                place = place.rename(target)
    assert len(seen) == 1


def test_a_path_too_long_to_look_at_is_an_error(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for _ in range(25):
        os.mkdir("d" * 200)
        os.chdir("d" * 200)
    with pytest.raises(OSError, match="File name too long"):
        list(files.walk(str(tmp_path)))
    monkeypatch.chdir(tmp_path)
    files.remove_tree(str(tmp_path / ("d" * 200)))
    assert list(tmp_path.iterdir()) == []
