"""The benchmarks' command line, with NumPy alone: they must run wherever the package does."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def benchmarks(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", "--patience", "0", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_a_row_is_checked_timed_and_compared(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    done = benchmarks("fused-10k", "--peers", "numpy", "--rounds", "2", "--json", str(file))
    assert done.returncode == 0, done.stderr
    assert "failed" not in done.stdout
    stored = json.loads(file.read_text())
    figures = stored["rows"]["fused-10k"]["figures"]
    assert list(figures) == ["pycyxwiz", "numpy"]
    for median, low, high in figures.values():
        assert 0 < low <= median <= high < 1


def test_rows_of_an_earlier_run_stay_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    for row in ("tiny-read", "tiny-record"):
        benchmarks(row, "--peers", "numpy", "--rounds", "1", "--json", str(file))
    assert set(json.loads(file.read_text())["rows"]) == {"tiny-read", "tiny-record"}


def test_the_first_words_of_a_name_choose_a_family() -> None:
    listed = benchmarks("--list").stdout.splitlines()
    assert sum(line.startswith("matmul-") for line in listed) >= 4
    assert benchmarks("matmul", "--list").returncode == 0


def test_a_cliff_is_a_jump_in_the_cost_of_an_element_that_no_cache_explains(monkeypatch) -> None:
    monkeypatch.syspath_prepend(ROOT)
    from benchmarks.sweep import WORKS, Cache, cliffs

    work = WORKS["x + y"]  # 12 bytes an element
    smooth = [(1000, 1.0), (2000, 2.0), (4000, 4.4), (8000, 9.0)]
    assert cliffs(smooth, work, []) == []
    steep = [(1000, 1.0), (2000, 2.0), (4000, 8.0), (8000, 16.0)]
    ((size, times),) = [(cliff.size, cliff.times) for cliff in cliffs(steep, work, [])]
    assert size == 4000 and times == 2
    assert cliffs(steep, work, [Cache(48_000, shared=False)]) == []
    assert cliffs(steep, work, [Cache(300_000, shared=True)]) == []
    assert len(cliffs(steep, work, [Cache(300_000, shared=False)])) == 1
    product = WORKS["matmul"]  # n elements are a matrix of side √n
    assert cliffs([(100, 1.0), (200, 2**1.5)], product, []) == []
    assert len(cliffs([(100, 1.0), (200, 4.0)], product, [])) == 1


def test_an_unknown_row_or_peer_is_named() -> None:
    assert "unknown rows: fusd" in benchmarks("fusd").stderr
    assert "unknown peers: nunpy" in benchmarks("--peers", "nunpy").stderr
