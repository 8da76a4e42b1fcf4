"""Every example runs as a user runs it, and shows what it promises."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
NAMES = sorted(path.name for path in EXAMPLES.glob("*.cyx"))


def run(name: str, folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-c", "import sys; from pycyxwiz.cli import main; sys.exit(main())"]
    done = subprocess.run(
        [*command, "run", str(EXAMPLES / name), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
    return done.stdout


def needed(name: str) -> None:
    if name.startswith("04"):
        pytest.importorskip("sklearn", reason="the example's data are scikit-learn's")
        pytest.importorskip("matplotlib", reason="the example draws with matplotlib")
    if name.startswith("05"):
        pytest.importorskip("pandas", reason="the example reads a table with pandas")


def test_there_are_the_five_examples_of_the_plan():
    assert [name[:2] for name in NAMES][:5] == ["01", "02", "03", "04", "05"]


@pytest.mark.parametrize("name", NAMES)
def test_an_example_runs(name, tmp_path):
    needed(name)
    if name.startswith("04"):
        pytest.skip("it runs in the next test, twice")
    output = run(name, tmp_path)
    assert "DIFFERENT" not in output and "nan" not in output.lower().split()
    assert len(output.splitlines()) > 5


def test_the_training_example_reaches_its_accuracy_and_repeats_it(tmp_path):
    name = next(name for name in NAMES if name.startswith("04"))
    needed(name)
    found = []
    for folder in (tmp_path / "first", tmp_path / "second"):
        folder.mkdir()
        output = run(name, folder, str(folder))
        (percent,) = re.findall(r"Test accuracy: ([\d.]+)%", output)
        found.append(percent)
        assert float(percent) >= 97
        assert "its predictions are equal" in output
        files = {path.suffix: path.stat().st_size for path in folder.iterdir()}
        assert files[".png"] > 10_000 and files[".safetensors"] > 100_000
    assert found[0] == found[1]


def test_the_hand_written_network_separates_the_spirals(tmp_path):
    output = run(next(name for name in NAMES if name.startswith("03")), tmp_path)
    accuracy = float(re.findall(r"accuracy ([\d.]+)%", output)[-1])
    assert accuracy > 95
